"""Expected-score judging beside two other ways to judge the same responses with the same model.

    python bench/judge.py               # a table
    python bench/judge.py --json        # one line: {"vs_generate": a, "vs_unshared": b}
    python bench/judge.py --backend vllm  # with vLLM's engine; vs_unshared is null
    python bench/judge.py --quick       # shows that everything runs; the figures mean little

Counted are judgements a second, a judgement being a response on one of two objectives, asked by the
judge `constitution` through the engine and answered by a backend, `hf` unless told otherwise, with
SmolLM2-135M-Instruct: prompts from the texts that ship with spa, several responses to each, and the
shipped constitutions of harmlessness and helpfulness.

- ``vs_generate``: over judgements that are written, 64 tokens each, and parsed (mode `generate`).
  The model would write a number and stop; here its end tokens are struck out in its head, or for
  vLLM named otherwise, so every judgement has 64 tokens, as one that explains itself would. Shorter
  ones end the benchmark with an error.
- ``vs_unshared``: over expected scores with one forward pass over the whole prompt for every
  response and objective.

All sides judge all rows in one process, in turn, with the model loaded once and every side warmed
up; ratios are medians over rounds. Ends with code 1 if the two ways to the expected score differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace

from judging.compare import SAME, Comparison, compare, comparison_table
from judging.settings import Order
from judging.timing import SideFailedError
from judging.vllm_sides import missing
from train.machine import machine


def main() -> int:
    """Measures, prints, and returns the exit code."""
    arguments = _arguments()
    _say(f"measured on {machine(arguments.threads, arguments.device, arguments.dtype)}")
    if arguments.backend == "vllm" and (why := missing()):
        _say(why)
        return 1
    try:
        found = compare(_order(arguments), _say)
    except SideFailedError as error:
        _say(str(error))
        return 1
    print(json.dumps(found.ratios) if arguments.json else comparison_table(found), flush=True)
    return _ended(found, arguments.dtype)


def _ended(found: Comparison, dtype: str) -> int:
    if dtype == "float32" and found.difference is not None and found.difference > SAME:
        _say(f"not the same: a score differs by {found.difference:.2g} points")
        return 1
    return 0


def _order(arguments: argparse.Namespace) -> Order:
    order = Order(
        prompts=arguments.prompts,
        responses=arguments.responses,
        rounds=arguments.rounds,
        backend=arguments.backend,
        threads=arguments.threads,
        device=arguments.device,
        dtype=arguments.dtype,
    )
    if arguments.quick:
        return replace(order, prompts=2, responses=2, shortest=10, longest=20, rounds=1)
    return order


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print ratios as one line of JSON")
    parser.add_argument("--quick", action="store_true", help="few short rows, one round")
    parser.add_argument("--prompts", type=int, default=8, help="how many; default: 8")
    parser.add_argument("--responses", type=int, default=8, help="to each; default: 8")
    parser.add_argument("--rounds", type=int, default=3, help="take medians of so many; default: 3")
    parser.add_argument("--backend", choices=["hf", "vllm"], default="hf")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
