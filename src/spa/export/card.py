"""The dataset card (``README.md``) of exported pairs: how they came about, and what they are not.

Hubs and ``datasets`` read the front matter; people read the rest. Of paths only the last part is
told, as cards are published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from spa import __version__
from spa.engine.stored_run import StoredRun
from spa.export.formats import PairFormat
from spa.export.llamafactory import TURNS
from spa.export.pairs import EMPTY_RESPONSE, PROMPT_GONE, RESPONSE_GONE, PairData

__all__ = ["dataset_card"]

HERE = "path/of/this/folder"
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
WHY = {
    EMPTY_RESPONSE: "a response has no text, or white space alone",
    PROMPT_GONE: "the prompt is not in the store any more",
    RESPONSE_GONE: "a response is not in the store any more",
    TURNS: "LLaMA-Factory takes only turns of user and assistant that alternate",
}
LONGEST = 60
ITSELF = "the model itself"


def dataset_card(data: PairData, form: PairFormat) -> str:
    """The card in Markdown.

    Args:
        data: What was written, and what was left out.
        form: How it was written.
    """
    run = data.run
    order = " > ".join(run.objectives)
    return (
        "\n\n".join(
            [
                _front_matter(data, form),
                f"# Preference pairs of the run {run.name}: {order}",
                f"Made with [Self-Priority Alignment](https://arxiv.org/abs/2511.06222) (spa-align "
                f"{__version__}): a model sampled several answers to every prompt, a judge scored "
                "them on written objectives, and the pairs follow from a strict order of the "
                "objectives.",
                f"## Use\n\n{form.example(HERE, run.name)}",
                "## Columns\n\n"
                + _table(("column", "meaning"), form.columns(run.objectives).items()),
                f"## How the pairs came about\n\n{_origin(data)}",
                *(_funnel(data, number) for number in data.rounds),
                f"## What was left out\n\n{_left_out(data)}",
                f"## Limits\n\n{_limits(data)}",
                "## Versions\n\n" + _table(("package", "version"), _versions(data)),
            ]
        )
        + "\n"
    )


def _front_matter(data: PairData, form: PairFormat) -> str:
    count = len(data.pairs)
    size = next((name for limit, name in SIZES if count < limit), "10M<n<100M")
    tags = ["self-priority-alignment", "preference", "dpo", "synthetic", *form.tags]
    # JSON is YAML, and quotes whatever a name may hold.
    return f"""---
pretty_name: {json.dumps(f"Preference pairs of {data.run.name}", ensure_ascii=False)}
task_categories: [text-generation]
tags: {json.dumps(tags)}
size_categories: ["{size}"]
configs:
  - config_name: default
    data_files:
      - split: train
        path: {json.dumps(form.file(data.run.name))}
---"""


def _origin(data: PairData) -> str:
    manifest, recipe = data.run.manifest, data.run.recipe
    judge = recipe.get("judge") or {}
    denoise = [_component(section) for section in recipe.get("denoise") or ()]
    facts = {
        "recipe": recipe.get("name", "unknown"),
        "run": f"{data.run.name} ({manifest.get('status', 'unknown')})",
        "started": _date(manifest.get("started_at")),
        "model": _model(recipe.get("model") or {}) + _size(manifest.get("policy_parameters")),
        "prompts": _component(recipe.get("prompts")),
        "sampling": _component(recipe.get("generate")),
        "judge": f"{_component(judge)}, asking {_judge_model(data.run)}",
        "refinement": _component(recipe.get("refine")),
        "denoising": ", then ".join(denoise) or "none",
        "pairs": _component(recipe.get("pairs")),
        "rounds": ", ".join(map(str, data.rounds)),
        "seed": recipe.get("seed", "unknown"),
        "pairs in this folder": len(data.pairs),
        "prompts with pairs": len({item.pair.prompt_id for item in data.pairs}),
    }
    objectives = "\n".join(
        f"{place}. **{each['name']}**{_threshold(each)}: {_line(each.get('definition') or '')}"
        for place, each in enumerate(recipe.get("objectives") or (), start=1)
    )
    return f"""{_table(("", ""), facts.items())}

The objectives, most important first; a later one decides only where the earlier ones tie:

{objectives}

