"""Drops the prompt groups whose judgement cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from spa.contracts import Denoiser
from spa.engine.asking import Job
from spa.engine.assembly import Assembled
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.rows import NamedVerdict, VerdictRow
from spa.engine.stages.base import run_stage
from spa.engine.stages.stage import Stage, StageRows
from spa.types import Group, Objective

__all__ = ["denoise_group", "denoise_stage", "without"]


def denoise_stage(
    context: RunContext,
    groups: Callable[[], Iterable[Assembled]],
    total: int,
    objectives: Sequence[Objective],
    reads: tuple[str, ...],
) -> StageRows[VerdictRow]:
    """Runs the stage ``denoise``: every denoiser of the recipe in turn on every group.

    Args:
        context: The run.
        groups: Puts the groups together, one for every training prompt.
        total: How many there are.
        objectives: In the recipe's order, thresholds included.
        reads: Keys of the stages that the groups come from.
    """
    sections = context.recipe.denoise
    denoisers = [
        (section.registered.qualified, cast("Denoiser", create(section))) for section in sections
    ]

    def jobs() -> Iterator[Job[VerdictRow]]:
        for entry in groups():
            yield Job(entry.prompt.id, partial(denoise_group, entry, denoisers, objectives))

    return run_stage(
        context,
        Stage(
            name="denoise",
            row_type=VerdictRow,
            components=sections,
            jobs=jobs,
            total=total,
            rows=lambda _, row: [row],
            reads=reads,
            settings={"thresholds": [[o.name, o.threshold] for o in objectives]},
        ),
    )


def denoise_group(
    entry: Assembled,
    denoisers: Sequence[tuple[str, Denoiser]],
    objectives: Sequence[Objective],
) -> VerdictRow:
    """Asks the denoisers, by qualified name, in turn up to the first that drops the group."""
    if entry.group is None:
        return VerdictRow(entry.prompt.id, False, entry.lost_at, entry.reason)
    group = entry.group
    verdicts: list[NamedVerdict] = []
    dropped: list[str] = []
    for name, denoiser in denoisers:
        verdict = denoiser.verdict(group, objectives)
        verdicts.append(NamedVerdict(name, verdict.keep, verdict.reason, verdict.details))
        if not verdict.keep:
            return VerdictRow(
                entry.prompt.id, False, name, verdict.reason, tuple(dropped), tuple(verdicts)
            )
        dropped.extend(verdict.drop)
        group = without(group, verdict.drop)
    return VerdictRow(entry.prompt.id, True, "", "kept", tuple(dropped), tuple(verdicts))


def without(group: Group, dropped: Sequence[str]) -> Group:
    """A group without some of its responses."""
    refined = group.refined
    return replace(
        group,
        samples=tuple(sample for sample in group.samples if sample.id not in dropped),
        refined=None if refined is not None and refined.id in dropped else refined,
    )
