"""The command ``spa``: one small module a command, nothing heavy imported before it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_INTERRUPTED = 130
_FAILED = 1


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        args: The arguments after ``spa``; those of the process by default.

    Returns:
        Exit code: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted. Only a bug in spa
        raises anything.
    """
    try:
        code = _run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return _FAILED
    return code


def _run(args: Sequence[str] | None) -> int:
    # Imported here so that Ctrl-C while modules load is handled like any other.
    from spa.cli.app import command
    from spa.errors import SpaError

    try:
        command().main(args=None if args is None else list(args), prog_name="spa")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else _FAILED
    except SpaError as error:
        from spa.cli.console import print_error

        print_error(error)
        return error.exit_code
    return 0


def _silence_stdout() -> None:
    """The reader is gone (``spa ... | head``): lets Python flush what is left without complaint."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
