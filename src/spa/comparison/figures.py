"""Several settings against the first: what differs, figures, and paired differences.

A setting is one run, or several that differ in their seeds alone and are pooled.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from spa.comparison.paired import PairedDifference, holm, paired_over_seeds
from spa.comparison.recipes import SettingDifference, differences
from spa.comparison.series import TRAINED, Figure, FigureSeries, read_series
from spa.engine.failing import counted
from spa.engine.stored_run import StoredRun
from spa.errors import UsageError
from spa.types import JsonValue

__all__ = ["CONFIDENCE", "Cell", "Comparison", "Line", "Setting", "compare", "compare_settings"]

_TWO_SEEDS = (
    "two seeds say little of how much seeds differ: where they differ much, intervals of 95% cover "
    "88%. Run three or more"
)

_BySeed: TypeAlias = Mapping[str, Mapping[Figure, FigureSeries]]
"""The figures of a setting's runs by their seeds."""

CONFIDENCE = 0.95
"""Coverage of the intervals, and 1 less the level of what is called sure."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Runs that are one column of a comparison.

    Attributes:
        name: Of the column.
        runs: At least one; several differ in their seeds alone.
    """

    name: str
    runs: tuple[StoredRun, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of one setting.

    Attributes:
        value: None if it does not have the figure; the mean over runs where there are several.
        n: Prompts that it rests on, those of all runs together.
        difference: To the first run; None for that one, and where it could not be paired.
        adjusted_p: The difference's p-value, adjusted for all differences of trained models.
        sure: Whether the difference's interval excludes 0 and its adjusted p-value is below 0.05.
        runs: How many runs have the figure.
        spread: Standard deviation of their values; None for fewer than two.
    """

    value: float | None
    n: int = 0
    difference: PairedDifference | None = None
    adjusted_p: float | None = None
    sure: bool = False
    runs: int = 1
    spread: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A figure over all settings; one cell a setting."""

    figure: Figure
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: Names of the settings; the first is what the others are compared with.
        settings: What differs in their recipes.
        lines: Their figures.
        tests: How many differences the p-values are adjusted for.
        notes: What must be known before the figures are believed.
    """

    runs: tuple[str, ...]
    settings: tuple[SettingDifference, ...]
    lines: tuple[Line, ...]
    tests: int
    notes: tuple[str, ...]


def compare(runs: Sequence[StoredRun]) -> Comparison:
    """Compares finished runs with the first of them, each by itself.

    Raises:
        UsageError: If there are fewer than two, or two of the same folder.
        SpaError: If their rows cannot be read.
    """
    return compare_settings([Setting(run.name, (run,)) for run in runs])


def compare_settings(settings: Sequence[Setting], *, lambdas: Sequence[float] = ()) -> Comparison:
    """Compares settings with the first of them; runs of the same seeds are paired by prompt.

    Where no setting has more than one run, runs are paired whatever their seeds.

    Args:
        settings: The columns.
        lambdas: Weights of HH_lambda, besides those of the recipes.

    Raises:
        UsageError: If there are fewer than two, or two runs of the same folder; or if there are
            lambdas, and a run does not have two objectives.
        SpaError: If their rows cannot be read.
    """
    runs = [run for setting in settings for run in setting.runs]
    folders = [run.folder.resolve() for run in runs]
    if len(settings) < 2 or len(set(folders)) < len(folders):
        raise UsageError("give at least two different runs: spa compare runs/FIRST runs/SECOND")
    pooled = any(len(setting.runs) > 1 for setting in settings)
    series = [
        {_seed(run) if pooled else "": read_series(run, lambdas=lambdas) for run in setting.runs}
        for setting in settings
    ]
    figures = list(
        dict.fromkeys(figure for each in series for own in each.values() for figure in own)
    )
    raw = [[_cell(each, series[0], figure) for each in series] for figure in figures]
    places = [
        (row, column)
        for row, figure in enumerate(figures)
        if figure.model == TRAINED
        for column in range(1, len(settings))
    ]
    found = [raw[row][column].difference for row, column in places]
    adjusted = holm([None if each is None else each.p_value for each in found])
    for (row, column), p_value in zip(places, adjusted, strict=True):
        cell = raw[row][column]
        sure = _is_sure(cell.difference, p_value)
        raw[row][column] = replace(cell, adjusted_p=p_value, sure=sure)
    return Comparison(
        runs=tuple(setting.name for setting in settings),
        settings=tuple(differences([_recipe(setting) for setting in settings])),
        lines=tuple(Line(f, tuple(cells)) for f, cells in zip(figures, raw, strict=True)),
        tests=sum(p_value is not None for p_value in adjusted),
        notes=tuple(_notes(settings, figures, series)),
    )


def _seed(run: StoredRun) -> str:
    return f"{run.recipe.get('seed')}/{(run.recipe.get('train') or {}).get('seed')}"


def _recipe(setting: Setting) -> Mapping[str, JsonValue]:
    """The recipe of a setting, without seeds where it has several."""
    recipe = dict(setting.runs[0].recipe)
    if len(setting.runs) > 1:
        recipe.pop("seed", None)
        recipe["train"] = {k: v for k, v in (recipe.get("train") or {}).items() if k != "seed"}
    return recipe


def _cell(series: _BySeed, first: _BySeed, figure: Figure) -> Cell:
    own = [each[figure] for each in series.values() if figure in each]
    values = [each.value for each in own if each.value is not None]
    cell = Cell(
        value=sum(values) / len(values) if values else None,
        n=sum(each.n for each in own),
        runs=len(own),
        spread=statistics.stdev(values) if len(values) > 1 else None,
    )
    if series is first or not own:
        return cell
    difference = paired_over_seeds(
        _by_prompt(series, figure), _by_prompt(first, figure), confidence=CONFIDENCE
    )
    return replace(cell, difference=difference)


def _by_prompt(series: _BySeed, figure: Figure) -> dict[str, Mapping[str, float]]:
    found = {seed: each[figure].by_prompt for seed, each in series.items() if figure in each}
    return {seed: values for seed, values in found.items() if values is not None}


def _is_sure(difference: PairedDifference | None, p_value: float | None) -> bool:
    if difference is None or p_value is None or difference.low is None or difference.high is None:
        return False
    return (difference.low > 0 or difference.high < 0) and p_value < 1 - CONFIDENCE


def _notes(
    settings: Sequence[Setting], figures: Sequence[Figure], series: Sequence[_BySeed]
) -> list[str]:
    runs = [run for setting in settings for run in setting.runs]
    notes = [
        f"run {run.name} is not finished ({run.manifest.get('status')})"
        for run in runs
        if run.manifest.get("status") != "done"
    ]
    for run in runs:
        failed = [
            f"{stage['failed']:,} in {stage['name']} ({counted(stage['failure_reasons'])})"
            for stage in run.manifest.get("stages") or ()
            if stage.get("failed") and stage["name"] != "train"
        ]
        if failed:
            notes.append(f"rows failed in run {run.name}: {'; '.join(failed)}")
    if not figures:
        notes.append("no run has figures: recipes need held-out prompts and a section 'evaluate'")
    first = series[0]
    for setting, own in zip(settings[1:], series[1:], strict=True):
        what = "run" if len(setting.runs) == 1 else "setting"
        if own.keys() != first.keys():
            notes.append(
                f"{what} {setting.name} does not have the seeds of {settings[0].name}: "
                "differences are of the seeds that both have"
            )
        elif any(
            _prompts(own[seed], f) != _prompts(first[seed], f)
            for seed in own
            for f in own[seed]
            if f in first[seed]
        ):
            notes.append(
                f"{what} {setting.name} has figures for other prompts than {settings[0].name}, as "
                "it held out others or some could not be scored; differences are of those that "
                "both have"
            )
    if any(len(own.keys() & first.keys()) == 2 for own in series[1:]):
        notes.append(_TWO_SEEDS)
    judges = {str((run.recipe.get("judge"), run.recipe.get("objectives"))) for run in runs}
    if len(judges) > 1:
        notes.append("judges or objectives differ, so that scores are not of one scale")
    return notes


def _prompts(series: Mapping[Figure, FigureSeries], figure: Figure) -> frozenset[str] | None:
    by_prompt = series[figure].by_prompt
    return None if by_prompt is None else frozenset(by_prompt)
