"""Rows a second and peak memory of the engine, with a model that answers at once.

    python bench/engine.py              # a table: 100,000 and 1,000,000 rows
    python bench/engine.py --json       # {"sample_rows_per_s": .., "peak_mb": .., "resume_s": ..}
    python bench/engine.py --quick      # shows that everything runs; the figures mean little

A row is a sampled response of 64 tokens, five to a prompt. Prompts, sampling, judging on two
objectives (the judge `constitution`, two requests a row), denoising and pairing run as in a run:
every answer and every row goes to disk, and stages are committed. ``peak_mb`` is the most memory
that the process and the one that makes its tables ever held, ``resume_s`` how long it takes to find
out what is left of a stage of as many rows that was killed just before its end. Every size has a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from train.machine import machine

FOLDER = Path(__file__).resolve().parent
SIZES = (100_000, 1_000_000)
QUICK = (2_000, 10_000)
_COLUMNS = ("rows", "sample_rows_per_s", "peak_mb", "resume_s", "pairs")


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the largest size as JSON")
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--rows", type=int, action="append", help="a size; can be repeated")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    print(f"measured on {machine(1, 'cpu', 'float32')}", file=sys.stderr, flush=True)
    sizes = arguments.rows or (QUICK if arguments.quick else SIZES)
    found = []
    for rows in sizes:
        measured = _measure(rows, arguments.folder)
        print(f"{rows:,} rows: seconds {measured['seconds']}", file=sys.stderr, flush=True)
        found.append(measured)
    if arguments.json:
        print(json.dumps({name: found[-1][name] for name in _COLUMNS[1:4]}))
    else:
        print("  ".join(f"{name:>17}" for name in _COLUMNS))
        for measured in found:
            print("  ".join(f"{measured[name]:>17,}" for name in _COLUMNS))
    return 0


def _measure(rows: int, parent: Path | None) -> dict[str, Any]:
    places = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "rows.worker", str(rows), folder],
            env={**os.environ, "PYTHONPATH": places},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    sys.exit(main())
