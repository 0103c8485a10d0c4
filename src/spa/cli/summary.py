"""The end of a run, from its manifest: the funnel, scores before and after, what to type next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa.cli.console import out

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "SMALL_MODEL",
    "funnel_table",
    "judge_line",
    "metrics_tables",
    "millions",
    "plain_table",
    "print_funnel",
    "print_summary",
]

SMALL_MODEL = 1_000_000_000


def print_summary(
    folder: Path,
    manifest: Mapping[str, Any],
    console: Console | None = None,
    check: str | None = None,
) -> None:
    """Prints funnels, metrics, notes, the path of the result and the next command.

    Args:
        folder: Of the run.
        manifest: What its ``run.json`` says.
        console: Where to print; stdout by default.
        check: The command that checks the run's judge; by default that of its recipe file.
    """
    console = out() if console is None else console
    for number, steps in enumerate(manifest["funnels"], start=1):
        print_funnel(steps, number if len(manifest["funnels"]) > 1 else None, console)
    bringing = {
        name.removeprefix("prompts-")
        for name in (stage["name"] for stage in manifest["stages"])
        if name.startswith("prompts-")
    }
    for table in metrics_tables(manifest["metrics"], _confidences(manifest), bringing):
        console.print()
        console.print(table)
    for note in _notes(manifest, folder):
        console.print(f"\nNote: {note}", style="yellow")
    if cost := _cost(manifest["stages"]):
        console.print(f"\n{cost}")
    if "judge_check" in manifest:  # manifests of before do not say
        command = check or shlex.join(["spa", "judge-check", manifest["recipe_file"]])
        console.print(f"\n{judge_line(manifest['judge_check'], command)}", soft_wrap=True, end="")
    kind = manifest["outputs"]["kind"]
    path = os.path.normpath(folder / manifest["outputs"]["path"])
    console.print(
        f"\n{'Adapter: ' if kind == 'adapter' else 'Model:   '}{path}",
        soft_wrap=True,
    )
    console.print(f"Run:     {folder / 'run.json'}", soft_wrap=True)
    shown = shlex.join(["spa", "report", str(folder), "--open"])
    console.print(f"Report:  {shown}", soft_wrap=True)
    merged = shlex.join(
        ["spa", "export", str(folder), "--format", "merged", "--output", "merged-model"]
    )
    console.print(f"Next:    {merged}", soft_wrap=True)


def judge_line(found: Mapping[str, Any] | None, command: str) -> str:
    """What a judge check said of a judge, or how to make one.

    Args:
        found: Its result; None if there is none.
        command: What to type to make one.
    """
    if found is None:
        return f"Judge:   not checked. To check it: {command}"
    overall = found["overall"]
    probes = f"{found['probes']} probe" + ("" if found["probes"] == 1 else "s")
    if overall["auc"] is None:
        return f"Judge:   {found['verdict']}, no AUC on {probes}"
    interval = "" if overall["low"] is None else f" [{overall['low']:.2f}, {overall['high']:.2f}]"
    return f"Judge:   {found['verdict']}, AUC {overall['auc']:.2f}{interval} on {probes}"


def print_funnel(
    steps: Sequence[Mapping[str, Any]], number: int | None = None, console: Console | None = None
) -> None:
    """Prints where prompts were lost."""
    console = out() if console is None else console
    console.print()
    console.print(funnel_table(steps, number))


def funnel_table(steps: Sequence[Mapping[str, Any]], number: int | None = None) -> Table:
    """The funnel of a round: prompts that reached each step, and why the others did not."""
    table = plain_table("Funnel" if number is None else f"Funnel of round {number}")
    table.add_column("step")
    table.add_column("prompts", justify="right")
    table.add_column("lost", justify="right")
    table.add_column("why")
    for step in steps:
        lost: Mapping[str, int] = step["lost"]
        ranked = sorted(lost.items(), key=lambda item: (-item[1], item[0]))
        why = ", ".join(f"{count} {reason}" for reason, count in ranked)
        name = step["name"] if step["pairs"] is None else f"{step['name']} ({step['pairs']} pairs)"
        table.add_row(name, str(step["prompts"]), str(sum(lost.values()) or ""), why)
    return table


def metrics_tables(
    metrics: Sequence[Mapping[str, Any]],
    confidences: Mapping[str, float],
    bringing: Collection[str] = (),
) -> list[Table]:
    """A table an evaluator, and one more for shares of prompts on which two models compare.

    A row is a figure, a column a model or difference. A difference between models is bold where its
    interval excludes 0.

    Args:
        metrics: As the manifest has them.
        confidences: Evaluator to the coverage of its intervals, where it says one.
        bringing: Evaluators that bring prompts of their own.
    """
    tables: list[Table] = []
    for evaluator in dict.fromkeys(metric["evaluator"] for metric in metrics):
        own = [metric for metric in metrics if metric["evaluator"] == evaluator]
        coverage = confidences.get(evaluator)
        interval = "" if coverage is None else f" ({coverage * 100:g} % interval)"
        count = max(metric["n"] for metric in own)
        prompts = "prompts of its own" if evaluator in bringing else "held-out prompts"
        for what, chosen in (
            (evaluator, [metric for metric in own if not _relates(metric)]),
            (f"{evaluator}, shares", [metric for metric in own if _relates(metric)]),
        ):
            if chosen:
                tables.append(_metrics_table(f"{what} on {count} {prompts}{interval}", chosen))
    return tables


def _metrics_table(title: str, metrics: Sequence[Mapping[str, Any]]) -> Table:
    models = list(dict.fromkeys(metric["model"] for metric in metrics))
    table = plain_table(title)
    table.add_column("figure")
    for model in models:
        table.add_column(model, justify="right")
    for name in dict.fromkeys(metric["name"] for metric in metrics):
        cells = {metric["model"]: _cell(metric) for metric in metrics if metric["name"] == name}
        table.add_row(name, *(cells.get(model, "") for model in models))
    return table


def _relates(metric: Mapping[str, Any]) -> bool:
    """Whether it says how two models compare, other than by a difference."""
    return " against " in metric["model"]


def _confidences(manifest: Mapping[str, Any]) -> dict[str, float]:
    """By the names that the figures have: ``pairwise``, the next one ``pairwise/2``."""
    from spa.engine.stages.evaluate import numbered

    sections = manifest["recipe"]["evaluate"]
    names = numbered(section["use"].rpartition("/")[2] for section in sections)
    return {
        name: section["confidence"]
        for section, name in zip(sections, names, strict=True)
        if "confidence" in section
    }


def _cell(metric: Mapping[str, Any]) -> Text:
    """A figure with its interval; a difference is bold where that leaves no doubt of its sign."""
    from rich.text import Text

    sure = metric["low"] is not None and (metric["low"] > 0 or metric["high"] < 0)
    return Text(_figure(metric), style="bold" if sure and _is_difference(metric) else "")


def _is_difference(metric: Mapping[str, Any]) -> bool:
    return " - " in metric["model"]


def _figure(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return "no value"
    signed = "+" if _is_difference(metric) else ""
    text = f"{metric['value']:{signed}.2f}"
    if metric["low"] is not None:
        text += f" [{metric['low']:{signed}.2f}, {metric['high']:{signed}.2f}]"
    return text + (f" ({metric['missing']} missing)" if metric["missing"] else "")


def _notes(manifest: Mapping[str, Any], folder: Path) -> Iterable[str]:
    """What a reader must know before believing the figures."""
    from spa.engine.kinship import KinJudge, kin_notes

    kin = [KinJudge(**each) for each in manifest.get("kin_judges", ())]
    yield from kin_notes(kin)
    if _asked(manifest):
        yield from dict.fromkeys(_of_the_judge(manifest, kin_told=bool(kin)))
    if left_out := list(filter(None, map(_unscored, manifest["stages"]))):
        yield (
            f"responses without a score: {', '.join(left_out)}. They are in no pair, and a missing "
            "score is in no mean."
        )
    if failed := _failed(manifest["stages"]):
        yield (
            f"rows that failed: {failed}. They count as lost or missing in every figure that they "
            f"belong to. What may help: spa retry {shlex.quote(str(folder))}"
        )
    if manifest["recipe"]["evaluate"] and not manifest["metrics"]:
        yield "no prompt is held out, so nothing was evaluated. Set prompts.split.heldout."
    yield from manifest["outputs"].get("warnings", ())


def _asked(manifest: Mapping[str, Any], end: str = "") -> bool:
    """Whether a model was asked in any judging stage whose name ends so."""
    return any(
        stage["name"].startswith("judge")
        and stage["name"].endswith(end)
        and stage["details"]["asked"] + stage["details"]["replayed"]
        for stage in manifest["stages"]
    )


def _of_the_judge(manifest: Mapping[str, Any], *, kin_told: bool) -> Iterable[str]:
    """Whether a model that judged is kin to the policy (arXiv 2410.21819), or too small.

    Args:
        manifest: Of the run.
        kin_told: Whether kinship was told of the evaluators already, or is known.
    """
    for judge in _judges(manifest):
        if not kin_told:
            policy = manifest["recipe"]["model"]
            yield from _of_kin(policy, judge, manifest.get("policy_type"))
        if judge.parameters is not None and judge.parameters < SMALL_MODEL:
            yield (
                f"a judge of {millions(judge.parameters)} carries little signal. "
                "These scores show that the pipeline works, not that the model got better."
            )


@dataclass(frozen=True, slots=True)
class _Judge:
    """A model that judged: its section, None for the policy, and what is known of it."""

    backend: Mapping[str, Any] | None
    type: str | None
    parameters: int | None


def _judges(manifest: Mapping[str, Any]) -> Iterable[_Judge]:
    """The models that judged; of a judge with members, those that were asked."""
    section, size = manifest["recipe"]["judge"], manifest.get("policy_parameters")
    members = section.get("members") or ()
    for place, member in enumerate(members):
        if not _asked(manifest, f"/{place + 1}"):
            continue
        told = manifest["roles"].get(f"judge.members.{place}")
        if told is None:
            yield _Judge(None, None, size)
        else:
            backend = member.get("backend") or section["backend"]
            yield _Judge(backend, told["type"], told["parameters"])
    if not members:
        backend = section["backend"]
        parameters = size if backend is None else manifest.get("judge_parameters")
        yield _Judge(backend, manifest.get("judge_type"), parameters)


def _of_kin(policy: Mapping[str, Any], judge: _Judge, policy_type: str | None) -> Iterable[str]:
    backend = judge.backend
    if backend is None or (
        backend.get("path") is not None and backend["path"] == policy.get("path")
    ):
        yield (
            "the model judged its own answers. Models prefer their own text: "
            "confirm with another judge."
        )
    elif judge.type is not None and judge.type == policy_type:
        yield (
            f"judge and policy are both of type {judge.type}. Models prefer text of their own "
            "family: if these two are of one, confirm with a judge of another."
        )


def millions(parameters: int) -> str:
    """The size of a model, for people."""
    millions = round(parameters / 1e6)
    return f"{millions:,} million parameters" if millions else "less than a million parameters"


def _unscored(stage: Mapping[str, Any]) -> str:
    """How many responses a judging stage left without a score, and why; empty for none."""
    reasons: Mapping[str, int] = stage["details"].get("unscored", {})
    if not reasons:
        return ""
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{sum(reasons.values())} of {stage['rows']} in {stage['name']} ({why})"


def _failed(stages: Iterable[Mapping[str, Any]]) -> str:
    """In which stages rows failed, how many and why; empty for none. Training has its own words."""
    from spa.engine.failing import counted

    return "; ".join(
        f"{stage['failed']:,} in {stage['name']} ({counted(stage['failure_reasons'])})"
        for stage in stages
        if stage.get("failed") and stage["name"] != "train"
    )


def _cost(stages: Iterable[Mapping[str, Any]]) -> str:
    """What backends say that it cost; empty where none says."""
    spent: dict[bool, float] = {}
    for stage in stages:
        cost = stage["details"].get("backend", {}).get("cost")
        if cost is not None:
            spent[stage.get("cached", False)] = spent.get(stage.get("cached", False), 0) + cost
    if not spent:
        return ""
    before = f", and {spent[True]:.2f} for stages from the store" if spent.get(True) else ""
    return f"cost {spent.get(False, 0):.2f}{before}"


def plain_table(title: str) -> Table:
    """A table without columns yet, in the style of all of them."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
