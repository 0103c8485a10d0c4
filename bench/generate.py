"""What spa adds to the engines that it samples with, and what it gains over a plain loop.

    python bench/generate.py                # tables: some minutes on two cores
    python bench/generate.py --json         # one line of ratios
    python bench/generate.py --quick        # shows that everything runs; the figures mean little
    python bench/generate.py --backends openai --server http://localhost:8000/v1 --served-model NAME

Timed are all rows of a case: prompts of mixed lengths, several samples of each, for
SmolLM2-135M-Instruct. spa's side is the stage `sample` as a run calls it, with stored answers and
rows on disk. The bare sides are batched `generate` of transformers (rows sorted by length, the best
of a few batch sizes), `LLM.chat` of vLLM, and the client of the package openai with asyncio.
`overhead` is spa's time for 1 of the bare side's; `hf_vs_plain` is how many times as fast as a loop
of `generate` over the prompts spa is. A backend whose plugin or engine is not installed is null.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace

from generation.cases import CASES, Case, quick
from generation.compare import ratio, timing_table
from generation.launch import MissingError, SideFailedError, measure
from generation.settings import MODEL, Backend, Order
from train.machine import machine

BACKENDS: tuple[Backend, ...] = ("hf", "vllm", "openai")


def main() -> int:
    """Runs what the arguments ask for; returns the exit code."""
    arguments = _arguments()
    _say(f"measured on {machine(arguments.threads, arguments.device, arguments.dtype)}")
    case = quick(CASES[arguments.case]) if arguments.quick else CASES[arguments.case]
    overhead: dict[str, float | None] = dict.fromkeys(BACKENDS)
    against_plain: float | None = None
    failed = False
    for backend in arguments.backends:
        try:
            found = measure(_order(arguments, backend, case))
        except MissingError as error:
            _say(f"{backend} is left out: {error}")
            continue
        except SideFailedError as error:
            _say(str(error))
            failed = True
            continue
        spa, bare, *plain = found.values()
        overhead[backend] = ratio(spa, bare)
        if plain:
            against_plain = ratio(plain[0], spa)
        _say(timing_table(case.name, backend, found))
    record = {"overhead": overhead, "hf_vs_plain": against_plain}
    if arguments.json:
        print(json.dumps(record), flush=True)
    else:
        print(_sentences(overhead, against_plain), flush=True)
    return 1 if failed else 0


def _sentences(overhead: dict[str, float | None], against_plain: float | None) -> str:
    lines = [
        f"{name}: spa takes {value:.2f} of the bare engine's time"
        for name, value in overhead.items()
        if value is not None
    ]
    if against_plain is not None:
        lines.append(f"hf: spa is {against_plain:.2f} times as fast as a loop over the prompts")
    return "\n".join(lines or ["nothing was measured"])


def _order(arguments: argparse.Namespace, backend: Backend, case: Case) -> Order:
    order = Order(
        backend,
        case,
        threads=arguments.threads,
        device=arguments.device,
        dtype=arguments.dtype,
        repeats=arguments.repeats,
        batch_sizes=tuple(arguments.batch_sizes),
        plain=not arguments.no_plain,
    )
    if backend == "openai":
        return replace(order, model=arguments.served_model, server=arguments.server)
    return order


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print ratios as one line of JSON")
    parser.add_argument("--quick", action="store_true", help="a few short rows")
    parser.add_argument("--case", choices=list(CASES), default="mixed")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--repeats", type=int, default=1, help="take the median of so many ratios")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of all sides")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument(
        "--batch-sizes", nargs="+", type=int, default=[16, 32, 64], help="of bare transformers"
    )
    parser.add_argument("--no-plain", action="store_true", help="leave out the loop over prompts")
    parser.add_argument("--server", help="address of a server with the OpenAI protocol")
    parser.add_argument("--served-model", default=MODEL, help="its name of the model")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
