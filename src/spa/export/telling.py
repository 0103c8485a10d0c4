"""How cards tell of a run: its components, models and dates, in words that are safe to publish.

Of absolute paths only the last part is told. What recipes and models hold is made harmless where it
stands: it breaks no table, opens no HTML and ends no fence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from spa.engine.stored_run import StoredRun

__all__ = [
    "ITSELF",
    "component",
    "date",
    "fenced",
    "inline",
    "judge_models",
    "judge_of",
    "last_part",
    "line",
    "model",
    "objectives_of",
    "size",
    "table",
    "writer",
]

ITSELF = "the model itself"
_LONGEST = 60
_FEWEST_TICKS = 3


def component(section: Mapping[str, Any] | None) -> str:
    """A component with its settings, as far as they fit in a line."""
    if section is None:
        return "none"
    told = ", ".join(
        f"{key} = {_setting(value)}"
        for key, value in section.items()
        if key not in ("use", "backend") and value not in (None, "")
    )
    return f"{section.get('use', 'unknown')}" + (f" ({told})" if told else "")


def _setting(value: object) -> str:
    match value:
        case str():
            text = line(last_part(value))
            return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        case list():
            return f"{len(value)} given" if value else "none"
        case _:
            return json.dumps(value)


def writer(section: Mapping[str, Any] | None) -> str:
    """A component that writes answers, and the model that it asked where that is another one."""
    backend = (section or {}).get("backend")
    told = component(section)
    return told if backend is None else f"{told}, asking {model(backend)}"


def judge_of(run: StoredRun) -> str:
    """The judge, its members if it has any, and what it asked.

    A judge of fixed rules asks nothing, whatever the recipe names.
    """
    judge = run.recipe.get("judge") or {}
    named = ", ".join(str(member.get("use")) for member in judge.get("members") or ())
    members = f" of {named}" if named else ""
    asked = ", ".join(dict.fromkeys(judge_models(run))) or "no model"
    return f"{component(judge)}{members}, asking {asked}"


def judge_models(run: StoredRun) -> Iterable[str]:
    """Yields every model that judged; `ITSELF` is the policy."""
    judge = run.recipe.get("judge") or {}
    members = judge.get("members")
    if not members:
        members, names = [judge], ["judge"]
    else:
        names = [f"judge/{number}" for number in range(1, len(members) + 1)]
    for member, name in zip(members, names, strict=True):
        details = (run.stage(name) or {}).get("details") or {}
        if details.get("asked", 0) + details.get("replayed", 0):
            backend = member.get("backend") or judge.get("backend")
            yield ITSELF if backend is None else model(backend)


def model(section: Mapping[str, Any]) -> str:
    """What a backend's section runs."""
    named = section.get("path") or section.get("model") or section.get("use")
    return last_part(str(named or "unknown"))


def objectives_of(run: StoredRun) -> str:
    """The objectives with their definitions, as a numbered list."""
    return "\n".join(
        f"{place}. **{inline(str(each['name']))}**{_threshold(each)}: "
        f"{inline(each.get('definition') or '')}"
        for place, each in enumerate(run.recipe.get("objectives") or (), start=1)
    )


def _threshold(objective: Mapping[str, Any]) -> str:
    threshold = objective.get("threshold")
    return "" if threshold is None else f" (counts as met from {threshold:g})"


def last_part(text: str) -> str:
    """The last part of an absolute path; any other text as it is."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return kind(text).name
    return text


def size(parameters: int | None) -> str:
    """The size of a model, to stand after its name."""
    return "" if parameters is None else f" ({parameters:,} parameters)"


def date(seconds: float | None) -> str:
    """A point in time."""
    if seconds is None:
        return "unknown"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def line(text: str) -> str:
    """A text in one line; what cannot be printed, such as escape sequences, is marked."""
    return "".join(each if each.isprintable() else "\ufffd" for each in " ".join(text.split()))


def inline(text: str) -> str:
    """A text in one line that opens no HTML."""
    return line(text).replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, whatever its cells hold."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in each)} |" for each in lines)


def _cell(value: object) -> str:
    return inline(str(value)).replace("|", "\\|")


def fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any in the text."""
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * max(_FEWEST_TICKS, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
