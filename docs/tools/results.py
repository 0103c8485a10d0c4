"""Writes the tables of docs/results.md from the runs of ``recipes/reproduce-small``.

    python docs/tools/results.py RUNS docs/results.md

RUNS is the folder of runs with the ablations ``agree`` and ``conflict`` in it. What stands between
``<!-- NAME -->`` and ``<!-- end of NAME -->`` is written anew, and nothing else is touched: no
figure of that page is typed by hand.
"""

from __future__ import annotations

import itertools
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from spa.ablation.record import read_record
from spa.ablation.results import finished_settings
from spa.comparison.paired import PairedDifference, holm, paired_over_seeds
from spa.comparison.series import read_series
from spa.engine.rows import JudgedRow, VerdictRow
from spa.engine.stored_run import StoredRun, stage_rows
from spa.errors import UsageError

__all__ = ["Arm", "blocks", "main", "rewritten"]

VANILLA = "vanilla"
REVERSED = "reversed"
NAMES = {
    "vanilla": "vanilla",
    "sft": "SFT",
    "spa-dpo": "SPA-DPO",
    "spa-simpo": "SPA-SimPO",
    "spa": "SPA",
    "no-denoise": "SPA without denoising",
    "reward-soup-9-1": "reward soup 9:1",
    "second-iteration": "SPA, second iteration",
}
"""Recipes in the order of the paper's table; what it does not have comes last."""

LEVEL = 0.05
Series: TypeAlias = Mapping[str, Mapping[str, float]]
"""Seed to prompt to value."""


class Arm(NamedTuple):
    """One method with all its seeds.

    Attributes:
        name: Of its recipe, without the setting before it.
        runs: One a seed.
        figures: Name of each figure to its values.
    """

    name: str
    runs: tuple[StoredRun, ...]
    figures: Mapping[str, Series]


def main() -> None:
    """Reads the runs below the first argument and rewrites the page of the second."""
    runs, page = map(Path, sys.argv[1:])
    page.write_text(rewritten(page.read_text(encoding="utf-8"), blocks(runs)), encoding="utf-8")


def blocks(runs: Path) -> dict[str, str]:
    """Every block of the page by its name."""
    found = {}
    for setting in ("agree", "conflict"):
        arms = _arms(runs, setting)
        turned = arms.pop(REVERSED, None)
        found[f"{setting}: rates"] = _rates(arms["spa"])
        found[f"{setting}: figures"] = f"{_figures(arms)}{_missing(setting, arms, turned)}"
        found[f"{setting}: differences"] = _differences(arms)
        found[f"{setting}: pairs"] = _pairs(arms)
        if setting == "conflict":
            found[f"{setting}: order"] = "Not run yet." if turned is None else _order(arms, turned)
    return found


def rewritten(page: str, found: Mapping[str, str]) -> str:
    """The page with its blocks exchanged.

    Raises:
        UsageError: If the page lacks one of them.
    """
    for name, text in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        block = f"{begin}\n\n{text}\n\n{end}"
        page, count = pattern.subn(lambda _, block=block: block, page)
        if count != 1:
            raise UsageError(f"the page must hold {begin} and {end} once, not {count} times")
    return page


def _arms(runs: Path, setting: str) -> dict[str, Arm]:
    """The finished methods of an ablation, in the order of the table.

    All of them rest on the same seeds: those that every one of them has finished.
    """
    record = read_record(runs / setting)
    if record is None:
        raise UsageError(f"{runs / setting} holds no ablation")
    finished = finished_settings(record, runs)[0]
    seeds = [{_seed(run) for run in each.runs} for each in finished]
    common = set.intersection(*seeds) if seeds else set()
    found = {}
    for each in finished:
        name = each.name.removeprefix(f"{setting}-")
        own = tuple(run for run in each.runs if _seed(run) in common)
        found[name] = Arm(name, own, _read(own, "trained"))
    if "spa" not in found or not common:
        raise UsageError(f"no seed of SPA and all other methods is finished in {runs / setting}")
    found[VANILLA] = Arm(VANILLA, found["spa"].runs, _read(found["spa"].runs, "base"))
    return {name: found[name] for name in (*NAMES, REVERSED) if name in found}


