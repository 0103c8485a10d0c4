"""Names the nearest valid name after a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

_MOST_LISTED = 20


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to a name, None where none is close."""
    by_lower = {each.lower(): each for each in valid}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, n=1, cutoff=0.6)
    found = found or difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if not found and len(name) > 1:
        found = [each for each in by_lower if each.startswith(name.lower())][:1]
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, valid: Iterable[str], label: str = "Valid keys") -> str:
    """The sentence that follows "unknown ...": the nearest name, or all that are valid."""
    names = list(valid)
    near = nearest(name, names)
    if near is not None:
        return f" Did you mean '{near}'?"
    if not names:
        return ""
    more = ", ..." if len(names) > _MOST_LISTED else ""
    return f" {label}: {', '.join(names[:_MOST_LISTED])}{more}"
