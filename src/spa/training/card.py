"""The model card that is saved with what was trained: where it comes from and what it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spa import __version__
from spa.recipe.quoting import quoted
from spa.training.outcome import Kind
from spa.types import Objective

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = ["Facts", "model_card"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model card tells.

    Attributes:
        base: Hub name or folder of the base model.
        kind: Adapter or full model.
        objectives: In their priority.
        loss: Name of the loss and its settings.
        settings: Section ``train``.
        seed: Seed of adapter weights and data order.
        groups: Prompts with pairs.
        pairs: Pairs trained on.
        dropped: Reason to number of pairs left out.
        steps: Optimizer steps.
        warnings: What makes the result doubtful.
        askers: What asked another model than the policy, by its place in the recipe, and which.
    """

    base: str
    kind: Kind
    objectives: tuple[Objective, ...]
    loss: tuple[str, Mapping[str, object]]
    settings: TrainConfig
    seed: int
    groups: int
    pairs: int
    dropped: Mapping[str, int]
    steps: int
    warnings: tuple[str, ...]
    askers: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: Facts) -> str:
    """A README.md in Markdown, with the front matter that model hubs read."""
    settings, (loss, loss_settings) = facts.settings, facts.loss
    order = " > ".join(objective.name for objective in facts.objectives)
    if settings.lora is None:
        method = "full fine-tuning"
    else:
        lora = settings.lora
        method = f"LoRA, r = {lora.r}, alpha = {lora.alpha:g}, dropout = {lora.dropout:g}"
        if settings.quantization is not None:
            method += f"; the other weights in {settings.quantization} while training"
    figures = {
        "objectives, most important first": order,
        "loss": f"{loss} ({', '.join(f'{k} = {v}' for k, v in loss_settings.items())})",
        "trained weights": method,
        "prompts with pairs": facts.groups,
        "preference pairs": facts.pairs,
        "pairs left out": ", ".join(f"{n} ({reason})" for reason, n in facts.dropped.items())
        or "none",
        "optimizer steps": facts.steps,
        "epochs": f"{settings.epochs:g}",
        "pairs a step": f"about {settings.batch_pairs}",
        "learning rate": f"{settings.learning_rate:g}, {settings.schedule}",
        "warm-up": f"{settings.warmup_ratio:g} of the steps",
        "seed": facts.seed,
        **{f"{place} asked": model for place, model in facts.askers.items()},
    }
    table = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in figures.items())
    library = "peft" if facts.kind == "adapter" else "transformers"
    tags = "self-priority-alignment, preference-optimization" + (", lora" if settings.lora else "")
    doubts = "".join(f"- {_line(warning)}\n" for warning in facts.warnings)
    return f"""---
license: unknown # fill in
base_model: {quoted(facts.base)}
library_name: {library}
pipeline_tag: text-generation
tags: [{tags}]
---

# {"Adapter" if facts.kind == "adapter" else "Model"} aligned {_by(facts)}: {order}

Trained with [Self-Priority Alignment](https://arxiv.org/abs/2511.06222) (spa-align {__version__}):
answers were sampled, judged against the written objectives and improved, {_by_whom(facts)}. The
model was trained on the preferences that follow from a strict order of the objectives. No human
labels.

Base model: {_line(facts.base)}

| | |
|---|---|
{table}

## Use

{_usage(facts)}
## Limits

- The preferences are {_judgement(facts)}. They carry its errors and
  its taste, for example for long answers, and small models judge poorly.
- A lower objective was to be improved only where the higher ones are not made worse. Whether that
  was reached must be measured on held-out prompts; nothing here guarantees safe answers.
- What the model does on prompts it was not trained on is not in this card, which is written before
  anything is measured: `spa export RUN --format merged` writes one that knows the whole run.
- The base model's licence and terms of use apply{_more_terms(facts)}, and those of the prompts.
  This card does not know them: fill them in before you publish the weights.
{doubts}"""


def _cell(value: object) -> str:
    return _line(str(value)).replace("|", "\\|")


def _line(text: str) -> str:
    """A text in one line that opens no HTML, whoever wrote it."""
    return " ".join(text.split()).replace("<", "&lt;")


def _judged_itself(facts: Facts) -> bool:
    return not any(place.startswith("judge") for place in facts.askers)


def _by(facts: Facts) -> str:
    return "by its own judgement" if _judged_itself(facts) else "by written objectives"


def _by_whom(facts: Facts) -> str:
    if not facts.askers:
        return "by the model itself or by rules"
    return "by the model itself where the table names no other"


def _judgement(facts: Facts) -> str:
    if _judged_itself(facts):
        return "the model's own judgement (or that of the rules named in the recipe)"
    return "those of the judge named in the recipe"


def _more_terms(facts: Facts) -> str:
    return ", and so do those of the models that the table names" if facts.askers else ""


def _usage(facts: Facts) -> str:
    if facts.kind == "adapter":
        return f"""```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained({quoted(facts.base)})
model = PeftModel.from_pretrained(model, "path/of/this/folder")
```

"""
    return """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
```

"""
