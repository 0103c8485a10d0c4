"""Names of components and distributions: patterns, one spelling, and the nearest valid name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "BROUGHT_BY",
    "BUILTIN_DISTRIBUTION",
    "COMPONENT_NAME",
    "IMPORT_PATH",
    "canonical",
    "suggestion",
]

BUILTIN_DISTRIBUTION = "spa-align"
BROUGHT_BY = {
    "lm-eval": "spa-lm-eval",
    "openai": "spa-openai",
    "rubric": "spa-rubric",
    "vllm": "spa-vllm",
}
"""Components that come in distributions of their own from the folder plugins of the repository."""

COMPONENT_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*\Z")


def canonical(distribution: str) -> str:
    """One spelling for a distribution's name, as the packaging specifications normalise it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def suggestion(name: str, valid: Iterable[str], label: str) -> str:
    """The sentences after "unknown ...": the nearest names, and all that are valid.

    Args:
        name: What was written.
        valid: The valid names.
        label: What introduces the list, for example ``"Judges"``.
    """
    names = sorted(set(valid))
    if not names:
        return f"{label}: none."
    spelled = {_spelled(each): each for each in names}
    close = difflib.get_close_matches(_spelled(name), spelled, n=2, cutoff=0.6)
    asked = f"Did you mean {' or '.join(repr(spelled[each]) for each in close)}? " if close else ""
    return f"{asked}{label}: {', '.join(names)}."


def _spelled(name: str) -> str:
    """A name as far as its spelling matters for finding near ones."""
    return name.lower().replace("_", "-")
