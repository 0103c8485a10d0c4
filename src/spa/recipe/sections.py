"""The sections of a recipe that belong to spa itself: objectives, training, answers, splits.

Every component brings its own config; what stands here does not depend on components.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from spa.fields import ComponentConfig, NotInKey, RecipePath

__all__ = [
    "AnswerConfig",
    "LoraSettings",
    "ObjectiveConfig",
    "PromptSettings",
    "RecipeSettings",
    "SoupSettings",
    "SplitConfig",
    "TrainConfig",
]

LORA_LEARNING_RATE = 2e-4
FULL_LEARNING_RATE = 1e-6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_MEMORY = NotInKey("changes memory and speed only")
_PROCESSES = NotInKey("changes speed only, up to rounding")


def _is_name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError(
            f"{value!r} is not a name: use letters, digits, '-', '_' and '.', "
            "beginning with a letter or digit"
        )
    return value


Name = Annotated[str, AfterValidator(_is_name)]
Tracker = Literal["tensorboard", "trackio", "wandb", "mlflow"]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Trackers = Annotated[
    tuple[Tracker, ...],
    BeforeValidator(_listed, json_schema_input_type=Tracker | tuple[Tracker, ...]),
]


class ObjectiveConfig(ComponentConfig):
    """One objective; the order in the recipe is the priority, most important first."""

    name: Name = Field(description="Unique in the recipe, for example harmlessness.")
    definition: str | None = Field(
        default=None,
        min_length=1,
        description="The constitution: the written definition that the judge scores against. "
        "Null: the one of this name that ships with spa.",
    )
    threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="A score at or above it counts as met, so that the next objective decides. "
        "Null: none.",
    )


class SplitConfig(ComponentConfig):
    """How the prompts are divided."""

    heldout: int = Field(
        ge=0,
        description="Prompts kept out of training and used for evaluation only, chosen by the "
        "recipe's seed.",
    )


class PromptSettings(ComponentConfig):
    """The keys of the section ``prompts`` that hold for every source."""

    split: SplitConfig | None = Field(
        default=None,
        description="Null: the prompts are divided as the source says; one that says nothing "
        "holds none out.",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Use only the first so many prompts, before they are divided. Null: all.",
    )


class LoraSettings(ComponentConfig):
    """The adapter that training learns (LoRA, arXiv 2106.09685)."""

    r: int = Field(default=16, ge=1, description="Rank of the update.")
    alpha: float = Field(
        default_factory=lambda known: 2.0 * known.get("r", 16),
        gt=0,
        description="Scale of the update: it is multiplied by alpha / r. Default: 2 r.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Dropout on the adapter's input. Preference training does best without. "
        "Above 0, what is dropped depends on how steps are split and on the number of processes.",
    )
    target_modules: str | tuple[str, ...] = Field(
        default="all-linear",
        min_length=1,
        description="Layers that get an adapter: 'all-linear' (all but the output layer), or a "
        "list of module names.",
    )


class SoupSettings(ComponentConfig):
    """Adapters whose weights are averaged in place of a training."""

    adapters: tuple[RecipePath, ...] = Field(
        min_length=2,
        description="Folders of LoRA adapters of the policy, as trainings leave them.",
    )
    weights: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(
        min_length=2,
        description="One weight for each adapter, in their order, read as shares: [6, 4] takes "
        "0.6 of the first adapter's update and 0.4 of the second's.",
    )

    @field_validator("weights")
    @classmethod
    def _one_each(cls, weights: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        adapters = info.data.get("adapters")
        if adapters is not None and len(weights) != len(adapters):
            raise ValueError(
                f"the number of weights is {len(weights)}, but the number of adapters is "
                f"{len(adapters)}. Give one weight for each adapter, in their order"
            )
        if not any(weights):
            raise ValueError("all weights are 0, so nothing is left. Make one or more positive")
        return weights

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights divided by their sum."""
        total = math.fsum(self.weights)
        return tuple(weight / total for weight in self.weights)


