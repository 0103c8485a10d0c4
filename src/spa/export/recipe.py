"""Format ``recipe``: the exact recipe of a run, as YAML that `spa run` takes.

It is the resolved recipe of the manifest: nothing is left to a default, to another file, or to an
option of the command line. Texts are quoted so that no reader takes them for anything else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spa.engine.stored_run import StoredRun
from spa.errors import SpaError
from spa.recipe.quoting import quoted
from spa.recipe.scalars import core_value

__all__ = ["recipe_yaml"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./+-]*(?: [A-Za-z0-9_./+-]+)*")
_STEP = "  "


def recipe_yaml(run: StoredRun) -> str:
    """The text of a recipe file.

    Raises:
        SpaError: If the manifest has no recipe.
    """
    recipe = run.recipe
    if not recipe:
        raise SpaError(f"{run.folder}/run.json holds no recipe.")
    head = [
        f"The exact recipe of run {quoted(run.name)}: every default is written out, and with the",
        "store beside the run, its stages are taken from there.",
    ]
    if paths := ", ".join(_absolute(recipe)):
        head.append(
            f"Paths are absolute, as where it ran. Change them for another machine: {paths}"
        )
    comments = "".join(f"# {line}\n" for line in head)
    return comments + "".join(f"{line}\n" for line in _mapping(recipe))


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    for key, inner in value.items():
        yield from _labelled(f"{_text(str(key))}:", inner)


def _labelled(label: str, value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """A value after its key."""
    if isinstance(value, Mapping) and value:
        yield label
        yield from (_STEP + line for line in _mapping(value))
    elif isinstance(value, list | tuple) and value:
        yield label
        yield from (_STEP + line for line in _listing(value))
    elif isinstance(value, str) and _fits_block(value):
        yield f"{label} {'|' if value.endswith(chr(10)) else '|-'}"
        yield from (_STEP + line if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{label} {_scalar(value)}"


def _listing(values: Sequence[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, Mapping) and value:
            first, *rest = _mapping(value)
            yield f"- {first}"
            yield from (_STEP + line if line else "" for line in rest)
        elif isinstance(value, list | tuple) and value:
            yield "-"
            yield from (_STEP + line for line in _listing(value))
        else:
            yield f"- {_scalar(value)}"


def _scalar(value: Any) -> str:  # noqa: ANN401 - JSON
    match value:
        case str():
            return _text(value)
        case None | bool():
            return json.dumps(value)
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case int() | float():
            return repr(value)
        case Mapping():
            return "{}"
        case _:
            return "[]"


def _text(text: str) -> str:
    """A text that is read as itself: bare where that is beyond doubt, else in quotes."""
    bare = _PLAIN.fullmatch(text) is not None and core_value(text) == text
    return text if bare else quoted(text)


def _fits_block(text: str) -> bool:
    """Whether a text of several lines can stand as it is."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and bool(lines[0])
        and bool(lines[-1])
        and not lines[0][0].isspace()
        and all(line.isprintable() and line == line.rstrip() for line in lines)
    )


def _absolute(value: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """The keys of absolute paths."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _absolute(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _absolute(inner, f"{path}.{place}")
    elif (
        isinstance(value, str)
        and value.startswith("/")
        and "\n" not in value
        and path.isprintable()
    ):
        yield path
