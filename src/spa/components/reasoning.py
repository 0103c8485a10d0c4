"""What a response keeps of the reasoning before it.

Used where a generator or a refiner makes a `Response` of a model's answer.
"""

from __future__ import annotations

from spa.api import ChatResult

__all__ = ["reasoning_details"]


def reasoning_details(result: ChatResult) -> dict[str, str]:
    """``{"reasoning": ...}`` for `Response.details`; nothing where there is none."""
    return {"reasoning": result.reasoning} if result.reasoning else {}
