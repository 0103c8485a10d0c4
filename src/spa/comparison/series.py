"""One value a prompt of every figure that a run's evaluators report, read from the store.

An evaluator says how rows become figures; asked about one row alone it gives that prompt's value.
Figures that are means over prompts can so be paired prompt by prompt between runs, whatever the
evaluator. A figure for which the mean of the prompts' values is not what the evaluator reports for
all rows is kept apart: it has no value a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spa.contracts import Evaluator
from spa.engine.rows import EvaluationRow
from spa.engine.stages.evaluate import numbered
from spa.engine.stored_evaluator import stored_evaluator
from spa.engine.stored_run import StoredRun, stage_rows
from spa.errors import UsageError
from spa.plugins.catalogue import Catalogue, load_catalogue
from spa.types import JsonValue, Metric, Objective

__all__ = ["Figure", "FigureSeries", "read_series"]

BASE = "base"
TRAINED = "trained"
_ROUNDING = 1e-9
_WEIGHED = 2


@dataclass(frozen=True, slots=True, order=True)
class Figure:
    """What is measured.

    Attributes:
        evaluator: Name of the evaluator, without its distribution; of the second of one name
            ``NAME/2``.
        name: Of the figure, for example ``"harmlessness"``.
        model: ``"base"``, ``"trained"`` for the model of the last round, the difference
            ``"trained - base"``, or ``"trained against base"`` for what relates the two otherwise.
    """

    evaluator: str
    name: str
    model: str


@dataclass(frozen=True, slots=True)
class FigureSeries:
    """A figure of one run.

    Attributes:
        value: Over all prompts, as the evaluator reports it; None if it could not be had.
        n: Prompts that it rests on.
        by_prompt: Prompt id to value; None if the figure is no mean over prompts.
    """

    value: float | None
    n: int
    by_prompt: Mapping[str, float] | None


def read_series(
    run: StoredRun, catalogue: Catalogue | None = None, *, lambdas: Sequence[float] = ()
) -> dict[Figure, FigureSeries]:
    """All figures of a run, in the order of its evaluators; those of earlier rounds are left out.

    Args:
        run: The run.
        catalogue: Where its evaluators are found; by default what is installed.
        lambdas: Weights for evaluators that have a setting `lambdas`, besides those of the recipe.

    Raises:
        UsageError: If there are lambdas, and the run does not have two objectives.
        SpaError: If an evaluator is not installed any more, or its rows are not in the store.
    """
    if lambdas and len(run.objectives) != _WEIGHED:
        raise UsageError(
            "a lambda weighs two objectives against each other, and run "
            f"{run.name} has {len(run.objectives)}. Leave --lambda out"
        )
    found: dict[Figure, FigureSeries] = {}
    catalogue = catalogue or load_catalogue()
    objectives = tuple(
        Objective(str(o["name"]), str(o["definition"]), o["threshold"])
        for o in run.recipe["objectives"]
    )
    sections = run.recipe["evaluate"]
    names = numbered(str(section["use"]).rpartition("/")[2] for section in sections)
    for section, name in zip(sections, names, strict=True):
        record = run.stage(f"evaluate-{name}")
        if record is None:
            continue
        evaluator = stored_evaluator(run, section, catalogue, lambdas=lambdas)
        rows = [row.record for row in stage_rows(run, record, EvaluationRow)]
        last = f"round-{run.recipe['iterations']}"
        for figure, series in _figures(evaluator, rows, objectives, name, last):
            found[figure] = series
    return found


def _figures(
    evaluator: Evaluator,
    rows: Sequence[Mapping[str, JsonValue]],
    objectives: Sequence[Objective],
    name: str,
    last: str,
) -> list[tuple[Figure, FigureSeries]]:
    prompts: dict[Figure, dict[str, float]] = {}
    for row in rows:
        for metric in evaluator.summary([row], objectives):
            figure = _figure(name, metric, last)
            if figure is not None and metric.value is not None:
                prompts.setdefault(figure, {})[str(row["prompt_id"])] = metric.value
    found = []
    for metric in evaluator.summary(rows, objectives):
        figure = _figure(name, metric, last)
        if figure is not None:
            by_prompt = prompts.get(figure, {})
            paired = by_prompt if _is_mean(metric, by_prompt) else None
            found.append((figure, FigureSeries(metric.value, metric.n, paired)))
    return found


def _figure(evaluator: str, metric: Metric, last: str) -> Figure | None:
    """The figure under a name that runs of different length share; None for earlier rounds."""
    names = {BASE: BASE, last: TRAINED}
    names |= {f"{last}{link}{BASE}": f"{TRAINED}{link}{BASE}" for link in (" - ", " against ")}
    model = names.get(metric.model)
    return None if model is None else Figure(evaluator, metric.name, model)


def _is_mean(metric: Metric, by_prompt: Mapping[str, float]) -> bool:
    if metric.value is None or not by_prompt:
        return False
    mean = math.fsum(by_prompt.values()) / len(by_prompt)
    return math.isclose(mean, metric.value, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
