"""Sizes and ages for people."""

from __future__ import annotations

__all__ = ["age_text", "size_text"]

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_DAY = 86_400.0


def size_text(size: float) -> str:
    """Bytes for people: ``1.2 MB``."""
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:  # noqa: B007 - the last one is used
        if value < _STEP:
            break
        value /= _STEP
    return f"{size:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def age_text(seconds: float) -> str:
    """A time that has passed, for people: ``3 days``."""
    for count, unit in ((_DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= count:
            number = int(seconds // count)
            return f"{number} {unit}" + ("" if number == 1 else "s")
    return "now"
