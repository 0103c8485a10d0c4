"""A training example: one prompt, its scored responses and the preference pairs among them."""

from __future__ import annotations

from dataclasses import dataclass

from spa.types import PreferencePair, Prompt, Scored

__all__ = ["TrainingGroup"]


@dataclass(frozen=True, slots=True)
class TrainingGroup:
    """What the pair stage hands to training, one for each prompt that has pairs.

    Attributes:
        prompt: The prompt; the alternative system prompts of sampling are not part of it.
        responses: Scored responses with different ids. Those in no pair are not trained on.
        pairs: The pairs among ``responses``.
    """

    prompt: Prompt
    responses: tuple[Scored, ...]
    pairs: tuple[PreferencePair, ...]
