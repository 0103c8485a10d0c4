"""Reads a run's preference pairs from the store, each with its prompt and both responses.

A pair that cannot be written is counted under its reason, never silently lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from spa.engine.stored_run import StoredRun, stage_rows
from spa.errors import RunError, UsageError
from spa.types import PreferencePair, Prompt, Response

__all__ = [
    "EMPTY_RESPONSE",
    "PROMPT_GONE",
    "RESPONSE_GONE",
    "ExportedPair",
    "PairData",
    "read_pairs",
    "without_text",
]

Row = TypeVar("Row", Prompt, Response)
EMPTY_RESPONSE = "empty_response"
"""A pair with a response that has no text, or white space alone, which chat templates strip."""
PROMPT_GONE = "prompt_gone"
"""A pair whose prompt is not among the rows of the stage prompts."""
RESPONSE_GONE = "response_gone"
"""A pair with a response that is not among the rows of the stages sample and refine."""


@dataclass(frozen=True, slots=True)
class ExportedPair:
    """A preference pair with all that it names.

    Attributes:
        round: From 1. Ids of responses are unique in a round only.
        pair: What the pair builder made: scores, margin and gap.
        prompt: As the source gave it, without the system prompts that samples came about with.
        chosen: The preferred response.
        rejected: The other.
    """

    round: int
    pair: PreferencePair
    prompt: Prompt
    chosen: Response
    rejected: Response


@dataclass(frozen=True, slots=True)
class PairData:
    """The pairs of one or more rounds.

    Attributes:
        run: The run that they are from.
        rounds: The rounds that were read, in order.
        pairs: In the order of rounds, then as the pair builder made them.
        left_out: Reason to number of pairs that could not be put together.
    """

    run: StoredRun
    rounds: tuple[int, ...]
    pairs: tuple[ExportedPair, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Pairs that the pair builder made, those left out included."""
        return len(self.pairs) + sum(self.left_out.values())


def read_pairs(run: StoredRun, only: int | None = None) -> PairData:
    """Reads the pairs of all rounds that have some, or of one.

    Args:
        run: The run; it may have failed after a stage ``pairs``.
        only: The round; None: all.

    Raises:
        UsageError: If the run has no such round.
        RunError: If the run has no pairs, or what it names is gone from the store.
    """
    rounds = tuple(run.rounds("pairs"))
    if not rounds:
        raise RunError(
            f"{run.folder} has no preference pairs: it did not get through the stage pairs. "
            "Finish it first."
        )
    if only is not None:
        if only not in rounds:
            valid = ", ".join(map(str, rounds))
            raise UsageError(f"{run.folder} has no round {only} with pairs. Valid: {valid}.")
        rounds = (only,)
    prompts = _by_id(run, "prompts", None, Prompt)
    left_out: Counter[str] = Counter()
    found: list[ExportedPair] = []
    for number in rounds:
        responses = {
            **_by_id(run, "sample", number, Response),
            **_by_id(run, "refine", number, Response),
        }
        for pair in _pairs(run, number):
            item = _put_together(number, pair, prompts, responses)
            if isinstance(item, str):
                left_out[item] += 1
            else:
                found.append(item)
    if not found and not left_out:
        raise RunError(
            f"{run.folder}: the stage pairs made no pair, so there is nothing to export. The "
            "funnel in its run.json says where the prompts were lost."
        )
    return PairData(run, rounds, tuple(found), dict(left_out))


def without_text(pair: ExportedPair) -> str | None:
    """The reason why a trainer that reads texts cannot use a pair; None if it can."""
    texts = (pair.chosen.text, pair.rejected.text)
    return None if all(text.strip() for text in texts) else EMPTY_RESPONSE


def _put_together(
    number: int,
    pair: PreferencePair,
    prompts: Mapping[str, Prompt],
    responses: Mapping[str, Response],
) -> ExportedPair | str:
    """The pair with its texts, or the reason why they are not there."""
    if pair.prompt_id not in prompts:
        return PROMPT_GONE
    if pair.chosen not in responses or pair.rejected not in responses:
        return RESPONSE_GONE
    chosen, rejected = responses[pair.chosen], responses[pair.rejected]
    return ExportedPair(number, pair, prompts[pair.prompt_id], chosen, rejected)


def _pairs(run: StoredRun, number: int) -> Sequence[PreferencePair]:
    record = run.stage("pairs", number)
    assert record is not None  # the round is one of those that have it
    rows = tuple(stage_rows(run, record, PreferencePair))
    expected = len(run.objectives)
    for row in rows:
        counts = {len(row.chosen_scores), len(row.rejected_scores)}
        if counts != {expected}:
            raise RunError(
                f"{run.folder}: the pair {row.chosen} over {row.rejected} has "
                f"{' and '.join(map(str, sorted(counts)))} scores, but the recipe has {expected} "
                "objectives. Mend the pair builder, raise its revision and run the recipe again."
            )
    return rows


def _by_id(run: StoredRun, stage: str, number: int | None, row_type: type[Row]) -> dict[str, Row]:
    """The rows of a stage by their ids; none where the recipe has no such stage."""
    record = run.stage(stage, number)
    return {} if record is None else {row.id: row for row in stage_rows(run, record, row_type)}