class TrainConfig(ComponentConfig):
    """How the policy is trained. Defaults suit LoRA on a small set of prompts."""

    epochs: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="Passes over the prompt groups of a round.",
    )
    lora: LoraSettings | None = Field(
        default_factory=LoraSettings,
        description="The adapter to learn. Null: full fine-tuning.",
    )
    soup: Annotated[
        SoupSettings | None, NotInKey("the adapters' contents and their shares are in the key")
    ] = Field(
        default=None,
        description="Adapters to average in place of training, with which the run then goes on. "
        "Null: the policy is trained.",
    )
    learning_rate: float = Field(
        default_factory=lambda known: (
            LORA_LEARNING_RATE if known.get("lora") else FULL_LEARNING_RATE
        ),
        gt=0,
        allow_inf_nan=False,
        description="Highest learning rate of the schedule. "
        f"Default: {LORA_LEARNING_RATE:g} with LoRA, {FULL_LEARNING_RATE:g} without.",
    )
    batch_pairs: int = Field(
        default=32,
        ge=1,
        description="Preference pairs in one optimizer step, as near as whole prompt groups "
        "come to it. "
        "The mean gap of the SPA loss is taken over these.",
    )
    batching: Literal["groups", "pairs"] = Field(
        default="groups",
        description="What is shuffled into optimizer steps. groups: prompts with all their pairs. "
        "pairs: single pairs, as other trainers do, for comparison.",
    )
    micro_tokens: Annotated[int | None, _MEMORY] = Field(
        default=None,
        ge=1,
        description="Tokens sent through the model together; a prompt group that has more goes "
        "alone. Null: 1024 on a CPU, where more gains nothing, and 8192 on an accelerator. "
        "Changes memory and speed, not the result.",
    )
    micro_groups: Annotated[int | None, _MEMORY] = Field(
        default=None,
        ge=1,
        description="Most prompt groups sent through the model together. Null: as many as "
        "micro_tokens allows.",
    )
    packing: Annotated[Literal["auto", "segments", "flex", "dense", "none"], _MEMORY] = Field(
        default="auto",
        description="How the responses of a prompt share it. auto: the fastest way that is exact "
        "for the model. segments: an attention for each response. flex: FlexAttention with a "
        "block mask. dense: a full mask for the model's own attention. none: not at all, a row "
        "for each response.",
    )
    two_phase: Annotated[bool, _MEMORY] = Field(
        default=False,
        description="Carry prompt groups of more than micro_tokens through the model in pieces: "
        "all log-probabilities without gradients first, then one backward pass a piece. One more "
        "forward pass, less memory, the same result.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None,
        description="Number format of the weights while training; float16 is refused, since small "
        "gradients become 0 in it. Null: that of the section model.",
    )
    max_length: int | None = Field(
        default=None,
        ge=2,
        description="Longest prompt with response in tokens; longer responses are left out and "
        "counted. "
        "Null: as long as the model allows.",
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the learning rate falls after the warm-up."
    )
    warmup_ratio: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="Weight decay of AdamW."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, description="Gradients longer than this are scaled down to it."
    )
    processes: Annotated[int | None, _PROCESSES] = Field(
        default=None,
        ge=1,
        description="Processes that train together on this machine, on an accelerator each or on "
        "the CPU. Null: one, or as many as the file in accelerate says. Changes speed, not the "
        "result.",
    )
    accelerate: Annotated[RecipePath | None, _PROCESSES] = Field(
        default=None,
        description="Configuration file of accelerate, for FSDP2 or DeepSpeed on this machine. "
        "Null: every process holds the whole model. train.dtype decides in which format is "
        "computed, not the file.",
    )
    quantization: Literal["nf4", "int8"] | None = Field(
        default=None,
        description="Keep the frozen weights in 4 bits (nf4, QLoRA, arXiv 2305.14314) or 8 (int8, "
        "arXiv 2208.07339) while an adapter is trained: less memory. The adapter then goes on the "
        "weights as they were. Null: not at all.",
    )
    gradient_checkpointing: Annotated[bool, _MEMORY] = Field(
        default=False,
        description="Compute activations twice to store fewer of them. Changes memory and speed.",
    )
    save_steps: Annotated[
        int | None, NotInKey("changes what is kept on disk while training only")
    ] = Field(
        default=None,
        ge=1,
        description="Write a checkpoint every so many steps. Null: at the end of each epoch.",
    )
    report_to: Annotated[Trackers, NotInKey("changes what is shown only")] = Field(
        default=(),
        description="Experiment trackers that get the figures of every step: a name or a list.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**32,
        description="Seed of adapter weights and data order. Null: the recipe's seed.",
    )

    @property
    def in_processes(self) -> bool:
        """Whether training runs in processes of its own."""
        return self.accelerate is not None or (self.processes or 1) > 1

    @field_validator("quantization")
    @classmethod
    def _needs_an_adapter(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("lora", True) is None:
            raise ValueError(
                f"{value} weights cannot be trained themselves, only an adapter on them. "
                "Set train.lora, or quantization to null"
            )
        return value

    @field_validator("soup")
    @classmethod
    def _makes_an_adapter(
        cls, value: SoupSettings | None, info: ValidationInfo
    ) -> SoupSettings | None:
        if value is not None and info.data.get("lora", True) is None:
            raise ValueError("a soup is made of adapters, and train.lora is null. Leave lora out")
        return value


class AnswerConfig(ComponentConfig):
    """How models answer held-out prompts for evaluation. Sampled, as models are mostly used."""

    n: int = Field(
        default=1, ge=1, description="Answers a prompt. More answers make the figures steadier."
    )
    temperature: float = Field(
        default=0.7,
        ge=0,
        allow_inf_nan=False,
        description="0 is greedy decoding; small models then tend to repeat themselves.",
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Nucleus sampling; 1 keeps the whole distribution."
    )
    max_tokens: int = Field(
        default=256, ge=1, description="Most tokens of an answer, the end token included."
    )

    @model_validator(mode="after")
    def _greedy_once(self) -> AnswerConfig:
        if self.temperature == 0 and self.n > 1:
            raise ValueError(
                f"n is {self.n} with temperature 0, which gives one answer {self.n} times. "
                "Set one of them"
            )
        return self


class RecipeSettings(ComponentConfig):
    """The top keys of a recipe that name no component."""

    name: Name = Field(
        description="Name of the recipe. Default: the file's name without its ending."
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**32,
        description="Seed of everything random that has no seed of its own.",
    )
    requires: tuple[str, ...] = Field(
        default=(),
        description="Distributions that the recipe needs, as pip writes them: spa-rubric>=0.2.",
    )
    objectives: tuple[ObjectiveConfig, ...] = Field(
        min_length=1, description="What to align to, most important first."
    )
    train: TrainConfig = Field(
        default_factory=TrainConfig, description="How the policy is trained."
    )
    answer: AnswerConfig = Field(
        default_factory=AnswerConfig,
        description="How models answer held-out prompts for evaluation.",
    )
    iterations: int = Field(
        default=1,
        ge=1,
        le=100,
        description="Rounds of the whole method, each with the model of the last.",
    )

    @field_validator("iterations")
    @classmethod
    def _soups_once(cls, value: int, info: ValidationInfo) -> int:
        train = info.data.get("train")
        if value > 1 and train is not None and train.soup is not None:
            raise ValueError(
                "train.soup makes the same adapter in every round. Set iterations to 1"
            )
        return value
