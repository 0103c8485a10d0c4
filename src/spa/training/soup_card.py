"""The model card of a reward soup: of which adapters it is the mean, and what it is not."""

from __future__ import annotations

from pathlib import Path

from spa import __version__
from spa.recipe.quoting import quoted
from spa.training.job import Job

__all__ = ["soup_card"]


def soup_card(job: Job) -> str:
    """A README.md in Markdown, with the front matter that model hubs read.

    Args:
        job: What stands in the place of the training; its settings have a soup.
    """
    soup = job.settings.soup
    assert soup is not None
    order = " > ".join(objective.name for objective in job.objectives)
    base = Path(job.model.path).name if Path(job.model.path).is_absolute() else job.model.path
    rows = "\n".join(
        f"| `{_place(Path(folder))}` | {share:.3g} |"
        for folder, share in zip(soup.adapters, soup.shares, strict=True)
    )
    return f"""---
license: unknown # fill in
base_model: {quoted(base)}
library_name: peft
pipeline_tag: text-generation
tags: [reward-soup, lora]
---

# Adapter, the weighted mean of {len(soup.adapters)} adapters

A reward soup ([Rewarded Soups](https://arxiv.org/abs/2306.04488)), mixed by spa-align
{__version__}: nothing was trained, the updates of these adapters were averaged. Each of them has a
card of its own that says how it was trained. Objectives of the run that mixed it: {order}.

| adapter | share |
|---|---|
{rows}

What the mean does is not known from what they do, and must be measured. The base model's licence
and terms of use apply, and those of the prompts: fill them in before you publish the weights.
"""


def _place(folder: Path) -> str:
    """The last two parts of a path, as cards are published."""
    return "/".join(folder.parts[-2:])
