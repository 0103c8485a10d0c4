"""spa's trainer beside TRL's: speed, memory, and that both do the same.

    python bench/train_vs_trl.py               # a table: about a quarter of an hour on two cores
    python bench/train_vs_trl.py --json        # one line of ratios
    python bench/train_vs_trl.py --quick       # shows that everything runs; the figures mean little
    python bench/train_vs_trl.py --growth --out bench/growth.json

What is timed is one optimizer step of full fine-tuning of SmolLM2-135M-Instruct with SimPO:
forward passes, loss, backward passes, clipping and AdamW over the same pairs with the same token
ids, float32 weights, no gradient checkpointing. Loading and a warm-up are left out. Memory is the
peak of the whole process. Ends with code 1 if the sides saw other ids, had another loss, or if
spa's gradient is not that of plain code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from train.cases import CASES, CHECK, Case, quick
from train.compare import Comparison, compare
from train.growth import growth_points
from train.launch import SideFailedError, measure, run_order
from train.machine import machine
from train.settings import Order
from train.table import comparison_table

PAIRS_A_FORWARD = {"all_pairs": 8, "refined_vs_each": 8, "long_prompts": 2}
"""What TRL takes at a time: its default, and for long prompts what fits into 24 GB. All pairs: two
cores took 2.15, 2.33, 2.37 and 3.00 s a pair with 1, 2, 4 and 8 pairs, at 4.0, 4.9, 6.9 and 9.8 GB:
larger passes carry more padding. --pairs-a-forward compares with another size."""
QUICK_PAIRS_A_FORWARD = 2
TUNED = (1, 2, 4, 8)
GRADIENT_TOLERANCE = 1e-5


def main() -> int:
    """Runs what the arguments ask for; returns the exit code."""
    arguments = _arguments()
    try:
        if arguments.growth:
            return _growth(arguments)
        if arguments.tune:
            return _tune(arguments)
        return _compare(arguments)
    except SideFailedError as error:
        _say(str(error))
        return 1


def _compare(arguments: argparse.Namespace) -> int:
    _say(f"measured on {machine(arguments.threads, arguments.device, arguments.dtype)}")
    wrong = _check(arguments)
    if arguments.check:
        return _ended(wrong)
    comparisons: list[Comparison] = []
    for case in _cases(arguments):
        found = compare(_order(arguments, case), arguments.repeats, _say)
        wrong += found.differences(arguments.dtype)
        comparisons.append(found)
    if arguments.json:
        print(json.dumps({found.name: found.ratios for found in comparisons}), flush=True)
    else:
        print(comparison_table(comparisons, arguments.peak_tflops), flush=True)
    return _ended(wrong)


def _check(arguments: argparse.Namespace) -> list[str]:
    found = run_order(replace(_order(arguments, CHECK), side="check", dtype="float32"))
    distance = found["relative_l2"]
    _say(
        f"gradient: spa's differs from that of the pairs one by one in float64 by {distance:.1e} "
        f"(relative L2); plain float32 code differs by {found['plain_relative_l2']:.1e}. "
        f"Losses {found['spa_loss']:.7f} and {found['exact_loss']:.7f}"
    )
    if distance <= GRADIENT_TOLERANCE:
        return []
    return [f"spa's gradient is off by {distance:.1e}, more than {GRADIENT_TOLERANCE:.0e}"]


def _tune(arguments: argparse.Namespace) -> int:
    for case in _cases(arguments):
        for pairs in TUNED:
            order = replace(_order(arguments, case), side="trl", pairs_a_forward=pairs)
            step = measure(replace(order, measured_pairs=max(TUNED)))
            print(
                f"{case.name}: TRL with {pairs} pairs a forward pass: "
                f"{step.seconds_a_pair(case.pairs):.2f} s a pair "
                f"(processor {step.cpu_seconds / step.pairs:.2f} s), "
                f"peak {step.peak_bytes / 1e6:.0f} MB",
                flush=True,
            )
    return 0


def _growth(arguments: argparse.Namespace) -> int:
    threads, device, dtype = arguments.threads, arguments.device, arguments.dtype
    points = growth_points(threads, device, dtype, _say, quick=arguments.quick)
    record: dict[str, Any] = {"machine": machine(threads, device, dtype), "points": points}
    text = json.dumps(record, indent=1) + "\n"
    if arguments.out is None:
        print(text, end="")
    else:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


def _ended(wrong: list[str]) -> int:
    for line in wrong:
        _say(f"not the same: {line}")
    return 1 if wrong else 0


def _cases(arguments: argparse.Namespace) -> list[Case]:
    names = arguments.cases or (["all_pairs"] if arguments.quick else list(CASES))
    return [quick(CASES[name]) if arguments.quick else CASES[name] for name in names]


def _order(arguments: argparse.Namespace, case: Case) -> Order:
    return Order(
        "spa",
        case,
        threads=arguments.threads,
        device=arguments.device,
        dtype=arguments.dtype,
        pairs_a_forward=_pairs_a_forward(arguments, case),
    )


def _pairs_a_forward(arguments: argparse.Namespace, case: Case) -> int:
    if arguments.pairs_a_forward is not None:
        return int(arguments.pairs_a_forward)
    return QUICK_PAIRS_A_FORWARD if arguments.quick else PAIRS_A_FORWARD.get(case.name, 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare gradients, and nothing else")
    what.add_argument("--tune", action="store_true", help="time TRL with several batch sizes")
    what.add_argument("--growth", action="store_true", help="follow cost with size")
    parser.add_argument("--json", action="store_true", help="print ratios as one line of JSON")
    parser.add_argument("--quick", action="store_true", help="small cases; under two minutes")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), help="default: all")
    parser.add_argument("--repeats", type=int, default=1, help="take the median of so many ratios")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of both sides")
    parser.add_argument("--pairs-a-forward", type=int, help="of TRL. Default: one for each case")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for the share used")
    parser.add_argument("--out", type=Path, help="file for --growth")
    arguments = parser.parse_args()
    odd = [c.name for c in _cases(arguments) if c.pairs % _pairs_a_forward(arguments, c)]
    if odd and not (arguments.tune or arguments.growth or arguments.check):
        # TRL takes the mean of the forward passes' means: that of all pairs only if all are alike.
        parser.error(f"--pairs-a-forward does not divide the pairs of {', '.join(odd)}")
    return arguments


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