def _read(runs: Iterable[StoredRun], model: str) -> dict[str, Series]:
    figures: dict[str, dict[str, Mapping[str, float]]] = {}
    for run in runs:
        for figure, series in read_series(run).items():
            if figure.model == model and series.by_prompt is not None:
                figures.setdefault(figure.name, {})[_seed(run)] = series.by_prompt
    return figures


def _missing(setting: str, arms: Mapping[str, Arm], turned: Arm | None) -> str:
    """Which methods the tables lack, so that nobody takes them for all there are."""
    names = [name for name in NAMES if name not in arms]
    if turned is None and setting == "conflict":
        names.append(REVERSED)
    if not names:
        return ""
    return f"\n\nNot run to the end yet: {_listed([NAMES.get(name, name) for name in names])}."


def _seed(run: StoredRun) -> str:
    return str(run.recipe["seed"])


def _figures(arms: Mapping[str, Arm]) -> str:
    names = list(arms["spa"].figures)
    rows = [
        [NAMES[arm.name], *(_mean(arm.figures[name]) for name in names), str(len(arm.runs))]
        for arm in arms.values()
    ]
    return _table(["", *names, "seeds"], rows)


def _mean(series: Series) -> str:
    means = [statistics.fmean(values.values()) for values in series.values()]
    spread = f" ± {statistics.stdev(means):.2f}" if len(means) > 1 else ""
    return f"{statistics.fmean(means):.2f}{spread}"


def _differences(arms: Mapping[str, Arm]) -> str:
    """SPA less each of the others, and in words what is sure and what is not."""
    spa = arms["spa"]
    names = list(spa.figures)
    others = [arm for arm in arms.values() if arm is not spa]
    grid = [
        [paired_over_seeds(spa.figures[name], arm.figures[name]) for name in names]
        for arm in others
    ]
    sure = _sure(grid)
    rows = [
        [NAMES[arm.name], *map(_shown, row, bold)]
        for arm, row, bold in zip(others, grid, sure, strict=True)
    ]
    table = _table(["SPA less", *names], rows)
    return "\n\n".join([table, *_sentences(names, others, grid, sure)])


def _sentences(
    names: Sequence[str],
    others: Sequence[Arm],
    grid: Sequence[Sequence[PairedDifference | None]],
    sure: Sequence[Sequence[bool]],
) -> list[str]:
    found = []
    for column, name in enumerate(names):
        sides: dict[str, list[str]] = {"above": [], "below": [], "open": []}
        for arm, row, bold in zip(others, grid, sure, strict=True):
            cell = row[column]
            if cell is not None:
                side = "open" if not bold[column] else "above" if cell.mean > 0 else "below"
                sides[side].append(NAMES[arm.name])
        parts = [
            f"SPA is significantly {side} {_listed(sides[side])}"
            for side in ("above", "below")
            if sides[side]
        ]
        if sides["open"]:
            parts.append(f"no significant difference to {_listed(sides['open'])}")
        found.append(f"- **{name}**: {'; '.join(parts)}.")
    return ["\n".join(found)]


def _sure(grid: Sequence[Sequence[PairedDifference | None]]) -> list[list[bool]]:
    """Whether an interval excludes 0 and Holm's method over the whole table agrees."""
    flat = [cell for row in grid for cell in row]
    adjusted = iter(holm([None if cell is None else cell.p_value for cell in flat]))
    return [[_is_sure(cell, next(adjusted)) for cell in row] for row in grid]


def _is_sure(cell: PairedDifference | None, adjusted: float | None) -> bool:
    if cell is None or cell.low is None or cell.high is None or adjusted is None:
        return False
    return (cell.low > 0 or cell.high < 0) and adjusted < LEVEL


