"""Rows that fail: which reasons may pass, how many a run takes, and what is said of them.

A reason is a stable code. What fails for a reason of the moment, such as a server that was busy,
may be done at another try; what fails by what the row or the recipe is, fails again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from spa.errors import RunError, UsageError
from spa.types import RequestFailure

__all__ = [
    "LASTING",
    "FailureLimit",
    "TooManyFailures",
    "counted",
    "parse_limit",
    "worth_retrying",
]

LASTING = {
    "too_long": "shorten the prompts or lower max_tokens",
    "template": "the chat template refuses these messages: change the prompts or the model",
    "bad_request": "the server refuses such requests: see the message",
    "refused": "the service or the engine does not answer such rows: see the message",
    "labels_not_covered": "the server names too few labels: use fewer labels or another server",
    "component_error": "mend the component, then raise its revision",
}
"""Reasons that another try does not change, each with what does. All others are worth a try."""

_MOST_REASONS = 3


def worth_retrying(reason: str) -> bool:
    """Whether a row that failed for this reason may be done at another try."""
    return reason not in LASTING


def counted(reasons: Mapping[str, int], most: int | None = None) -> str:
    """Reasons with their counts, the commonest first: ``"9 timeout, 3 too_long"``.

    Args:
        reasons: Reason to number of rows.
        most: How many reasons to name; all by default.
    """
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {reason}" for reason, count in ranked[:most]]
    rest = sum(count for _, count in ranked[len(named) :])
    return ", ".join([*named, f"{rest:,} for other reasons"] if rest else named)


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many rows of a stage may fail: ``--max-failures``. It is in no key.

    Attributes:
        text: As it was typed.
        rows: A number of rows; None where it is a share.
        share: A share of the stage's rows, from 0 to 1; None where it is a number.
    """

    text: str
    rows: int | None = None
    share: Fraction | None = None

    def passed(self, failed: int, total: int | None) -> bool:
        """Whether more failed than may.

        Args:
            failed: Rows that failed so far.
            total: Rows of the stage, None while that is not known: then a share is not passed.
        """
        if self.rows is not None:
            return failed > self.rows
        return self.share is not None and total is not None and failed > self.share * total


def parse_limit(text: str) -> FailureLimit:
    """Reads ``10``, ``5%`` or ``0.5%``.

    Raises:
        UsageError: If it is neither a number of rows nor a share.
    """
    wrong = UsageError(
        f"--max-failures {text!r} is neither a number of rows nor a share of them. "
        "Valid: a whole number from 0, such as 10, or 0% to 100%, such as 5%."
    )
    stripped = text.strip()
    number = stripped.removesuffix("%").strip()
    if not number.isascii() or not number.replace(".", "", 1).isdigit():
        raise wrong
    if stripped.endswith("%"):
        share = Fraction(number) / 100
        if share > 1:
            raise wrong
        return FailureLimit(text, share=share)
    if "." in number:
        raise wrong
    return FailureLimit(text, rows=int(number))


class TooManyFailures(RunError):  # noqa: N818  # named for what it says, as KeyboardInterrupt is
    """More rows of a stage failed than ``--max-failures`` allows; what was done is kept.

    Attributes:
        stage: Title of the stage.
        committed: Whether the stage was finished before, so that only ``spa retry`` tries its rows
            again; otherwise the same command does.
    """

    def __init__(
        self,
        stage: str,
        limit: FailureLimit,
        failures: Mapping[str, RequestFailure],
        total: int | None,
        *,
        committed: bool,
    ) -> None:
        """Makes the message of the failures so far."""
        self.stage = stage
        self.committed = committed
        reasons = Counter(each.reason for each in failures.values())
        commonest = max(reasons, key=lambda reason: (reasons[reason], reason))
        job, example = next(iter(_of(failures, commonest)))
        of = "" if total is None else f" of {total:,}"
        so_far = "" if committed else " so far"
        super().__init__(
            f"stage {stage}: {len(failures):,}{of} rows failed{so_far}, more than --max-failures "
            f"{limit.text} allows: {counted(reasons, _MOST_REASONS)}. For example {job}: "
            f"{example.message} ({example.reason}). What was done is kept."
        )


def _of(
    failures: Mapping[str, RequestFailure], reason: str
) -> Iterable[tuple[str, RequestFailure]]:
    return ((job, each) for job, each in failures.items() if each.reason == reason)
