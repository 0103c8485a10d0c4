"""The sections about how it was made: training, the judge, recipes, and where all comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from spa import __version__
from spa.comparison.formats import shown_setting
from spa.comparison.recipes import differences
from spa.engine.failing import counted
from spa.engine.stored_run import StoredRun
from spa.evaluation.verdict import MEANING
from spa.export.telling import (
    ITSELF,
    component,
    date,
    judge_models,
    judge_of,
    last_part,
    model,
    size,
)
from spa.report.blocks import Block, Chart, Line, Section, Table
from spa.report.charts.judging import judging
from spa.report.charts.training import MOST_POINTS, training
from spa.report.history import curves_of
from spa.report.subject import Subject

__all__ = ["judge_health", "provenance", "recipes", "training_curves"]

_SMALL = 1_000_000_000
_KEY = 16


def training_curves(subjects: Sequence[Subject]) -> Section:
    """Loss, margins, accuracy, gradient norm and learning rate by step."""
    curves: dict[str, Sequence[Mapping[str, float]]] = {}
    blocks: list[Block] = []
    for subject in subjects:
        rounds = curves_of(subject.run)
        for number, steps in rounds.items():
            label = subject.label if len(rounds) == 1 else f"{subject.label}, round {number}"
            curves[label] = steps
        if not rounds:
            why = f"The store has no metrics of training for run {subject.label}."
            blocks.append(Line(why, "missing"))
        warnings = (subject.run.manifest.get("outputs") or {}).get("warnings") or ()
        blocks += [Line(f"{subject.label}: {warning}", "note") for warning in warnings]
    if curves:
        thinned = max(map(len, curves.values())) > MOST_POINTS
        note = f"Of longer curves about {MOST_POINTS} steps are shown." if thinned else ""
        blocks.insert(0, Chart("training", "What training reported", training(curves), note))
    return Section("training", "Training", blocks)


def judge_health(subjects: Sequence[Subject]) -> Section:
    """Whether the scores can be believed."""
    blocks: list[Block] = []
    for subject in subjects:
        title = "" if len(subjects) == 1 else subject.label
        blocks.append(Table(("judge", ""), list(_health(subject)), title, numbers=False))
        if ITSELF in judge_models(subject.run):
            blocks.append(
                Line(
                    "The model judged its own answers. Models prefer their own text: confirm with "
                    "another judge.",
                    "note",
                )
            )
    measured = {
        "label mass": {s.label: s.reading.masses for s in subjects if s.reading.masses},
        "entropy in nats": {s.label: s.reading.entropies for s in subjects if s.reading.entropies},
    }
    panels = {name: series for name, series in measured.items() if series}
    if panels:
        note = (
            "Label mass is the probability that the judge put on its labels at all: low mass means "
            "that it wanted to say something else. High entropy means that it could not decide."
        )
        blocks.append(Chart("judging", "How sure the judge was", judging(panels), note))
    elif any(subject.reading.same or subject.reading.scores for subject in subjects):
        why = "The judge tells neither label mass nor entropy, as judges of fixed rules do not."
        blocks.append(Line(why, "missing"))
    else:
        why = "No score was read, so nothing is known of how sure the judge was."
        blocks.append(Line(why, "missing"))
    return Section("judge", "Health of the judge", blocks)


def _health(subject: Subject) -> Iterator[tuple[str, str]]:
    run, reading = subject.run, subject.reading
    yield "which", judge_of(run)
    parameters = run.manifest.get("judge_parameters")
    if parameters is None and ITSELF in judge_models(run):
        parameters = run.manifest.get("policy_parameters")
    if parameters is not None:
        small = ": below a billion a judge carries little signal" if parameters < _SMALL else ""
        yield "size", f"{parameters:,} parameters{small}"
    yield "checked on labelled answers", _check(run)
    judged = [each for each in run.manifest.get("stages") or () if each["name"].startswith("judge")]
    unscored = "; ".join(_unscored(judged, several=(run.recipe.get("iterations") or 1) > 1))
    yield "responses without a score", unscored or ("none" if judged else "nothing was judged")
    for name, counts in reading.same.items():
        share = counts["same"] / counts["pairs"]
        yield (
            f"ties on {name}",
            f"{share:.0%} of {counts['pairs']:,} twos of samples have the same score",
        )
    if reading.masses:
        yield "label mass, median", f"{median(reading.masses):.3f}"
    if reading.entropies:
        yield "entropy, median", f"{median(reading.entropies):.2f} nats"


def _check(run: StoredRun) -> str:
    found = run.manifest.get("judge_check")
    if not found:
        return "not before the run ended: spa judge-check RECIPE does it"
    overall, probes = found["overall"], f"{found['probes']} probes"
    meaning = MEANING.get(found["verdict"], "")
    if overall.get("auc") is None:
        return f"{found['verdict']}, no AUC on {probes}. {meaning}"
    low, high = overall.get("low"), overall.get("high")
    interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
    return f"{found['verdict']}, AUC {overall['auc']:.2f}{interval} on {probes}. {meaning}"


def _unscored(judged: Sequence[Mapping[str, Any]], *, several: bool) -> Iterator[str]:
    """Of stages that judged; `several`: whether there are several rounds."""
    for stage in judged:
        reasons = (stage.get("details") or {}).get("unscored")
        if reasons:
            number = f" of round {stage['round']}" if several else ""
            yield f"{counted(reasons)} of {stage['rows']:,} in {stage['name']}{number}"


def recipes(subjects: Sequence[Subject]) -> Section:
    """What differs in the recipes."""
    name, title = "recipes", "Recipes"
    if len(subjects) == 1:
        rows = list(_components(subjects[0].run))
        line = Line("Give several runs to see what differs in their recipes.", "missing")
        return Section(name, title, [Table(("section", "component"), rows, numbers=False), line])
    found = differences([subject.run.recipe for subject in subjects])
    if not found:
        return Section(name, title, [Line("The recipes do not differ.")])
    head = ("setting", *(subject.label for subject in subjects))
    rows_of = [(each.key, *(_setting(value) for value in each.values)) for each in found]
    return Section(name, title, [Table(head, rows_of, "Settings that differ", numbers=False)])


def _setting(value: Any) -> str:  # noqa: ANN401 - JSON
    return shown_setting(last_part(value) if isinstance(value, str) else value)


def _components(run: StoredRun) -> Iterator[tuple[str, str]]:
    for section, value in run.recipe.items():
        if isinstance(value, Mapping) and "use" in value:
            yield section, component(value)
        elif isinstance(value, list) and value and all("use" in each for each in value):
            yield section, "; ".join(map(component, value))
    train = run.recipe.get("train")
    if isinstance(train, Mapping):
        told = {key: value for key, value in train.items() if value not in (None, [], False)}
        yield "train", ", ".join(f"{key} = {json.dumps(value)}" for key, value in told.items())


def provenance(subjects: Sequence[Subject]) -> Section:
    """Versions, models, seeds, keys, dates and licences."""
    blocks: list[Block] = []
    for subject in subjects:
        title = "" if len(subjects) == 1 else subject.label
        blocks.append(Table(("what", ""), list(_facts(subject.run)), title, numbers=False))
        blocks.append(
            Table(
                ("stage", "round", "rows", "failed", "seconds", "key"), list(_stages(subject.run))
            )
        )
    blocks.append(
        Line(
            "spa does not know the licences of models and prompts: look at where they come from "
            "before you publish anything made with them.",
            "note",
        )
    )
    return Section("provenance", "Provenance", blocks)


def _facts(run: StoredRun) -> Iterator[tuple[str, str]]:
    manifest = run.manifest
    yield "run", f"{run.name} ({manifest.get('status')})"
    seconds = manifest.get("seconds")
    lasted = "" if seconds is None else f", {seconds:,.0f} s"
    yield "begun", f"{date(manifest.get('started_at'))}{lasted}"
    yield "recipe", last_part(str(manifest.get("recipe_file", "unknown")))
    seed = (run.recipe.get("train") or {}).get("seed")
    yield "seed", f"{run.recipe.get('seed')}" + ("" if seed is None else f", of training {seed}")
    policy = run.recipe.get("model") or {}
    yield "model", f"{model(policy)}{size(manifest.get('policy_parameters'))}"
    for name, value in _fingerprint(run).items():
        yield f"model: {name}", value
    prompts = run.recipe.get("prompts") or {}
    yield "prompts", f"{last_part(str(prompts.get('path') or prompts.get('use')))}, licence unknown"
    versions: Mapping[str, str] = manifest.get("versions") or {}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    yield "this report", f"spa-align {__version__}"
    used = [plugin for plugin in manifest.get("plugins") or () if plugin.get("used")]
    yield (
        "plugins used",
        ", ".join(f"{p['distribution']} {p['version']}" for p in used) or "unknown",
    )
    hardware = manifest.get("hardware") or {}
    if hardware:
        devices = ", ".join(hardware.get("accelerators") or ()) or "no accelerator"
        yield "hardware", f"{hardware.get('cores')} cores, {devices}"
    git = manifest.get("git")
    if git:
        changed = ", with changes that are not committed" if git.get("changed") else ""
        yield "git", f"{git.get('commit')}{changed}"


def _fingerprint(run: StoredRun) -> dict[str, str]:
    """What identifies the policy before training, from the key of the stage that sampled it."""
    record = run.stage("sample") or {}
    folder = str(record.get("folder", ""))
    if not folder or folder != Path(folder).name:
        return {}
    try:
        key = json.loads((run.store / folder / "key.json").read_text(encoding="utf-8"))
        parts = key.get("fingerprint_parts") or {}
        whole = (key["parts"].get("model") or {}).get("fingerprint")
    except (OSError, ValueError, LookupError, AttributeError):
        return {}
    found = {} if whole is None else {"fingerprint": str(whole)[:_KEY]}
    return found | {str(name): str(value)[:_KEY] for name, value in parts.items()}


def _stages(run: StoredRun) -> Iterator[list[str]]:
    for stage in run.manifest.get("stages") or ():
        seconds = stage.get("seconds")
        taken = "from the store" if stage.get("cached") else ""
        yield [
            str(stage["name"]),
            str(stage["round"]),
            f"{stage.get('rows', 0):,}",
            f"{stage.get('failed') or 0:,}",
            taken or ("" if seconds is None else f"{seconds:,.1f}"),
            str(stage.get("key", ""))[:_KEY],
        ]
