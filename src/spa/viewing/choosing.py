"""Which examples to show, and in which order."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from spa.errors import UsageError
from spa.types import Split
from spa.viewing.examples import Example, Reader
from spa.viewing.judging import changes, count_reasons, flips, has_fallen, mean_score, reasons

__all__ = ["SORTS", "Choice", "choose", "prompt_ids"]

SORTS = ("change", "score")
_NEAREST = 3
_LAST = float("inf")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show. Every condition that is set must hold.

    Attributes:
        ids: Of prompts, or of responses to them; empty: all.
        split: Training or held-out prompts alone; None: both.
        regressions: Held-out prompts on which training lowered the score.
        flips: Examples in which the order of what was shown turned a preference.
        unscored: Examples with a response that was judged and has no score.
        stage: Examples that the stage had to do with.
        reason: Examples in which this reason was given, at ``stage`` if that is set.
        objective: What ``regressions``, ``flips``, ``unscored`` and ``sort`` look at alone.
        sort: ``"score"`` or ``"change"``, lowest first; None: the order of the prompts, and for
            ``regressions`` the worst first.
        reverse: Highest first.
        skip: Leave out so many at the beginning.
        limit: Show so many at most; None: all.
    """

    ids: tuple[str, ...] = ()
    split: Split | None = None
    regressions: bool = False
    flips: bool = False
    unscored: bool = False
    stage: str | None = None
    reason: str | None = None
    objective: str | None = None
    sort: Literal["change", "score"] | None = None
    reverse: bool = False
    skip: int = 0
    limit: int | None = None


def choose(reader: Reader, choice: Choice) -> Iterator[Example]:
    """Yields the examples that a choice asks for, as they are found where no order is asked for.

    Raises:
        UsageError: If it names an id, stage, reason or objective that is not there.
        RunError: If a stage is not in the store any more.
    """
    _check(reader, choice)
    ids = prompt_ids(reader, choice.ids) if choice.ids else None
    found: Iterable[Example] = (
        each for each in reader.examples(ids) if _matches(each, reader, choice)
    )
    key = _order(reader, choice)
    end = None if choice.limit is None else choice.skip + choice.limit
    if key is not None:
        found = sorted(found, key=key) if end is None else heapq.nsmallest(end, found, key)
    return islice(found, choice.skip, end)


def prompt_ids(reader: Reader, given: Sequence[str]) -> frozenset[str]:
    """The prompts that ids name: their own, or those of responses to them.

    Raises:
        UsageError: If there is no such prompt.
    """
    known = set(reader.prompt_ids())
    found = set()
    for each in given:
        prompt = each if each in known else each.rpartition("/")[0]
        if prompt not in known:
            near = difflib.get_close_matches(each, known, _NEAREST, 0.5) or sorted(known)[:_NEAREST]
            raise UsageError(
                f"{reader.run.folder} has no prompt {each!r}. Nearest: {', '.join(near)}. "
                f"All are listed by: spa show {reader.run.folder} {reader.listing}"
            )
        found.add(prompt)
    return frozenset(found)


def _check(reader: Reader, choice: Choice) -> None:
    folder = reader.run.folder
    if choice.stage is not None and choice.stage not in reader.stages:
        raise UsageError(
            f"{folder} has no rows of a stage {choice.stage!r} in round {reader.round}. "
            f"Valid: {', '.join(reader.stages)}."
        )
    names = [each.name for each in reader.objectives]
    if choice.objective is not None and choice.objective not in names:
        raise UsageError(f"unknown objective {choice.objective!r}. Valid: {', '.join(names)}.")
    if choice.sort == "change" or choice.regressions:
        if not names:
            raise UsageError(
                "this evaluator does not say which responses are right, so there is no change to "
                "look at. Leave --regressions and --sort out."
            )
        _check_trained(reader, "--regressions" if choice.regressions else "--sort change")
    if choice.reason is not None:
        counts = count_reasons(reader)
        if choice.reason not in counts:
            there = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
            raise UsageError(
                f"no example of {folder} has the reason {choice.reason!r} in round {reader.round}. "
                + (f"There are: {there}." if there else "There are none at all.")
            )


def _check_trained(reader: Reader, option: str) -> None:
    if len(reader.models) < 2:
        state = reader.run.manifest.get("status")
        heldout = (reader.run.recipe.get("prompts") or {}).get("split")
        missing = "hold some out (prompts.split.heldout) and run the recipe again"
        if heldout and state != "done":
            missing = f"the run is {state}; the command that began it goes on with it"
        raise UsageError(
            f"{option} needs answers of a trained policy to held-out prompts, and "
            f"{reader.run.folder} has none in round {reader.round}: {missing}."
        )


def _matches(example: Example, reader: Reader, choice: Choice) -> bool:
    conditions = (
        choice.split in (None, example.prompt.split),
        not choice.regressions or has_fallen(_change(example, reader, choice)),
        not choice.flips or flips(example, choice.objective) > 0,
        not choice.unscored or _unscored(example, choice.objective),
        choice.stage is None or _concerns(example, choice.stage),
        choice.reason is None or _was_given(example, choice.reason, choice.stage),
    )
    return all(conditions)


def _was_given(example: Example, reason: str, stage: str | None) -> bool:
    return any(code == reason and stage in (None, at) for at, code in reasons(example))


def _unscored(example: Example, objective: str | None) -> bool:
    return any(
        score.value is None
        for each in example.all_responses
        for name, score in each.scores.items()
        if objective in (None, name)
    )


def _concerns(example: Example, stage: str) -> bool:
    """Whether a stage has a row, a failure or a reason of an example."""
    if stage == "prompts" or any(stage == at for at, _ in reasons(example)):
        return True
    if stage == "pairs":
        return bool(example.pairs)
    if stage.startswith("evaluate-"):
        return stage.removeprefix("evaluate-") in example.evaluations
    writer = _WRITERS.get(stage) or stage.removeprefix("judge-answers-").removeprefix("answer-")
    return writer in example.responses


_WRITERS = {
    "sample": "sample",
    "judge": "sample",
    "refine": "refined",
    "judge-refined": "refined",
}


def _change(example: Example, reader: Reader, choice: Choice) -> list[float | None]:
    change = changes(example, reader.objectives)
    if choice.objective is not None:
        return [change.get(choice.objective)]
    return [change.get(each.name) for each in reader.objectives]


def _order(reader: Reader, choice: Choice) -> Callable[[Example], Any] | None:
    """What to sort by; examples without a value come last."""
    name = choice.objective or next((each.name for each in reader.objectives), "")
    sign = -1 if choice.reverse else 1

    def place(value: float | None) -> float:
        return _LAST if value is None else sign * value

    if choice.sort == "change":
        return lambda each: place(changes(each, reader.objectives).get(name))
    if choice.sort == "score":
        return lambda each: place(mean_score(_of_interest(each), name))
    if choice.regressions:
        return lambda each: [place(value) for value in _change(each, reader, choice)]
    return None


def _of_interest(example: Example) -> Sequence[Any]:
    """The samples, or the answers of the trained policy."""
    own = example.trained or next(iter(example.responses), "")
    return example.responses.get(own, ())
