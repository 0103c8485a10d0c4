"""Puts prompt groups together from the rows of sampling, judging and refining.

A prompt whose group cannot be put together is lost here, under the stage and reason that lost it.
Unscored samples are left out of their group; an unscored refined response loses the group, as the
judgement that denoising rests on is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from spa.engine.rows import JudgedRow
from spa.engine.stages.judge import scored_beside
from spa.engine.stages.stage import StageRows
from spa.types import Group, Objective, Prompt, RequestFailure, Response

__all__ = ["Assembled", "assemble"]


@dataclass(frozen=True, slots=True)
class Assembled:
    """A prompt with its group, or with the stage and reason that lost it."""

    prompt: Prompt
    group: Group | None
    lost_at: str = ""
    reason: str = ""


def assemble(
    prompts: StageRows[Prompt],
    samples: StageRows[Response],
    judged: StageRows[JudgedRow],
    refined: tuple[StageRows[Response], StageRows[JudgedRow]] | None,
    objectives: Sequence[Objective],
) -> Iterator[Assembled]:
    """Yields one entry for every training prompt, in order, reading all stages side by side.

    Args:
        prompts: All prompts; held-out ones are passed over.
        samples: Sampled responses.
        judged: Their scores.
        refined: Refined responses with their scores; None if the recipe refines nothing.
        objectives: In the recipe's order.
    """
    sampled = scored_beside(samples, judged)
    improved = None if refined is None else scored_beside(*refined)
    refine_failures: Mapping[str, RequestFailure] = {} if refined is None else refined[0].failures
    for prompt in prompts.rows:
        if prompt.split != "train":
            continue
        complete = tuple(s for s in sampled.of(prompt.id) if s.is_complete(objectives))
        best = None if improved is None else next(iter(improved.of(prompt.id)), None)
        if prompt.id in samples.failures:
            yield Assembled(prompt, None, "sample", samples.failures[prompt.id].reason)
        elif not complete:
            yield Assembled(prompt, None, "judge", "unscored")
        elif prompt.id in refine_failures:
            yield Assembled(prompt, None, "refine", refine_failures[prompt.id].reason)
        elif best is not None and not best.is_complete(objectives):
            yield Assembled(prompt, None, "judge", "refined_unscored")
        else:
            yield Assembled(prompt, Group(prompt, complete, best))
    sampled.end()
    if improved is not None:
        improved.end()
