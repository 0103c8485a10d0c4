"""What a stage that is not in the store would cost: requests, tokens, time and room on disk.

Requests and prompts come from the first jobs, tried out. How long answers are, how fast a model is
and how large rows are is taken from the stage in the store that is most like it, where there is
one: the same stage with the same model, or else another stage of the same model, or of the same
backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spa.engine.planning.examples import ExampleRows
from spa.engine.planning.kept import KeptStage, KeptStages
from spa.engine.planning.trial import StoredAnswers, Trial
from spa.engine.planning.values import Basis
from spa.engine.records import RowCodec
from spa.engine.stages.stage import Stage
from spa.recipe.sections import TrainConfig

__all__ = ["Estimate", "estimated", "training"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Figures of `spa.engine.planning.values.StagePlan`, with what they rest on."""

    requests: int | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    basis: Mapping[str, Basis] = field(default_factory=dict)

    @classmethod
    def nothing(cls) -> Estimate:
        """Of a stage that is in the store."""
        names = ("requests", "prompt_tokens", "new_tokens", "seconds", "bytes")
        return cls(0, 0, 0, 0.0, 0, dict.fromkeys(names, "known"))


def estimated(
    stage: Stage[Any, Any],
    trial: Trial,
    total: int | None,
    done: int,
    answers: StoredAnswers | None,
    rows: ExampleRows[Any],
    kept: KeptStages,
    parts: Mapping[str, Any] | None,
) -> Estimate:
    """What is left of a stage.

    Args:
        stage: The stage.
        trial: What its first jobs came to.
        total: How many jobs it has; None if that is not known.
        done: How many of them are done.
        answers: Those in the store; None for a stage that cannot ask.
        rows: Examples of its rows, with their number.
        kept: What is in the store.
        parts: Of its key; None if it is not known yet.
    """
    basis: dict[str, Basis] = {}
    model = None if parts is None else parts["model"]
    component = None if stage.backend is None else stage.backend.registered.qualified
    like = _Likeness(kept, stage.name, component, model)
    requests = _requests(trial, total, done, answers)
    prompt = new = None
    if requests is not None:
        basis["requests"] = "estimated"
        prompt, basis["prompt_tokens"] = _prompt_tokens(trial, requests, like, parts)
        new, basis["new_tokens"] = _new_tokens(trial, requests, like)
    left = None if total is None else max(total - done, 0)
    seconds = _seconds(like, left, requests, prompt, new)
    size = _bytes(stage, trial, left, requests, answers, rows, like, new)
    if seconds is not None:
        basis["seconds"] = "measured"
    if size is not None:
        basis["bytes"] = "measured" if like.rows is not None else "estimated"
    return Estimate(requests, prompt, new, seconds, size, basis)


def training(
    kept: Sequence[KeptStage],
    pairs: int | None,
    settings: TrainConfig,
    parts: Mapping[str, Any] | None,
) -> Estimate:
    """What a training would cost; it asks nothing.

    Args:
        kept: Trainings in the store.
        pairs: How many pairs there are; None if that is not known.
        settings: Section ``train``.
        parts: Of its key; None if it is not known yet.
    """
    basis: dict[str, Basis] = dict.fromkeys(("requests", "prompt_tokens", "new_tokens"), "known")
    finished = [each for each in kept if each.number("steps") > 0 and _batch(each)]
    model = None if parts is None else parts["model"]
    near = _first(finished, lambda each: model is not None and each.model == model) or next(
        iter(finished), None
    )
    seconds = size = None
    if near is not None:
        size = near.size
        basis["bytes"] = "measured"
        if pairs is not None:
            each = near.number("seconds") / (near.number("steps") * _batch(near))
            seconds = each * pairs * settings.epochs
            basis["seconds"] = "measured"
    return Estimate(0, 0, 0, seconds, size, basis)


