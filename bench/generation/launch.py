"""Measures all sides of a backend in a process of its own.

An inference engine does not give its memory back before its process ends.
"""

from __future__ import annotations

from generation.settings import Order, Timing
from processes.launch import SideFailedError, run_worker

__all__ = ["MissingError", "SideFailedError", "measure"]


class MissingError(Exception):
    """A backend cannot be measured in this environment."""


def measure(order: Order) -> dict[str, list[Timing]]:
    """The timings of all sides of a backend, spa's first, then the bare one's.

    Raises:
        MissingError: If the backend's plugin or engine is not there.
        SideFailedError: If the process ended with an error.
    """
    side = f"backend {order.backend}"
    result = run_worker("generation.worker", order.to_json(), side, order.threads)
    if "missing" in result:
        raise MissingError(result["missing"])
    return {name: [Timing(**each) for each in timings] for name, timings in result.items()}
