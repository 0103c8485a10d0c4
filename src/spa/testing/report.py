"""The outcome of conformance checks: how many ran, and what each found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Check", "Checks", "Report", "require"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check that ran.

    Attributes:
        name: What must hold.
        problem: What was found instead; ``None`` if it holds.
    """

    name: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one component that ran, in their order.

    A component that fails at its first step may leave later checks without anything to look at;
    these are not in the report, so compare ``len(report.checks)`` with that of a good run.
    """

    subject: str
    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if check.problem is not None)

    def raise_if_failed(self) -> None:
        """Raises an AssertionError that lists every failure."""
        if self.failures:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        """How many checks ran and failed, and a line for each failure."""
        head = f"{self.subject}: {len(self.checks)} checks ran, {len(self.failures)} failed"
        return "\n".join([head, *(f"  {each.name}: {each.problem}" for each in self.failures)])


class Checks:
    """Collects checks while they run."""

    def __init__(self, subject: object) -> None:
        """Begins a report on a component."""
        self._subject = subject if isinstance(subject, str) else type(subject).__name__
        self._done: list[Check] = []

    @contextmanager
    def that(self, name: str) -> Iterator[None]:
        """Runs one check: whatever is raised inside is its problem."""
        try:
            yield
        except AssertionError as error:
            self._done.append(Check(name, str(error)))
        except Exception as error:
            self._done.append(Check(name, f"{type(error).__name__}: {error}"))
        else:
            self._done.append(Check(name))

    @property
    def fine(self) -> bool:
        """Whether the last check holds."""
        return bool(self._done) and self._done[-1].problem is None

    def report(self) -> Report:
        """What was found so far."""
        return Report(self._subject, tuple(self._done))


def require(condition: bool, problem: str) -> None:
    """Raises an AssertionError with the problem unless the condition holds."""
    if not condition:
        raise AssertionError(problem)
