"""The model card (``README.md``) of an exported model: what it is, what was measured, what is not.

The card that lies beside an adapter is written before anything is measured; this one knows the
whole run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spa import __version__
from spa.engine.stored_run import StoredRun
from spa.export.sections import figures, funnel, judging, licences, recipe, versions
from spa.export.telling import (
    ITSELF,
    component,
    date,
    inline,
    judge_models,
    model,
    objectives_of,
    size,
    table,
    writer,
)
from spa.recipe.quoting import quoted

__all__ = ["model_card"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def model_card(run: StoredRun) -> str:
    """The card in Markdown.

    Args:
        run: The run that trained the model; parts of its manifest may be missing.
    """
    rounds = range(1, len((run.manifest.get("outputs") or {}).get("rounds") or ()) + 1)
    order = " > ".join(run.objectives) or "no objectives recorded"
    return (
        "\n\n".join(
            [
                _front_matter(run),
                f"# Model aligned by the run {inline(run.name)}: {inline(order)}",
                "Trained with [Self-Priority Alignment](https://arxiv.org/abs/2511.06222) "
                f"(spa-align {__version__}): a model sampled several answers to every prompt, a "
                "judge scored them on written objectives, and the model was trained on the "
                "preferences that follow from a strict order of the objectives. No human labels.",
                f"## Use\n\n{_USE}",
                f"## What was measured\n\n{figures(run)}",
                f"## How it was judged\n\n{judging(run)}",
                f"## How it was trained\n\n{_training(run)}",
                *(funnel(run, number) for number in rounds),
                f"## Licences\n\n{licences(run)}",
                f"## Limits\n\n{_limits(run)}",
                f"## Recipe\n\n{recipe(run)}",
                f"## Versions\n\n{versions(run)}",
            ]
        )
        + "\n"
    )


_USE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
```"""


def _front_matter(run: StoredRun) -> str:
    """What hubs read. A base model is named only where it has a name there."""
    path = str((run.recipe.get("model") or {}).get("path") or "")
    base = ""
    if _HUB_NAME.fullmatch(path):
        base = f"base_model: {quoted(path)}\nbase_model_relation: finetune\n"
    return f"""---
license: unknown # fill in
{base}library_name: transformers
pipeline_tag: text-generation
tags: [self-priority-alignment, preference-optimization]
---"""


def _training(run: StoredRun) -> str:
    manifest, told = run.manifest, run.recipe
    denoise = [component(section) for section in told.get("denoise") or ()]
    facts = {
        "recipe": told.get("name", "unknown"),
        "run": f"{run.name} ({manifest.get('status', 'unknown')})",
        "started": date(manifest.get("started_at")),
        "base model": model(told.get("model") or {}) + size(manifest.get("policy_parameters")),
        "prompts": component(told.get("prompts")),
        "sampling": writer(told.get("generate")),
        "refinement": writer(told.get("refine")),
        "denoising": ", then ".join(denoise) or "none",
        "pairs": component(told.get("pairs")),
        "loss": component(told.get("loss")),
        **_settings(told.get("train") or {}),
        **_rounds(run),
        "seed": told.get("seed", "unknown"),
    }
    return f"""{table(("", ""), facts.items())}

The objectives, most important first; a later one decides only where the earlier ones tie:

{objectives_of(run)}"""


def _settings(train: Mapping[str, Any]) -> dict[str, str]:
    """Section ``train``, as far as it changes what is learned."""
    if not train:
        return {}
    lora = train.get("lora")
    rate, schedule = train.get("learning_rate"), train.get("schedule")
    return {
        "trained weights": "all" if lora is None else f"LoRA, {_named(lora)}",
        "epochs": f"{train.get('epochs')}",
        "pairs a step": f"about {train.get('batch_pairs')}",
        "learning rate": f"{rate}, {schedule}",
    }


def _named(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in settings.items())


def _rounds(run: StoredRun) -> dict[str, str]:
    """What training did in each round."""
    found: dict[str, str] = {}
    for record in run.manifest.get("stages") or ():
        if record["name"] != "train":
            continue
        steps = (record.get("details") or {}).get("steps", "unknown")
        reasons = record.get("failure_reasons") or {}
        lost = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
        found[f"round {record['round']}"] = (
            f"{record.get('rows', 'unknown')} pairs, {steps} steps; pairs left out: {lost}"
        )
    return found


def _limits(run: StoredRun) -> str:
    return "\n".join(f"- {point}" for point in _points(run))


def _points(run: StoredRun) -> Iterable[str]:
    yield (
        "The preferences are the judge's, not people's. They carry its errors and its taste: "
        "models like long answers, for example, and small models judge poorly."
    )
    if ITSELF in judge_models(run):
        yield (
            "The model judged its own answers, in training and in what was measured. Models "
            "prefer their own text: confirm with another judge before you believe a figure."
        )
    yield (
        "A lower objective was to be improved only where the higher ones are not made worse. "
        "Whether that was reached is what the figures say, for these prompts alone; nothing here "
        "guarantees safe answers."
    )
    for warning in (run.manifest.get("outputs") or {}).get("warnings") or ():
        yield inline(str(warning))