Prompts are as their source gave them. System prompts that samples were drawn with are not part of
them."""


def _funnel(data: PairData, number: int) -> str:
    funnels: Sequence[Any] = data.run.manifest.get("funnels") or ()
    steps = funnels[number - 1] if number <= len(funnels) else ()
    rows = []
    for step in steps:
        pairs = "" if step["pairs"] is None else f" ({step['pairs']} pairs)"
        lost = ", ".join(f"{count} {reason}" for reason, count in step["lost"].items())
        rows.append((step["name"] + pairs, step["prompts"], lost))
    title = f"### Funnel of round {number}\n\n"
    return title + (_table(("step", "prompts", "lost"), rows) if rows else "Not recorded.")


def _left_out(data: PairData) -> str:
    rows = [(code, count, WHY.get(code, "")) for code, count in sorted(data.left_out.items())]
    told = _table(("reason", "pairs", "what it means"), rows) if rows else "Nothing."
    return f"The pair builder made {data.total} pairs; {len(data.pairs)} are here.\n\n{told}"


def _limits(data: PairData) -> str:
    cut = sum("length" in (p.chosen.finish_reason, p.rejected.finish_reason) for p in data.pairs)
    points = [
        "The preferences are the judge's, not people's. They carry its errors and its taste: "
        "models like long answers, for example, and small models judge poorly.",
        *(
            ["The model judged its own answers. Models prefer their own text."]
            if _judge_model(data.run) == ITSELF
            else []
        ),
        "Answers may be harmful or wrong, the rejected ones above all.",
        "The licence and the terms of the source prompts and of the model apply. This card names "
        "no licence: check them before you publish the data.",
        f"In {cut} of {len(data.pairs)} pairs an answer was cut at the token limit. Trainers that "
        "render chat templates put an end token after it all the same.",
        "spa trains on the token ids that the model produced; trainers that read text tokenise it "
        "anew and may cut long examples. Their results differ from spa's.",
        *_dropped(data),
    ]
    return "\n".join(f"- {point}" for point in points)


def _dropped(data: PairData) -> Iterable[str]:
    """What the run itself did not train on, though it is here."""
    for number in data.rounds:
        record = data.run.stage("train", number)
        if record is not None and record.get("failure_reasons"):
            reasons = record["failure_reasons"].items()
            lost = ", ".join(f"{count} pairs ({reason})" for reason, count in reasons)
            yield f"In round {number}, spa's own training left out {lost}."


def _versions(data: PairData) -> Iterable[tuple[str, str]]:
    versions: Mapping[str, str] = data.run.manifest.get("versions") or {}
    yield from versions.items()
    yield "spa-align (this export)", __version__


def _component(section: Mapping[str, Any] | None) -> str:
    """A component with its settings, as far as they fit in a line."""
    if section is None:
        return "none"
    told = ", ".join(
        f"{key} = {_setting(value)}"
        for key, value in section.items()
        if key not in ("use", "backend") and value not in (None, "")
    )
    return f"{section.get('use', 'unknown')}" + (f" ({told})" if told else "")


def _setting(value: object) -> str:
    match value:
        case str():
            text = _line(_last_part(value))
            return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        case list():
            return f"{len(value)} given" if value else "none"
        case _:
            return json.dumps(value)


def _judge_model(run: StoredRun) -> str:
    """What the judge asked; a judge of fixed rules asks nothing, whatever the recipe names."""
    stage = run.stage("judge") or {}
    details = stage.get("details") or {}
    if not details.get("asked", 0) + details.get("replayed", 0):
        return "no model"
    backend = (run.recipe.get("judge") or {}).get("backend")
    return ITSELF if backend is None else _model(backend)


def _model(section: Mapping[str, Any]) -> str:
    return _last_part(str(section.get("path") or section.get("use") or "unknown"))


def _last_part(text: str) -> str:
    """The last part of an absolute path; any other text as it is."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return kind(text).name
    return text


def _size(parameters: int | None) -> str:
    return "" if parameters is None else f" ({parameters:,} parameters)"


def _threshold(objective: Mapping[str, Any]) -> str:
    threshold = objective.get("threshold")
    return "" if threshold is None else f" (counts as met from {threshold:g})"


def _date(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    return _line(str(value)).replace("|", "\\|")