def _shown(cell: PairedDifference | None, bold: bool) -> str:
    if cell is None:
        return ""
    text = f"{cell.mean:+.2f}"
    if cell.low is not None and cell.high is not None:
        text += f" [{cell.low:+.2f}, {cell.high:+.2f}]"
    return f"**{text}**" if bold else text


def _order(arms: Mapping[str, Arm], turned: Arm) -> str:
    """What the order of the objectives changes, each as it is first and as it is second."""
    spa = arms["spa"]
    names = list(spa.runs[0].objectives)
    pairs = [
        [paired_over_seeds(spa.figures[name], turned.figures[name]) for name in names],
    ]
    (sure,) = _sure(pairs)
    rows = [
        ["vanilla", *(_mean(arms[VANILLA].figures[name]) for name in names)],
        [f"SPA, {' > '.join(names)}", *(_mean(spa.figures[name]) for name in names)],
        [f"SPA, {' > '.join(reversed(names))}", *(_mean(turned.figures[name]) for name in names)],
        ["the former less the latter", *map(_shown, pairs[0], sure)],
    ]
    return _table(["", *names], rows)


def _rates(arm: Arm) -> str:
    """What the samples of the untrained model score, before anything is trained."""
    names = list(arm.runs[0].objectives)
    scores = [
        (f"{_seed(run)}/{row.prompt_id}", [row.scores[name].value for name in names])
        for run in arm.runs
        for row in stage_rows(run, run.stage("judge", 1) or {}, JudgedRow)
    ]
    known = [(group, values) for group, values in scores if None not in values]
    both = opposed = 0
    for _, members in itertools.groupby(known, key=lambda each: each[0]):
        for (_, one), (_, two) in itertools.combinations(members, 2):
            signs = [a - b for a, b in zip(one, two, strict=True)]
            both += all(signs)
            opposed += signs[0] * signs[1] < 0
    columns = list(zip(*(values for _, values in known), strict=True))
    rows = [
        [
            name,
            f"{statistics.fmean(column):.2f}",
            f"{statistics.stdev(column):.2f}",
            f"{statistics.fmean(value == 0 for value in column):.0%}",
        ]
        for name, column in zip(names, columns, strict=True)
    ]
    words = (
        f"{len(known):,} samples of the untrained model; the two scores correlate with "
        f"r = {statistics.correlation(*columns):+.2f}. Of {both:,} pairs of samples of one prompt "
        f"that differ in both scores, {opposed / both:.0%} have the higher score of one objective "
        "with the lower score of the other."
    )
    return f"{_table(['', 'mean', 'standard deviation', 'zeros'], rows)}\n\n{words}"


def _pairs(arms: Mapping[str, Arm]) -> str:
    """What each method is trained on, the mean a seed, and how often the model refines well."""
    rows = []
    for arm in arms.values():
        if arm.name != VANILLA:
            prompts = [_trained_on(arm, number, "prompts") for number in _rounds(arm)]
            pairs = [_trained_on(arm, number, "pairs") for number in _rounds(arm)]
            rows.append([NAMES[arm.name], " and ".join(prompts), " and ".join(pairs)])
    table = _table(["", "prompts trained on", "pairs"], rows)
    return f"{table}\n\n{_refining(arms['spa'])}"


def _rounds(arm: Arm) -> range:
    return range(len(arm.runs[0].manifest["funnels"]))


def _trained_on(arm: Arm, number: int, what: str) -> str:
    """A figure of the last step of a round's funnel."""
    return f"{statistics.fmean(run.manifest['funnels'][number][-1][what] for run in arm.runs):.0f}"


def _refining(arm: Arm) -> str:
    verdicts = [
        each.reason
        for run in arm.runs
        for row in stage_rows(run, run.stage("denoise", 1) or {}, VerdictRow)
        for each in row.verdicts
        if each.denoiser.endswith("/consistency")
    ]
    return (
        "The refined response beat every sample on both objectives, as the criterion of "
        f"consistency asks, for {verdicts.count('consistent')} of {len(verdicts)} prompts of all "
        "seeds."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
