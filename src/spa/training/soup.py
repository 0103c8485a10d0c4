"""Rewarded soups: an adapter for each objective, mixed with weights (arXiv 2306.04488).

Beside SPA's strict order and losses that mix scores, the third way to have several objectives: each
is trained for by itself, and the weights of the models are mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa.errors import RunError
from spa.training.groups import TrainingGroup
from spa.training.job import Observe
from spa.training.mixing import mix_adapters
from spa.training.outcome import TrainProgress, TrainResult
from spa.training.run import train, write_result
from spa.types import Objective

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = ["PARTS", "train_soup"]

PARTS = "objectives"
"""Folder of the adapters that are mixed, each under the name of its objective."""


def train_soup(
    groups: Mapping[str, Sequence[TrainingGroup]],
    objectives: Sequence[Objective],
    *,
    settings: TrainConfig,
    output_dir: Path,
    run_name: str,
    on_progress: Observe,
    made_before: Callable[[str], Iterable[Path]] = lambda _: (),
    **others: Any,
) -> TrainResult:
    """Trains an adapter for each objective and mixes them.

    A call that was stopped goes on with the objective that it was at.

    Args:
        groups: By objective the prompts with responses, and pairs that it alone decides.
        objectives: In the recipe's order.
        settings: Section ``train``, with ``soup``: a weight for each objective.
        output_dir: Folder of this training alone. Gets ``adapter``, ``objectives/NAME/adapter``
            and last ``result.json``.
        run_name: What experiment trackers call the training, the objective's name added.
        on_progress: Told of all trainings as if they were one.
        made_before: Gives for an objective the folders of other trainings for it, from which one
            that is just the same is copied: soups that differ in their weights share them.
        others: What `spa.training.run.train` takes besides.

    Raises:
        TrainingStopped: If it was asked to stop. Call again to go on.
        RunError: If there is nothing to train on for an objective, or training failed.
    """
    if settings.soup is None:
        raise ValueError("there are no weights")
    total = sum(settings.soup)
    weights = [weight / total for weight in settings.soup]
    alone = settings.model_copy(update={"soup": None})
    pairs = [sum(len(group.pairs) for group in groups[each.name]) for each in objectives]
    if 0 in pairs:
        raise RunError(_without_pairs(objectives[pairs.index(0)].name))
    results: list[TrainResult] = []
    for number, objective in enumerate(objectives):
        results.append(
            train(
                groups[objective.name],
                (objective,),
                settings=alone,
                output_dir=output_dir / PARTS / objective.name,
                run_name=f"{run_name}-{objective.name}",
                on_progress=_Together(pairs, number, results, on_progress),
                made_before=made_before(objective.name),
                **others,
            )
        )
    path = output_dir / "adapter"
    card = _card(objectives, weights, results)
    mix_adapters([result.path for result in results], weights, path, card)
    result = _summed(results, path)
    write_result(result, output_dir)
    return result


class _Together:
    """Tells of a training as a part of all of them."""

    def __init__(
        self, pairs: Sequence[int], number: int, before: Sequence[TrainResult], tell: Observe
    ) -> None:
        self._share = (sum(pairs[:number]) / pairs[number], sum(pairs) / pairs[number])
        self._steps = sum(result.steps for result in before)
        self._tell = tell

    def __call__(self, state: TrainProgress) -> None:
        before, all_of_them = self._share
        self._tell(
            TrainProgress(
                state.phase,
                state.done + round(before * state.total),
                round(all_of_them * state.total),
                state.step + self._steps,
                round(all_of_them * state.steps),
                state.metrics,
            )
        )


def _summed(results: Sequence[TrainResult], path: Path) -> TrainResult:
    """All trainings as one, the steps numbered through."""
    history: list[Mapping[str, float]] = []
    dropped: Counter[str] = Counter()
    steps = 0
    for result in results:
        history += [{**entry, "step": entry["step"] + steps} for entry in result.history]
        steps += result.steps
        dropped.update(result.dropped)
    return TrainResult(
        path=path,
        kind="adapter",
        steps=steps,
        history=tuple(history),
        dropped=dict(dropped),
        retokenised=max(result.retokenised for result in results),
        warnings=tuple(dict.fromkeys(text for result in results for text in result.warnings)),
        seconds=sum(result.seconds for result in results),
        layout=results[0].layout,
    )


def _without_pairs(name: str) -> str:
    return (
        f"train.soup trains for each objective by itself, and no pair differs on {name} by "
        "pairs.margin. Use more prompts or samples, a smaller pairs.margin, or leave train.soup "
        "out."
    )


def _card(
    objectives: Sequence[Objective], weights: Sequence[float], results: Sequence[TrainResult]
) -> str:
    """The first adapter's front matter, and what was mixed."""
    first = (results[0].path / "README.md").read_text(encoding="utf-8")
    front = first.split("---\n")[1]
    rows = "\n".join(
        f"| {objective.name} | {weight:g} | ../{PARTS}/{objective.name}/adapter |"
        for objective, weight in zip(objectives, weights, strict=True)
    )
    return f"""---
{front}---

# A mixture of adapters, one for each objective

A [rewarded soup](https://arxiv.org/abs/2306.04488): each adapter was trained on the preferences of
one objective alone, and what they add to the base model's weights was summed with these weights.

| objective | weight | adapter, with a card of its own |
|---|---|---|
{rows}

Its limits are theirs. What it does must be measured; nothing here guarantees safe answers.
"""
