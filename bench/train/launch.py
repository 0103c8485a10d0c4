"""Measures one side of training in a process of its own, so that peak memory is its alone."""

from __future__ import annotations

from typing import Any

from processes.launch import SideFailedError, run_worker
from train.settings import Measured, Order

__all__ = ["SideFailedError", "measure", "run_order"]


def measure(order: Order) -> Measured:
    """One step of a side."""
    return Measured(**run_order(order))


def run_order(order: Order) -> dict[str, Any]:
    """What the process wrote.

    Raises:
        SideFailedError: If it ended with an error.
    """
    side = f"side {order.side} of case {order.case.name}"
    return run_worker("train.worker", order.to_json(), side, order.threads)
