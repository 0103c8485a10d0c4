"""``spa plan``: what a run would take from the store, what changed, and what is to come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from spa.cli.amounts import clock, size_text
from spa.cli.options import RecipeFile, RunName, RunsDir, Sets, Swaps, check_name

if TYPE_CHECKING:
    from spa.engine.planning import RunPlan, StagePlan

__all__ = ["plan"]

_SHOWN = 4
_WIDTH = 100
_SHORTEST = 0.1  # seconds that are told of a stage that takes any
_MARKS = {"estimated": "~", "measured": "~", "at most": "<="}
_NAMES = {"hit": "in store", "partial": "begun", "miss": "to do"}


def plan(
    context: typer.Context,
    recipe: RecipeFile,
    sets: Sets = None,
    swaps: Swaps = None,
    runs_dir: RunsDir = Path("runs"),
    name: RunName = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record on stdout instead of a table.")
    ] = False,
) -> None:
    """Say what a run would do and cost; load no model.

    For every stage: whether it is in the store, what changed if it is not, and the requests,
    tokens, time and room on disk to come. Nothing is run and nothing is written.
    """
    # Here, so that `spa --help` stays fast.
    from spa.cli.again import command_line, place_options
    from spa.cli.console import print_json
    from spa.cli.harmless import harmless
    from spa.engine.kinship import kin_judges, kin_notes
    from spa.engine.planning import plan_run
    from spa.recipe import load_recipe

    check_name(name)
    loaded = load_recipe(recipe, sets=sets or (), swaps=swaps or ())
    found = plan_run(loaded, runs_dir, name)
    notes = kin_notes(kin_judges(loaded))
    if as_json:
        print_json({"kind": "plan", **found.record(), "notes": notes})
        return
    told = (line for note in notes for line in wrap(f"Note: {note}", _WIDTH))
    for line in (*_lines(found), *told):
        typer.echo(harmless(line))
    where = place_options(runs_dir, name)
    again = command_line(context, "run", [recipe], sets or (), swaps or (), where)
    typer.echo(harmless(f"Nothing was run. Next: {again}"))


def _lines(found: RunPlan) -> Iterator[str]:
    titles = [stage.title for stage in found.stages]
    width = min(max(map(len, [*titles, "stage"])), 32)
    yield f"Run {found.name}"
    yield ""
    yield _row(width, "stage", "", "jobs", "requests", "tokens in", "out", "time", "disk")
    for stage in found.stages:
        yield _row(width, stage.title, _NAMES[stage.status], _jobs(stage), *_figures(stage))
        yield from (f"    {line}" for line in _reasons(stage))
    yield ""
    yield from _totals(found, width)


def _row(width: int, title: str, *cells: str) -> str:
    widths = (8, 13, 9, 9, 9, 8, 9)
    padded = [f"{title[:width]:<{width}}", f"{cells[0]:<{widths[0]}}"]
    padded += [f"{cell:>{size}}" for cell, size in zip(cells[1:], widths[1:], strict=True)]
    return " ".join(padded).rstrip()


def _jobs(stage: StagePlan) -> str:
    total = "?" if stage.total is None else f"{_mark(stage, 'total')}{stage.total:,}"
    return f"{stage.done:,}/{total}" if stage.status == "partial" else total


def _figures(stage: StagePlan) -> list[str]:
    if stage.is_done:
        return [""] * 5
    return [
        *(
            _marked(stage, name, _number(getattr(stage, name)))
            for name in ("requests", "prompt_tokens", "new_tokens")
        ),
        _marked(stage, "seconds", _time(stage.seconds)),
        _marked(stage, "bytes", _size(stage.bytes)),
    ]


def _marked(stage: StagePlan, name: str, text: str) -> str:
    return text if text in ("?", "0") else f"{_mark(stage, name)}{text}"


def _mark(stage: StagePlan, name: str) -> str:
    return _MARKS.get(stage.basis.get(name, "known"), "")


def _reasons(stage: StagePlan) -> Iterator[str]:
    if stage.waits_for:
        yield f"waits for {stage.waits_for}: its policy is not trained yet"
    for change in stage.changed[:_SHOWN]:
        yield str(change)
    if len(stage.changed) > _SHOWN:
        yield f"and {len(stage.changed) - _SHOWN} more (all of them with --json)"


def _totals(found: RunPlan, width: int) -> Iterator[str]:
    if not found.to_do:
        yield "All stages are in the store: the run asks nothing and trains nothing."
        return
    cells, unknown = [], {}
    for name, text in (
        ("requests", _number),
        ("prompt_tokens", _number),
        ("new_tokens", _number),
        ("seconds", _time),
        ("bytes", _size),
    ):
        value, without = found.total(name)
        shown = text(value)
        cells.append(shown if shown in ("?", "0") else f"~{shown}")
        if without:
            unknown[name.replace("_", " ")] = without
    stages = f"{len(found.hits)} of {len(found.stages)}"
    yield _row(width, "total", "in store", stages, *cells)
    yield "~ estimated or measured on stages like it; <= at most; ? not known"
    if unknown:
        told = ", ".join(f"{name} of {count}" for name, count in unknown.items())
        yield f"Not in the total, as nothing like it was measured yet: {told} stages."
    if found.fits is False:
        needed, _ = found.total("bytes")
        yield (
            f"Warning: it needs about {_size(needed)} on disk, and {_size(found.free_bytes)} are "
            "free. Free some space, or choose another disk with --runs-dir."
        )


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value / 1e3:.0f}k" if value >= 1e5 else f"{value:,.0f}"


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else clock(max(seconds, _SHORTEST)) if seconds else "0"


def _size(count: float | None) -> str:
    return "?" if count is None else size_text(round(count)) if count else "0"
