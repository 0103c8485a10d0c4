"""Durations, ages and sizes for people, written in one way by all commands."""

from __future__ import annotations

__all__ = ["age_text", "clock", "size_text"]

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_DAY = 86_400.0


def clock(seconds: float | None) -> str:
    """Seconds as ``1:02`` or ``1:00:02``; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size_text(size: int) -> str:
    """Bytes for people: ``1.2 MB``."""
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:  # noqa: B007 - the last one is used
        if value < _STEP:
            break
        value /= _STEP
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def age_text(seconds: float) -> str:
    """A time that has passed, for people: ``3 days``."""
    for count, unit in ((_DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
        if seconds >= count:
            number = int(seconds // count)
            return f"{number} {unit}" + ("" if number == 1 else "s")
    return "now"
