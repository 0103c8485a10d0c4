"""What stages write that is no value type of its own: judgements, verdicts, evaluation records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spa.types import JsonValue, Score

__all__ = ["EvaluationRow", "JudgedRow", "NamedVerdict", "VerdictRow"]


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """The scores of one response."""

    response_id: str
    prompt_id: str
    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class NamedVerdict:
    """What one denoiser, by its qualified name, said of a group."""

    denoiser: str
    keep: bool
    reason: str
    details: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """Whether a prompt's group goes on to pairing.

    Attributes:
        prompt_id: The prompt.
        keep: Whether it stays.
        lost_at: ``"sample"``, ``"judge"``, ``"refine"``, ``"denoise"`` where a denoiser broke, or
            the denoiser's qualified name; ``""`` if kept.
        reason: A stable code; the last denoiser's, or ``"kept"``, for a group that stays.
        drop: Ids of responses left out of a group that stays.
        verdicts: Every denoiser's verdict in turn, up to the first that dropped the group.
    """

    prompt_id: str
    keep: bool
    lost_at: str
    reason: str
    drop: tuple[str, ...] = ()
    verdicts: tuple[NamedVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """What an evaluator saw for one held-out prompt."""

    prompt_id: str
    evaluator: str
    record: Mapping[str, JsonValue]
