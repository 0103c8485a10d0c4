"""The process that measures one side: ``python -m train.worker ORDER.json RESULT.json``."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from train.settings import Order

__all__ = ["main"]


def main(order_file: str, result_file: str) -> None:
    """Carries the order out and writes what came of it."""
    import torch

    order = Order.from_json(json.loads(Path(order_file).read_text(encoding="utf-8")))
    torch.set_num_threads(order.threads)
    Path(result_file).write_text(json.dumps(_result(order)), encoding="utf-8")


def _result(order: Order) -> dict[str, Any]:
    # Each side imports what it needs itself: imports take memory, and that is measured.
    if order.side == "spa":
        from train.spa_side import measure_spa

        return asdict(measure_spa(order))
    if order.side == "trl":
        from train.trl_side import measure_trl

        return asdict(measure_trl(order))
    from train.gradients import gradient_difference

    return gradient_difference(order)


if __name__ == "__main__":
    main(*sys.argv[1:])
