"""Measures one backend: ``python -m generation.worker ORDER.json RESULT.json``."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generation.settings import Order

__all__ = ["main"]


def main(order_file: str, result_file: str) -> None:
    """Carries the order out and writes what came of it."""
    order = Order.from_json(json.loads(Path(order_file).read_text(encoding="utf-8")))
    Path(result_file).write_text(json.dumps(_result(order)), encoding="utf-8")


def _result(order: Order) -> dict[str, Any]:
    side = importlib.import_module(f"generation.{order.backend}_side")
    reason = side.missing(order)
    if reason is not None:
        return {"missing": reason}
    if order.backend == "hf":
        import torch

        torch.set_num_threads(order.threads)
    return {
        name: [asdict(timing) for timing in timings]
        for name, timings in side.measure(order).items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
