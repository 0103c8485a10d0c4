"""What two judges said of the same samples, read from runs, and how far they agree.

The first judge's scores order the groups, as its scores are what a run denoises by. Groups in which
the determinant says nothing are left out, as the denoiser `informativeness` leaves them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

import numpy as np

from spa.components.denoisers.configs import InformativenessConfig
from spa.components.denoisers.informativeness import InformativenessDenoiser
from spa.engine.joining import Beside
from spa.engine.rows import JudgedRow
from spa.engine.stored_run import StoredRun, stage_rows
from spa.errors import UsageError
from spa.evaluation.agreement import Bend, JudgedGroup, Step, agreement_curve
from spa.types import Group, Objective, Prompt, Response, Scored

__all__ = ["JudgesAgreement", "agreements"]

_INFORMATIVENESS = "informativeness"
_KEPT = ("informative", "unstable")


@dataclass(frozen=True, slots=True)
class JudgesAgreement:
    """How far two judges agree on the samples of one round.

    Attributes:
        first: Name of the judge whose scores order the groups.
        second: Name of the other.
        prompts: Training prompts with samples.
        left_out: Reason to number of prompts that are in no step.
        steps: By rising determinant.
        bend: Where agreement begins to fall; None if it does not.
        tau: ``max_determinant`` of the first run's recipe; None if it does not bound it.
        within_tau: How many groups of the last step it admits.
    """

    first: str
    second: str
    prompts: int
    left_out: Mapping[str, int]
    steps: tuple[Step, ...]
    bend: Bend | None
    tau: float | None
    within_tau: int | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """The stage in which one judge scored the samples of a run."""

    name: str
    run: StoredRun
    record: Mapping[str, Any]
    objectives: tuple[Objective, ...]


def agreements(
    runs: Sequence[StoredRun], number: int = 1, *, points: int = 20, resamples: int = 2000
) -> list[JudgesAgreement]:
    """The first judge against every other one.

    Args:
        runs: One with a judge of several members, which are then compared; or several that share
            their samples, each with its judge as a whole.
        number: The round.
        points: Most steps of a curve.
        resamples: Drawings of the bootstraps.

    Raises:
        UsageError: If there are no two judges, or they did not judge the same samples.
        RunError: If a stage is not in the store any more.
    """
    readings = _readings(runs, number)
    first, *others = readings
    sample = _record(first.run, "sample", number)
    for run in runs[1:]:
        _check_samples(runs[0], run, number)
    return [_agreement(first, other, sample, points, resamples) for other in others]


def _readings(runs: Sequence[StoredRun], number: int) -> list[_Reading]:
    if len(runs) > 1:
        if len({run.folder.resolve() for run in runs}) < len(runs):
            raise UsageError(
                "a run is named twice. Give different runs: spa judge-agreement runs/A runs/B"
            )
        return [
            _Reading(
                f"{run.name} ({_bare(run.recipe['judge'])})",
                run,
                _record(run, "judge", number),
                _objectives(run),
            )
            for run in runs
        ]
    (run,) = runs
    members = (run.recipe.get("judge") or {}).get("members") or ()
    if len(members) < 2:
        raise UsageError(
            f"run {run.name} has one judge, and two are needed. Run its recipe again with another "
            "one, which shares the samples (spa run RECIPE --swap judge=NAME), and give both runs; "
            "or give a run whose judge has members"
        )
    return [
        _Reading(
            f"member {place} ({_bare(member)})",
            run,
            _record(run, f"judge/{place}", number),
            _objectives(run),
        )
        for place, member in enumerate(members, start=1)
    ]


def _bare(section: Mapping[str, Any]) -> str:
    return str(section["use"]).rpartition("/")[2]


def _record(run: StoredRun, stage: str, number: int) -> Mapping[str, Any]:
    record = run.stage(stage, number)
    if record is None or "folder" not in record:
        rounds = ", ".join(map(str, run.rounds(stage))) or "none"
        raise UsageError(
            f"run {run.name} did not get through stage '{stage}' of round {number}. Rounds that "
            f"did: {rounds}"
        )
    return record


def _objectives(run: StoredRun) -> tuple[Objective, ...]:
    return tuple(
        Objective(str(each["name"]), str(each.get("definition")))
        for each in run.recipe["objectives"]
    )


def _check_samples(first: StoredRun, other: StoredRun, number: int) -> None:
    """Two runs share their samples if it is one stage, or if ids and texts are the same."""
    records = [_record(run, "sample", number) for run in (first, other)]
    if first.store == other.store and records[0]["folder"] == records[1]["folder"]:
        return
    rows = (
        stage_rows(run, record, Response)
        for run, record in zip((first, other), records, strict=True)
    )
    for one, two in zip_longest(*rows):
        if one is None or two is None or (one.id, one.text) != (two.id, two.text):
            raise UsageError(
                f"runs {first.name} and {other.name} did not judge the same samples, so their "
                "judges cannot be compared. Runs share samples if their recipes differ in the "
                "judge and in what comes after it alone: spa run RECIPE --swap judge=NAME"
            )


def _agreement(
    first: _Reading, second: _Reading, sample: Mapping[str, Any], points: int, resamples: int
) -> JudgesAgreement:
    bound, config = _informativeness(first.run)
    denoiser = InformativenessDenoiser(config)
    groups: list[JudgedGroup] = []
    left_out: Counter[str] = Counter()
    prompts = 0
    for group, scores in _judged(first, second, sample):
        prompts += 1
        verdict = denoiser.verdict(group, first.objectives)
        if verdict.reason not in _KEPT:
            left_out[verdict.reason] += 1
            continue
        own = np.array([each.vector(first.objectives) for each in group.samples])
        groups.append(JudgedGroup(float(str(verdict.details["determinant"])), own, scores))
    steps, bend = agreement_curve(groups, points=points, resamples=resamples)
    return JudgesAgreement(
        first=first.name,
        second=second.name,
        prompts=prompts,
        left_out=dict(left_out),
        steps=tuple(steps),
        bend=bend,
        tau=bound,
        within_tau=None if bound is None else sum(g.determinant <= bound for g in groups),
    )


def _judged(
    first: _Reading, second: _Reading, sample: Mapping[str, Any]
) -> Iterator[tuple[Group, Any]]:
    """Groups with the first judge's scores, and the second's (n, L), of samples that both scored.

    A sample with no score on some objective takes no part, as in a run.
    """
    responses = stage_rows(first.run, sample, Response)
    own, other = (
        Beside(stage_rows(each.run, each.record, JudgedRow), lambda row: row.prompt_id)
        for each in (first, second)
    )
    for prompt_id, of_prompt in groupby(responses, lambda response: response.prompt_id):
        by_first, by_second = (
            {row.response_id: row.scores for row in rows.of(prompt_id)} for rows in (own, other)
        )
        both = []
        for response in of_prompt:
            pair = tuple(Scored(response, by.get(response.id, {})) for by in (by_first, by_second))
            if pair[0].is_complete(first.objectives) and pair[1].is_complete(second.objectives):
                both.append(pair)
        group = Group(Prompt(prompt_id, ()), tuple(one for one, _ in both))
        yield group, np.array([two.vector(second.objectives) for _, two in both])


def _informativeness(run: StoredRun) -> tuple[float | None, InformativenessConfig]:
    """The recipe's bound, and the settings of its denoiser; without one None and the defaults."""
    for section in run.recipe.get("denoise") or ():
        if _bare(section) == _INFORMATIVENESS:
            settings = {key: value for key, value in section.items() if key != "use"}
            config = InformativenessConfig.model_validate(settings)
            return config.max_determinant, config
    return None, InformativenessConfig()
