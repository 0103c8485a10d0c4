"""The dataset card (``README.md``) of exported pairs: how they came about, and what they are not.

Hubs and ``datasets`` read the front matter; people read the rest. Of paths only the last part is
told, as cards are published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from spa import __version__
from spa.export.formats import PairFormat
from spa.export.llamafactory import TURNS
from spa.export.pairs import EMPTY_RESPONSE, PROMPT_GONE, RESPONSE_GONE, PairData
from spa.export.sections import figures, funnel, judging, licences, recipe, versions
from spa.export.telling import (
    ITSELF,
    component,
    date,
    inline,
    judge_models,
    judge_of,
    model,
    objectives_of,
    size,
    table,
    writer,
)
from spa.recipe.quoting import quoted

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
                f"# Preference pairs of the run {inline(run.name)}: {inline(order)}",
                f"Made with [Self-Priority Alignment](https://arxiv.org/abs/2511.06222) (spa-align "
                f"{__version__}): a model sampled several answers to every prompt, a judge scored "
                "them on written objectives, and the pairs follow from a strict order of the "
                "objectives.",
                f"## Use\n\n{form.example(HERE, run.name)}",
                "## Columns\n\n"
                + table(("column", "meaning"), form.columns(run.objectives).items()),
                f"## How the pairs came about\n\n{_origin(data)}",
                *(funnel(run, number) for number in data.rounds),
                f"## What was left out\n\n{_left_out(data)}",
                f"## How they were judged\n\n{judging(run)}",
                f"## What training on them gave\n\n{figures(run)}",
                f"## Licences\n\n{licences(run)}",
                f"## Limits\n\n{_limits(data)}",
                f"## Recipe\n\n{recipe(run)}",
                f"## Versions\n\n{versions(run)}",
            ]
        )
        + "\n"
    )


def _front_matter(data: PairData, form: PairFormat) -> str:
    count = len(data.pairs)
    category = next((name for limit, name in SIZES if count < limit), "10M<n<100M")
    tags = ["self-priority-alignment", "preference", "dpo", "synthetic", *form.tags]
    return f"""---
license: unknown # fill in
pretty_name: {quoted(f"Preference pairs of {data.run.name}")}
task_categories: [text-generation]
tags: {json.dumps(tags)}
size_categories: ["{category}"]
configs:
  - config_name: default
    data_files:
      - split: train
        path: {quoted(form.file(data.run.name))}
---"""


def _origin(data: PairData) -> str:
    manifest, told = data.run.manifest, data.run.recipe
    denoise = [component(section) for section in told.get("denoise") or ()]
    facts = {
        "recipe": told.get("name", "unknown"),
        "run": f"{data.run.name} ({manifest.get('status', 'unknown')})",
        "started": date(manifest.get("started_at")),
        "model": model(told.get("model") or {}) + size(manifest.get("policy_parameters")),
        "prompts": component(told.get("prompts")),
        "sampling": writer(told.get("generate")),
        "judge": judge_of(data.run),
        "refinement": writer(told.get("refine")),
        "denoising": ", then ".join(denoise) or "none",
        "pairs": component(told.get("pairs")),
        "rounds": ", ".join(map(str, data.rounds)),
        "seed": told.get("seed", "unknown"),
        "pairs in this folder": len(data.pairs),
        "prompts with pairs": len({item.pair.prompt_id for item in data.pairs}),
    }
    return f"""{table(("", ""), facts.items())}

The objectives, most important first; a later one decides only where the earlier ones tie:

{objectives_of(data.run)}

Prompts are as their source gave them. System prompts that samples were drawn with are not part of
them."""


def _left_out(data: PairData) -> str:
    rows = [(code, count, WHY.get(code, "")) for code, count in sorted(data.left_out.items())]
    told = table(("reason", "pairs", "what it means"), rows) if rows else "Nothing."
    return f"The pair builder made {data.total} pairs; {len(data.pairs)} are here.\n\n{told}"


def _limits(data: PairData) -> str:
    cut = sum("length" in (p.chosen.finish_reason, p.rejected.finish_reason) for p in data.pairs)
    points = [
        "The preferences are the judge's, not people's. They carry its errors and its taste: "
        "models like long answers, for example, and small models judge poorly.",
        *(
            ["The model judged its own answers. Models prefer their own text."]
            if ITSELF in judge_models(data.run)
            else []
        ),
        "Answers may be harmful or wrong, the rejected ones above all.",
        "The licence and the terms of the source prompts and of the models apply. This card does "
        "not know them: check them and fill them in before you publish the data.",
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
