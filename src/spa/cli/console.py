"""How commands write: results to stdout, everything else to stderr.

Text from recipes, plugins and models is never read as markup, and where the output is not a
terminal its width does not depend on the machine.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from spa.cli.harmless import harmless
from spa.jsonable import finite

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment
    from rich.text import Text

    from spa.errors import SpaError
    from spa.types import JsonValue

__all__ = ["PIPE_WIDTH", "err", "json_text", "out", "print_error", "print_json"]

PIPE_WIDTH = 120
"""Columns where the output is not a terminal, unless the variable COLUMNS says otherwise."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@cache
def out() -> Console:
    """The console of results (stdout). Markup is off: pass ``style`` or a rich ``Text``."""
    return _console(stderr=False)


@cache
def err() -> Console:
    """The console of messages and progress (stderr). Markup is off, as with `out`."""
    return _console(stderr=True)


def print_json(record: JsonValue) -> None:
    """Writes one record as one line of JSON on stdout, as `json_text` makes it."""
    sys.stdout.write(json_text(record) + "\n")


def json_text(value: JsonValue, indent: int | None = None) -> str:
    """A value as JSON: NaN and infinities, which JSON has no word for, become null."""
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    # What is left of control characters stands inside of texts, where JSON may escape anything.
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_error(error: SpaError) -> None:
    """Writes an error's message on stderr, word for word but for control characters."""
    err().print(str(error), style="red", soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # rich takes a while to import

    class HarmlessConsole(Console):
        """A console that writes out what would steer the terminal instead of sending it."""

        def render_str(self, text: str, *args: Any, **kwargs: Any) -> Text:  # noqa: ANN401
            return super().render_str(harmless(text), *args, **kwargs)

        def render(
            self,
            renderable: Any,  # noqa: ANN401
            options: ConsoleOptions | None = None,
        ) -> Iterable[Segment]:  # texts, logs and tables alike, however they were made
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield segment._replace(text=harmless(segment.text))

    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return HarmlessConsole(stderr=stderr, width=fixed, markup=False, highlight=False, emoji=False)