class _Likeness:
    """Stages in the store that a stage can be measured by."""

    def __init__(
        self,
        kept: KeptStages,
        name: str,
        component: str | None,
        model: Mapping[str, Any] | None,
    ) -> None:
        same = [each for each in kept.of(name) if each.info]
        self.rows = _first(same, lambda each: each.number("rows") > 0)
        self.quiet = _first(same, lambda each: not each.number("asked") and _timed(each))

        def backend(each: KeptStage) -> bool:
            return component is not None and each.model.get("component") == component

        def of_model(each: KeptStage) -> bool:
            return backend(each) and (model is None or each.model == model)

        asked = [each for each in same if each.number("asked") > 0]
        self.answers = _first(asked, of_model)
        every = [each for each in kept.all() if each.number("asked") > 0 and _timed(each)]
        self.speed = (
            _first([each for each in asked if _timed(each)], of_model)
            or _first(every, lambda each: model is not None and each.model == model)
            or _first(every, backend)
        )


def _requests(
    trial: Trial, total: int | None, done: int, answers: StoredAnswers | None
) -> int | None:
    if answers is None:
        return 0
    if total is None or (total and not trial.jobs):
        return None
    asked = trial.asked + trial.replayed
    each = asked / trial.jobs if trial.jobs else 0.0
    known = each * done
    if asked and not trial.asked:  # the answers of earlier parsers serve
        known = max(known, answers.count)
    return max(round(each * total - known), 0)


def _prompt_tokens(
    trial: Trial, requests: int, like: _Likeness, parts: Mapping[str, Any] | None
) -> tuple[int, Basis]:
    near = like.answers
    same = (
        near is not None and parts is not None and near.parts["components"] == parts["components"]
    )
    if near is not None and same:
        return round(requests * near.number("prompt_tokens") / near.number("asked")), "measured"
    asked = trial.asked + trial.replayed
    return (round(requests * trial.prompt_tokens / asked) if asked else 0), "estimated"


def _new_tokens(trial: Trial, requests: int, like: _Likeness) -> tuple[int, Basis]:
    asked = trial.asked + trial.replayed
    most = trial.new_tokens / asked if asked else 0.0
    if like.answers is not None:
        mean = like.answers.number("new_tokens") / like.answers.number("asked")
        return round(requests * min(mean, most)), "measured"
    return round(requests * most), "at most"


def _seconds(
    like: _Likeness,
    left: int | None,
    requests: int | None,
    prompt: int | None,
    new: int | None,
) -> float | None:
    if requests is None or left is None or prompt is None or new is None:
        return None
    if left == 0:
        return 0.0
    if not requests:
        quiet = like.quiet
        return None if quiet is None else left * quiet.number("seconds") / quiet.number("jobs")
    near = like.speed
    if near is None:
        return None
    tokens = near.number("prompt_tokens") + near.number("new_tokens")
    return (prompt + new) * near.number("seconds") / tokens if tokens else None


def _bytes(
    stage: Stage[Any, Any],
    trial: Trial,
    left: int | None,
    requests: int | None,
    answers: StoredAnswers | None,
    rows: ExampleRows[Any],
    like: _Likeness,
    new: int | None,
) -> int | None:
    if left is None:
        return None
    kept_answers = 0.0
    if requests and answers is not None:
        characters = 4 * (new or 0)  # an answer's text and its token ids
        kept_answers = requests * (answers.bytes_each or 0) or 2 * characters + 200 * requests
    if like.rows is not None:
        return round(left * like.rows.size / max(like.rows.number("jobs"), 1) + kept_answers)
    examples = list(rows)
    if not examples:
        return None if left else 0
    each = len(RowCodec(stage.row_type).encode(examples)) / (trial.jobs or len(examples))
    return round(left * each + kept_answers)


def _first(stages: Iterable[KeptStage], fits: Callable[[KeptStage], bool]) -> KeptStage | None:
    return next((each for each in stages if fits(each)), None)


def _timed(stage: KeptStage) -> bool:
    return stage.number("seconds") > 0 and stage.number("jobs") > 0


def _batch(stage: KeptStage) -> float:
    settings = stage.parts.get("settings")
    value = settings.get("batch_pairs") if isinstance(settings, Mapping) else None
    return math.floor(value) if isinstance(value, int | float) and value > 0 else 0
