"""Durations, ages, sizes and scores for people, written in one way by all commands."""

from __future__ import annotations

__all__ = ["age_text", "apart", "clock", "distance_text", "size_text"]

_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_DAY = 86_400.0
_DECIMALS = 16


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


def apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers with two decimals, or with as many as show that they differ."""
    for decimals in range(2, _DECIMALS):
        shown = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if shown[0] != shown[1] or one == other:
            return shown
    return repr(one), repr(other)


def distance_text(value: float) -> str:
    """A number that is 0 or above, with two decimals unless that would make it 0."""
    text = f"{value:.2f}"
    return f"{value:.1g}" if value and text == "0.00" else text
