"""Builds the preference pairs of every group that denoising kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import cast

from spa.contracts import PairBuilder
from spa.engine.asking import Job
from spa.engine.components import create
from spa.engine.context import RunContext
from spa.engine.stages.base import run_stage
from spa.engine.stages.stage import Stage, StageRows
from spa.types import Group, Objective, PreferencePair

__all__ = ["pairs_stage"]


def pairs_stage(
    context: RunContext,
    groups: Callable[[], Iterable[Group]],
    total: int,
    objectives: Sequence[Objective],
    reads: tuple[str, ...],
) -> StageRows[PreferencePair]:
    """Runs the stage ``pairs``.

    Args:
        context: The run.
        groups: Gives the groups that denoising kept.
        total: How many there are.
        objectives: In the recipe's order, thresholds included.
        reads: Keys of the stages that the groups come from.
    """
    section = context.recipe.pairs
    builder = cast("PairBuilder", create(section))

    def jobs() -> Iterator[Job[Sequence[PreferencePair]]]:
        for group in groups():
            yield Job(group.prompt.id, partial(builder.pairs, group, objectives))

    return run_stage(
        context,
        Stage(
            name="pairs",
            row_type=PreferencePair,
            components=(section,),
            jobs=jobs,
            total=total,
            rows=lambda _, pairs: list(pairs),
            reads=reads,
            settings={"objectives": [[o.name, o.threshold] for o in objectives]},
        ),
    )
