"""What an ablation takes beside the work that its runs need.

    python bench/ablation.py            # a table: minutes, most of it the stages themselves
    python bench/ablation.py --json     # {"over_work": .., "stages": .., "repeated": ..}
    python bench/ablation.py --quick    # few prompts; the figures mean little

`spa ablate recipes/quickstart.yaml --swap loss=spa,simpo,dpo,ipo` as a user types it, in a folder
of its own. ``over_work`` is its wall time, start and comparison included, for 1 of the seconds that
the manifests tell of stages that were carried out: those before training once, training and what
follows it four times. ``repeated`` counts stages that were carried out twice with the same key,
which ends the benchmark with code 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from train.machine import machine

ROOT = Path(__file__).resolve().parents[1]
LOSSES = "loss=spa,simpo,dpo,ipo"
QUICK = ("--set", "prompts.limit=6", "--set", "prompts.split.heldout=2")


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--quick", action="store_true", help="few prompts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values")
    arguments = parser.parse_args()
    print(f"measured on {machine(1, 'cpu', 'float32')}", file=sys.stderr, flush=True)
    options = [*(QUICK if arguments.quick else ())]
    for each in arguments.values:
        options += ["--set", each]
    with tempfile.TemporaryDirectory() as folder:
        seconds = _ablated(Path(folder), options)
        carried = _carried_out(Path(folder))
    if seconds is None:
        return 1
    work = sum(each["seconds"] for stages in carried.values() for each in stages)
    repeated = sum(len(stages) - 1 for stages in carried.values())
    if arguments.json:
        found = {"over_work": round(seconds / work, 3), "stages": len(carried)}
        print(json.dumps(found | {"repeated": repeated}), flush=True)
    else:
        print(_table(carried, work, seconds), flush=True)
    return 1 if repeated else 0


def _ablated(folder: Path, options: list[str]) -> float | None:
    """Wall seconds of the ablation; None if it failed."""
    recipe = str(ROOT / "recipes" / "quickstart.yaml")
    command = [sys.executable, "-m", "spa", "ablate", recipe, "--swap", LOSSES]
    command += [*options, "--runs-dir", str(folder), "--name", "losses"]
    started = time.perf_counter()
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    return time.perf_counter() - started if code == 0 else None


def _carried_out(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Of every key, the stages that were carried out and not taken from the store."""
    found = defaultdict(list)
    for path in sorted(folder.rglob("run.json")):
        for stage in json.loads(path.read_text(encoding="utf-8"))["stages"]:
            if not stage["cached"]:
                found[stage["key"]].append(stage)
    return found


def _table(carried: dict[str, list[dict[str, Any]]], work: float, seconds: float) -> str:
    by_name: dict[str, list[float]] = defaultdict(list)
    for stages in carried.values():
        for stage in stages:
            by_name[stage["name"]].append(stage["seconds"])
    lines = [f"{'stage':<24}  times  seconds"]
    lines += [f"{name:<24}  {len(each):>5}  {sum(each):>7.1f}" for name, each in by_name.items()]
    lines.append(f"{'all stages':<24}  {'':>5}  {work:>7.1f}")
    lines.append(f"{'the ablation, wall time':<24}  {'':>5}  {seconds:>7.1f}")
    lines.append(f"for 1 of the stages' time: {seconds / work:.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
