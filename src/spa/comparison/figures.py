"""Several runs against the first: settings that differ, figures, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spa.comparison.paired import PairedDifference, holm, paired_difference
from spa.comparison.recipes import SettingDifference, differences
from spa.comparison.series import TRAINED, Figure, FigureSeries, read_series
from spa.engine.failing import counted
from spa.engine.stored_run import StoredRun
from spa.errors import UsageError

__all__ = ["CONFIDENCE", "Cell", "Comparison", "Line", "compare"]

CONFIDENCE = 0.95
"""Coverage of the intervals, and 1 less the level of what is called sure."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of one run.

    Attributes:
        value: None if the run does not have the figure.
        n: Prompts that it rests on.
        difference: To the first run; None for that one, and where it could not be paired.
        adjusted_p: The difference's p-value, adjusted for all differences of trained models.
        sure: Whether the difference's interval excludes 0 and its adjusted p-value is below 0.05.
    """

    value: float | None
    n: int = 0
    difference: PairedDifference | None = None
    adjusted_p: float | None = None
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A figure over all runs; one cell a run."""

    figure: Figure
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: Their names; the first is what the others are compared with.
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
    """Compares finished runs with the first of them.

    Raises:
        UsageError: If there are fewer than two, or two of the same folder.
        SpaError: If their rows cannot be read.
    """
    folders = [run.folder.resolve() for run in runs]
    if len(runs) < 2 or len(set(folders)) < len(folders):
        raise UsageError("give at least two different runs: spa compare runs/FIRST runs/SECOND")
    series = [read_series(run) for run in runs]
    figures = list(dict.fromkeys(figure for each in series for figure in each))
    raw = [
        [_cell(each.get(figure), series[0].get(figure)) for each in series] for figure in figures
    ]
    places = [
        (row, column)
        for row, figure in enumerate(figures)
        if figure.model == TRAINED
        for column in range(1, len(runs))
    ]
    found = [raw[row][column].difference for row, column in places]
    adjusted = holm([None if each is None else each.p_value for each in found])
    for (row, column), p_value in zip(places, adjusted, strict=True):
        cell = raw[row][column]
        raw[row][column] = Cell(
            cell.value, cell.n, cell.difference, p_value, _is_sure(cell.difference, p_value)
        )
    return Comparison(
        runs=tuple(run.name for run in runs),
        settings=tuple(differences([run.recipe for run in runs])),
        lines=tuple(Line(f, tuple(cells)) for f, cells in zip(figures, raw, strict=True)),
        tests=sum(p_value is not None for p_value in adjusted),
        notes=tuple(_notes(runs, figures, series)),
    )


def _cell(series: FigureSeries | None, first: FigureSeries | None) -> Cell:
    if series is None:
        return Cell(None)
    if series is first or first is None or series.by_prompt is None or first.by_prompt is None:
        return Cell(series.value, series.n)
    difference = paired_difference(series.by_prompt, first.by_prompt, confidence=CONFIDENCE)
    return Cell(series.value, series.n, difference)


def _is_sure(difference: PairedDifference | None, p_value: float | None) -> bool:
    if difference is None or p_value is None or difference.low is None or difference.high is None:
        return False
    return (difference.low > 0 or difference.high < 0) and p_value < 1 - CONFIDENCE


def _notes(
    runs: Sequence[StoredRun],
    figures: Sequence[Figure],
    series: Sequence[Mapping[Figure, FigureSeries]],
) -> list[str]:
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
    for run, own in zip(runs[1:], series[1:], strict=True):
        if any(_prompts(own, f) != _prompts(series[0], f) for f in own if f in series[0]):
            notes.append(
                f"run {run.name} has figures for other prompts than {runs[0].name}, as it held out "
                "others or some could not be scored; differences are of those that both have"
            )
    judges = {str((run.recipe.get("judge"), run.recipe.get("objectives"))) for run in runs}
    if len(judges) > 1:
        notes.append("judges or objectives differ, so that scores are not of one scale")
    return notes


def _prompts(series: Mapping[Figure, FigureSeries], figure: Figure) -> frozenset[str] | None:
    by_prompt = series[figure].by_prompt
    return None if by_prompt is None else frozenset(by_prompt)
