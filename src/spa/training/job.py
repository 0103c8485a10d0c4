"""One training, as a value: what the processes that carry it out must agree on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa.contracts import Loss
from spa.models.spec import ModelSpec
from spa.training.batching import OptimizerBatch, plan_batches
from spa.training.encoding import Encoding
from spa.training.outcome import TrainProgress
from spa.types import Objective

if TYPE_CHECKING:
    from spa.recipe.sections import TrainConfig

__all__ = ["Job", "LossSource", "Observe", "ShouldStop"]

Observe = Callable[[TrainProgress], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class LossSource:
    """Where another process finds the loss.

    Attributes:
        name: Qualified name of the component.
        config: Its settings, as JSON values.
    """

    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """A training to be done.

    Attributes:
        objectives: In the recipe's order.
        model: The policy at the start of the round.
        settings: Section ``train``.
        loss: The loss component.
        output_dir: Folder of this training alone.
        reference_dir: Where reference log-probabilities are kept, for all trainings that start
            from the same model with the same responses.
        seed: Of adapter weights and data order.
        encoding: The groups to train on.
        identity: What must be the same for a checkpoint to be gone on from.
        run_name: What experiment trackers call it.
        askers: For the model card: what asked another model than the policy, and which.
    """

    objectives: tuple[Objective, ...]
    model: ModelSpec
    settings: TrainConfig
    loss: Loss
    output_dir: Path
    reference_dir: Path
    seed: int
    encoding: Encoding
    identity: dict[str, str]
    run_name: str = ""
    askers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def batches(self) -> tuple[OptimizerBatch, ...]:
        """The optimizer batches of all epochs; the same in every process."""
        settings = self.settings
        return plan_batches(
            self.encoding.groups,
            settings.batch_pairs,
            settings.epochs,
            self.seed,
            singly=settings.batching == "pairs",
        )

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest prompt with one response."""
        return max(
            len(group.prompt) + max(map(len, group.responses)) for group in self.encoding.groups
        )

    def reference_key(self, dtype: str) -> str:
        """What reference log-probabilities depend on, as a hash.

        The model, adapter, tokenizer and chat template by the model's fingerprint; what the
        template and the limit of length left of prompts and responses by their token ids. Quantised
        weights are another reference than the model's own.
        """
        tokens = [
            [group.prompt_id, group.prompt, group.response_ids, group.responses]
            for group in self.encoding.groups
        ]
        parts = [self.identity["model"], dtype, tokens]
        if self.settings.quantization is not None:
            parts.append(self.settings.quantization)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def facts(self, loss: LossSource) -> dict[str, object]:
        """What another process needs, fit for JSON.

        Args:
            loss: Where it finds the loss.
        """
        return {
            "objectives": [asdict(objective) for objective in self.objectives],
            "loss": {"name": loss.name, "config": dict(loss.config)},
            "model": asdict(self.model),
            "settings": self.settings.model_dump(mode="json"),
            "output_dir": str(self.output_dir),
            "reference_dir": str(self.reference_dir),
            "seed": self.seed,
            "encoding": asdict(self.encoding),
            "identity": self.identity,
            "run_name": self.run_name,
            "askers": dict(self.askers),
        }
