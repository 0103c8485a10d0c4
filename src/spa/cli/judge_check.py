"""``spa judge-check``: does a recipe's judge carry signal?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa.cli.options import RecipeFile, RunsDir, Sets, Swaps

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["judge_check"]


def judge_check(
    context: typer.Context,
    recipe: RecipeFile,
    probes: Annotated[
        list[Path] | None,
        typer.Option(
            "--probes",
            help="Labelled answers to judge, as JSON lines, instead of those that ship with spa. "
            "Repeatable.",
            metavar="FILE",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", help="Use so many probes at most.", min=1, metavar="N"),
    ] = None,
    sets: Sets = None,
    swaps: Swaps = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON record on stdout instead of text.")
    ] = False,
) -> None:
    """Find out whether a recipe's judge carries signal.

    The judge scores answers of which it is known which are better. Answers are kept: the same check
    again asks nothing.
    """
    from spa.cli.again import command_line, place_options
    from spa.cli.console import err, print_json
    from spa.cli.ladder import Ladder, LiveLadder
    from spa.cli.run import quiet_libraries
    from spa.engine.judge_check import STAGES, run_judge_check
    from spa.errors import RecipeError
    from spa.evaluation.probes import choose_probes, read_probes
    from spa.recipe import load_recipe

    loaded = load_recipe(recipe, sets=sets or (), swaps=swaps or ())
    found, sources = read_probes(probes or ())
    names = [objective.name for objective in loaded.objectives]
    chosen = choose_probes(found, names, limit=limit, sources=sources)
    place = place_options(runs_dir, None)
    own = [part for file in probes or () for part in ("--probes", str(file))]
    own += [] if limit is None else ["--limit", str(limit)]

    def again(setting: str | None = None) -> str:
        more = [*(sets or ()), *([] if setting is None else [setting])]
        return command_line(context, "judge-check", [recipe], more, swaps or (), [*own, *place])

    def fits(setting: str) -> bool:
        try:
            load_recipe(recipe, sets=[*(sets or ()), setting], swaps=swaps or ())
        except RecipeError:
            return False
        return True

    quiet_libraries()
    live = err().is_terminal and not as_json
    ladder = (LiveLadder if live else Ladder)(STAGES)
    try:
        with ladder:
            result = run_judge_check(loaded, chosen, runs=runs_dir, listen=ladder)
    except KeyboardInterrupt:
        err().print(
            f"\nInterrupted. What was finished is kept. Go on with: {again()}", soft_wrap=True
        )
        raise
    running = command_line(context, "run", [recipe], sets or (), swaps or (), place)
    following = _following(result, loaded.judge.resolved(), running, again, fits)
    if as_json:
        print_json({"kind": "judge_check", **result, "next": following})
    else:
        _print(result, following)


_MANY_UNSCORED = 0.2


def _print(result: Mapping[str, Any], following: str) -> None:
    from spa.cli.console import out
    from spa.cli.summary import SMALL_MODEL, judge_line, millions
    from spa.evaluation.verdict import CHANCE, FEWEST_PROMPTS, MEANING

    console = out()
    console.print()
    console.print(_table([*result["objectives"], result["overall"]]))
    notes = [MEANING[result["verdict"]]]
    overall = result["overall"]
    if overall["calibration"] is not None:
        console.print()
        console.print(_reliability(overall["calibration"]["bins"]))
        console.print(_calibration(overall["calibration"]), soft_wrap=True)
    if overall["prompts"] < FEWEST_PROMPTS:
        count = "1 prompt" if overall["prompts"] == 1 else f"{overall['prompts']} prompts"
        notes.append(f"It rests on {count}; with fewer than {FEWEST_PROMPTS} nothing is said.")
    if overall["high"] is not None and overall["high"] < CHANCE:
        notes.append("It scores worse answers higher: does its scale run the right way round?")
    if overall["basis"] == "across prompts":
        notes.append(
            "Too few prompts have answers of both labels, so the AUC compares answers to different "
            "prompts, which no preference pair does."
        )
    if result["parameters"] is not None and result["parameters"] < SMALL_MODEL:
        notes.append(f"A judge of {millions(result['parameters'])} carries little signal.")
    if result["asks"] and overall["flips"] is None:
        notes.append("The judge's model answered no pairwise question, so flips are unknown.")
    if overall["unscored"] is not None and overall["unscored"] > _MANY_UNSCORED:
        notes.append(
            f"{_share(overall['unscored'])} of the answers have no score. Reasons, and what the "
            "judge wrote, are in the rows of the stage judge-probes in the store."
        )
    if result["skipped"]:
        left_out = ", ".join(f"{count} about {name}" for name, count in result["skipped"].items())
        notes.append(f"Probes about objectives that the recipe does not have: {left_out}.")
    console.print(f"\n{judge_line(result, '')}", soft_wrap=True)
    for note in notes:
        console.print(note, soft_wrap=True)
    console.print(f"Next:    {following}", soft_wrap=True)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    from spa.cli.summary import plain_table

    table = plain_table("Labelled answers and what the judge made of them")
    table.add_column("objective")
    for name in ("AUC [95 %]", "across prompts", "ties", "unscored", "mass", "length", "flips"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for row in rows:
        table.add_row(
            "all" if row["objective"] is None else row["objective"],
            _interval(row["auc"], row["low"], row["high"]),
            _interval(row["auc_across"], row["across_low"], row["across_high"]),
            _share(row["ties"]),
            _share(row["unscored"]),
            _number(row["label_mass"]),
            _number(row["length_correlation"], signed=True),
            _share(row["flips"]),
            row["verdict"],
        )
    return table


def _reliability(bins: Sequence[Mapping[str, Any]]) -> Table:
    from spa.cli.summary import plain_table

    table = plain_table("Calibration: scores as probabilities that an answer is a better one")
    for name in ("scores", "answers", "place on the scale", "better [95 %]"):
        table.add_column(name, justify="right")
    for each in bins:
        table.add_row(
            f"{each['lowest']:.2f} to {each['highest']:.2f}",
            str(each["answers"]),
            f"{each['said']:.2f}",
            _interval(each["better"], each["low"], each["high"]),
        )
    return table


def _calibration(found: Mapping[str, Any]) -> str:
    text = (
        f"Calibration error {found['error']:.2f}, where chance gives {found['chance']:.2f} and "
        f"seldom more than {found['chance_high']:.2f}; Brier score "
        f"{_interval(found['brier'], found['brier_low'], found['brier_high'])}, 0.25 for always "
        "saying one half."
    )
    if found["error"] <= found["chance_high"]:
        return text
    return (
        f"{text} As probabilities the scores are off. Pairs rest on their order alone; thresholds "
        "and mean scores do not."
    )


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "no value"
    return f"{value:.2f}" if low is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value * 100:.0f} %"


def _number(value: float | None, *, signed: bool = False) -> str:
    return "" if value is None else f"{value:{'+' if signed else ''}.2f}"


def _following(
    result: Mapping[str, Any],
    judge: Mapping[str, Any],
    running: str,
    again: Callable[[str | None], str],
    fits: Callable[[str], bool],
) -> str:
    """What to type next: run, or check a judge that may be better."""
    if result["verdict"] == "usable":
        return running
    if not result["asks"]:
        return f"mend the judge's rules, then type: {again(None)}"
    both = "judge.orders=[as-given, reversed]"
    if result["verdict"] == "coarse" and judge.get("orders") == ["as-given"] and fits(both):
        return again(both)
    return again("judge.backend={use: hf, path: A-STRONGER-MODEL}")
