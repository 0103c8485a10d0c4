"""Errors that people meet: each says what was wrong, where, what is valid and what to do next.

`SpaError` is caught at the command line and printed without a traceback; anything else that
reaches the command line is a bug in spa.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa.types import RequestFailure

__all__ = [
    "PluginError",
    "Problem",
    "RecipeError",
    "RequestError",
    "RunError",
    "SpaError",
    "UsageError",
]


class SpaError(Exception):
    """Base of all errors that are the user's to solve.

    Attributes:
        exit_code: What the process exits with: 1 for a run that failed, 2 for wrong usage.
    """

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a recipe.

    Attributes:
        message: What is wrong, what is valid, the nearest valid name.
        file: The file that holds the mistake, or ``"--set"`` and the like; ``""`` if unknown.
        line: From 1; 0 if unknown.
        column: From 1; 0 if unknown.
        path: Dotted place in the recipe, for example ``"judge.temperature"``.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        """``file:line:column  path: message``, without the parts that are unknown."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{place}  {text}" if place else text


class RecipeError(SpaError):
    """One or more mistakes in a recipe, all that could be found, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keeps the problems; the message has one line for each."""
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PluginError(SpaError):
    """A component that is needed is unknown, ambiguous, incompatible or failed to load."""

    exit_code = 2


class UsageError(SpaError):
    """A command was given what it cannot take."""

    exit_code = 2


class RunError(SpaError):
    """A run that cannot go on; what was computed is kept."""


class RequestError(Exception):
    """Raised inside a component, where it asked, when its request could not be answered.

    A component may catch it and go on; otherwise its row is set aside with the reason.
    """

    def __init__(self, failure: RequestFailure) -> None:
        """Keeps the failure as ``self.failure``."""
        self.failure = failure
        super().__init__(f"{failure.reason}: {failure.message}")
