"""What the runs of an ablation share, from the plan of each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spa.engine.keys import canonical_json

if TYPE_CHECKING:
    from spa.engine.planning import RunPlan
    from spa.recipe import Recipe

__all__ = ["SharedStage", "saved", "shared_stages", "stage_identities"]


@dataclass(frozen=True, slots=True)
class SharedStage:
    """A stage over all runs of an ablation.

    Attributes:
        title: Its title.
        runs: How many runs have it.
        computations: How many different ones there are among them; each is computed once.
        stored: How many of those are in the store already.
        most: In how many runs the one that most of them share is.
        least: The same of the one that the fewest share.
        seconds: What those that are not stored will take, as far as it can be told; None if not.
    """

    title: str
    runs: int
    computations: int
    stored: int
    most: int
    least: int
    seconds: float | None = None


def shared_stages(plans: Sequence[tuple[Recipe, RunPlan]]) -> list[SharedStage]:
    """Counts every stage over all runs, in the order in which they come.

    The first round of a run with several is the only round of others, so a stage counts under the
    title by which it came first.
    """
    found: dict[str, Counter[str]] = {}
    titles: dict[str, str] = {}
    stored: dict[str, set[str]] = {}
    seconds: dict[str, dict[str, float | None]] = {}
    for recipe, plan in plans:
        for stage, identity in zip(plan.stages, stage_identities(recipe, plan), strict=True):
            title = titles.setdefault(identity, stage.title)
            found.setdefault(title, Counter())[identity] += 1
            if stage.status == "hit":
                stored.setdefault(title, set()).add(identity)
            else:
                seconds.setdefault(title, {})[identity] = stage.seconds
    return [
        SharedStage(
            title=title,
            runs=counts.total(),
            computations=len(counts),
            stored=len(stored.get(title, ())),
            most=max(counts.values()),
            least=min(counts.values()),
            seconds=_total(seconds.get(title, {}).values()),
        )
        for title, counts in found.items()
    ]


def _total(seconds: Collection[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None


def saved(stages: Iterable[SharedStage]) -> int:
    """How many stages need not be computed because another run has them."""
    return sum(stage.runs - stage.computations for stage in stages)


def stage_identities(recipe: Recipe, plan: RunPlan) -> list[str]:
    """What makes each stage of a run the one that it is: its key.

    A stage that reads a model that is not trained yet has none: it is told apart by the last key
    before it, which is that of the training, and by all that comes after training in the recipe. A
    first round does not depend on how many follow.
    """
    resolved = recipe.resolved()
    after = [resolved[key] for key in ("answer", "judge", "evaluate")]
    last = ""
    identities = []
    for stage in plan.stages:
        last = stage.key or last
        name = stage.title.removeprefix(f"{stage.round}/")
        rounds = None if stage.round == 1 else resolved["iterations"]
        identities.append(stage.key or canonical_json([last, stage.round, name, rounds, after]))
    return identities
