"""The sections that the cards of models and of data have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spa import __version__
from spa.engine.stored_run import StoredRun
from spa.evaluation.verdict import MEANING
from spa.export.recipe import recipe_yaml
from spa.export.telling import fenced, judge_of, last_part, model, table

__all__ = ["figures", "funnel", "judging", "licences", "recipe", "versions"]

UNKNOWN = "unknown: fill in"
LEFT_OUT = "address left out"


def figures(run: StoredRun) -> str:
    """What the evaluators measured on held-out prompts, with intervals."""
    metrics: Sequence[Mapping[str, Any]] = run.manifest.get("metrics") or ()
    if not metrics:
        return "Nothing was measured: the run did not get so far, or no prompt was held out."
    told = [_evaluator(name, metrics) for name in dict.fromkeys(m["evaluator"] for m in metrics)]
    return "\n\n".join([*told, _reading(run)])


def _evaluator(name: str, metrics: Sequence[Mapping[str, Any]]) -> str:
    own = [metric for metric in metrics if metric["evaluator"] == name]
    models = list(dict.fromkeys(metric["model"] for metric in own))
    rows = [
        (
            figure,
            *(
                next((_figure(m) for m in own if (m["name"], m["model"]) == (figure, each)), "")
                for each in models
            ),
        )
        for figure in dict.fromkeys(metric["name"] for metric in own)
    ]
    count = max(metric["n"] for metric in own)
    return f"### {name} on {count} held-out prompts\n\n{table(('figure', *models), rows)}"


def _figure(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return "no value"
    signed = "+" if " - " in metric["model"] else ""
    text = f"{metric['value']:{signed}.2f}"
    if metric.get("low") is not None:
        text += f" [{metric['low']:{signed}.2f}, {metric['high']:{signed}.2f}]"
    return text + (f" ({metric['missing']} missing)" if metric.get("missing") else "")


def _reading(run: StoredRun) -> str:
    sections: Sequence[Mapping[str, Any]] = run.recipe.get("evaluate") or ()
    coverages = sorted({each["confidence"] for each in sections if "confidence" in each})
    cover = " or ".join(f"{each * 100:g} %" for each in coverages)
    intervals = f"Brackets are {cover} intervals" if cover else "Brackets are intervals"
    return (
        "`base` is the model before training, `round-1` and so on the model after that round. "
        f"{intervals} over prompts: they do not hold what another seed of sampling or training "
        "would change. A difference whose interval holds 0 is no finding."
    )


def judging(run: StoredRun) -> str:
    """What judged, what is known of it, and how much it left without a score."""
    rows = [("judge", judge_of(run)), ("checked on labelled answers", _check(run))]
    for section in run.recipe.get("evaluate") or ():
        if section.get("backend"):
            rows.append((f"{section.get('use')} asked", model(section["backend"])))
    unscored = [
        f"{sum(reasons.values())} of {stage['rows']} in {stage['name']}"
        for stage in run.manifest.get("stages") or ()
        if (reasons := (stage.get("details") or {}).get("unscored"))
    ]
    rows.append(("responses without a score", ", ".join(unscored) or "none"))
    found = run.manifest.get("judge_check")
    meaning = MEANING.get(found["verdict"], "") if found else ""
    return table(("", ""), rows) + (f"\n\n{meaning}" if meaning else "")


def _check(run: StoredRun) -> str:
    found = run.manifest.get("judge_check")
    if not found:
        return "not before the run ended (`spa judge-check`)"
    overall, probes = found["overall"], f"{found['probes']} labelled prompts"
    if overall.get("auc") is None:
        return f"{found['verdict']}, no AUC on {probes}"
    low, high = overall.get("low"), overall.get("high")
    interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
    return f"{found['verdict']}, AUC {overall['auc']:.2f}{interval} on {probes}"


def funnel(run: StoredRun, number: int) -> str:
    """Where the prompts of a round were lost."""
    funnels: Sequence[Any] = run.manifest.get("funnels") or ()
    steps = funnels[number - 1] if number <= len(funnels) else ()
    rows = []
    for step in steps:
        pairs = "" if step["pairs"] is None else f" ({step['pairs']} pairs)"
        lost = ", ".join(f"{count} {reason}" for reason, count in step["lost"].items())
        rows.append((step["name"] + pairs, step["prompts"], lost))
    title = f"### Funnel of round {number}\n\n"
    return title + (table(("step", "prompts", "lost"), rows) if rows else "Not recorded.")


def licences(run: StoredRun) -> str:
    """What must be known before anything is published; spa cannot know it."""
    base = model(run.recipe.get("model") or {})
    others = dict.fromkeys(map(model, _backends(run.recipe)))
    others.pop(base, None)
    rows = [
        (f"base model {base}", UNKNOWN),
        ("prompts", UNKNOWN),
        *((f"{each}, which was asked", UNKNOWN) for each in others),
    ]
    return table(("of", "licence and terms"), rows)


def _backends(value: Any) -> Iterable[Mapping[str, Any]]:  # noqa: ANN401 - JSON
    """Every backend that a recipe names beside its policy."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "backend" and isinstance(inner, Mapping):
                yield inner
            else:
                yield from _backends(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _backends(inner)


def recipe(run: StoredRun) -> str:
    """The exact recipe, folded away; of paths the last part alone, and no addresses."""
    if not run.recipe:
        return "Not recorded."
    told = StoredRun(run.folder, {**run.manifest, "recipe": _publishable(run.recipe)})
    lines = recipe_yaml(told).splitlines()
    while lines and lines[0].startswith("#"):  # what it says of paths does not hold here
        lines.pop(0)
    text = fenced("\n".join(lines), "yaml")
    return (
        "Every default is written out. Of absolute paths only the last part is told, and addresses "
        "of servers are left out.\n\n"
        f"<details>\n<summary>The whole recipe</summary>\n\n{text}\n\n</details>"
    )


def _publishable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Without the folders of a machine, and without addresses that may be a private server's."""
    match value:
        case Mapping():
            return {key: _publishable(inner) for key, inner in value.items()}
        case list():
            return [_publishable(inner) for inner in value]
        case str() if value.startswith(("http://", "https://")):
            return LEFT_OUT
        case str() if "\n" not in value:
            return last_part(value)
        case _:
            return value


def versions(run: StoredRun) -> str:
    """The packages that made the run, and the machine."""
    told: Mapping[str, str] = run.manifest.get("versions") or {}
    rows = [*told.items(), ("spa-align (this export)", __version__)]
    hardware = run.manifest.get("hardware") or {}
    if hardware:
        devices = ", ".join(hardware.get("accelerators") or ()) or "none"
        rows.append(("accelerators", devices))
    return table(("package", "version"), rows)
