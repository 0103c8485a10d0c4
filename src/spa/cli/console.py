"""How commands write: results to stdout, everything else to stderr.

Text from recipes, plugins and models is never read as markup, and where the output is not a
terminal its width does not depend on the machine.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from spa.errors import SpaError
    from spa.types import JsonValue

__all__ = ["PIPE_WIDTH", "err", "out", "print_error", "print_json"]

PIPE_WIDTH = 120
"""Columns where the output is not a terminal, unless the variable COLUMNS says otherwise."""


@cache
def out() -> Console:
    """The console of results (stdout). Markup is off: pass ``style`` or a rich ``Text``."""
    return _console(stderr=False)


@cache
def err() -> Console:
    """The console of messages and progress (stderr). Markup is off, as with `out`."""
    return _console(stderr=True)


def print_json(record: JsonValue) -> None:
    """Writes one record as one line of JSON on stdout.

    Raises:
        ValueError: If it holds NaN or an infinity, which JSON has no word for.
    """
    sys.stdout.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def print_error(error: SpaError) -> None:
    """Writes an error's message on stderr, word for word."""
    err().print(str(error), style="red", soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # rich takes a while to import

    stream = sys.stderr if stderr else sys.stdout
    fixed = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(stderr=stderr, width=fixed, markup=False, highlight=False, emoji=False)
