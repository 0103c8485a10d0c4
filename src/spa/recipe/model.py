"""A validated recipe: what the engine runs.

Everything is resolved: components are found, configs are validated, defaults are filled in and
paths are absolute. `Recipe.resolved` writes it down again as a recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel

from spa.errors import Problem
from spa.plugins.registered import Registered
from spa.recipe.sections import AnswerConfig, SplitConfig, TrainConfig
from spa.recipe.tree import Mapping, find
from spa.types import JsonValue, Objective

__all__ = ["Asker", "AskingSpec", "ComponentSpec", "JudgeSpec", "PromptsSpec", "Recipe", "takes"]


def takes(config: type[BaseModel], key: str) -> bool:
    """Whether a config has a key of its own of that name, as recipes write it."""
    return any(key == (field.alias or name) for name, field in config.model_fields.items())


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component that a recipe uses.

    Attributes:
        kind: The kind of component, for example ``"judge"``.
        name: As the recipe writes it, bare or qualified.
        registered: The component as its plugin announced it.
        config: Its validated config.
    """

    kind: str
    name: str
    registered: Registered
    config: BaseModel

    def resolved(self) -> dict[str, JsonValue]:
        """The section as a recipe would write it, with the qualified name and every default."""
        return {
            "use": self.registered.qualified,
            **self.config.model_dump(mode="json", by_alias=True),
        }


@dataclass(frozen=True, slots=True)
class PromptsSpec(ComponentSpec):
    """The source of prompts.

    Attributes:
        split: How the prompts are divided; None: as the source says.
        limit: Use only the first so many prompts; None: all.
    """

    split: SplitConfig | None = None
    limit: int | None = None

    def resolved(self) -> dict[str, JsonValue]:
        """The section as a recipe would write it."""
        split = None if self.split is None else self.split.model_dump(mode="json")
        return {**ComponentSpec.resolved(self), "split": split, "limit": self.limit}


@dataclass(frozen=True, slots=True)
class AskingSpec(ComponentSpec):
    """A component that may ask a model.

    Attributes:
        backend: The model that answers it; None: as its section says, in the end the policy.
    """

    backend: ComponentSpec | None = None

    def resolved(self) -> dict[str, JsonValue]:
        """The section as a recipe would write it."""
        if takes(type(self.config), "backend"):
            return ComponentSpec.resolved(self)
        backend = None if self.backend is None else self.backend.resolved()
        return {**ComponentSpec.resolved(self), "backend": backend}


@dataclass(frozen=True, slots=True)
class JudgeSpec(AskingSpec):
    """The judge.

    Attributes:
        members: The judges whose scores it combines, in order; none for a judge that scores.
    """

    members: tuple[AskingSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Asker:
    """A component of a recipe that may ask a model, and the model that answers it.

    Attributes:
        path: Its place in the recipe, for example ``"judge.members.0"``.
        section: The component.
        backend: What answers it in every round; None: the policy.
    """

    path: str
    section: AskingSpec
    backend: ComponentSpec | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A validated recipe.

    Attributes:
        name: Its name.
        source: The file that it was read from, as it was given.
        seed: Seed of everything random that has no seed of its own.
        objectives: In order of priority, each with its definition.
        model: The policy, a backend.
        prompts: Where prompts come from.
        generate: What samples responses.
        judge: What scores them.
        refine: What writes the improved response; None: nothing does.
        denoise: What drops groups, in this order.
        pairs: What builds preference pairs.
        loss: What training minimises.
        train: How the policy is trained.
        answer: How models answer held-out prompts.
        evaluate: What measures them.
        iterations: Rounds of the whole method, at least 1.
        requires: Distributions that it needs.
        written: As it was written, each value with its place; None for one made in code.
    """

    name: str
    source: str
    seed: int
    objectives: tuple[Objective, ...]
    model: ComponentSpec
    prompts: PromptsSpec
    generate: AskingSpec
    judge: JudgeSpec
    refine: AskingSpec | None
    denoise: tuple[ComponentSpec, ...]
    pairs: ComponentSpec
    loss: ComponentSpec
    train: TrainConfig
    answer: AnswerConfig
    evaluate: tuple[AskingSpec, ...]
    iterations: int = 1
    requires: tuple[str, ...] = ()
    written: Mapping | None = field(default=None, compare=False, repr=False)

    def problem(self, path: str, message: str) -> Problem:
        """A mistake that only shows once models are known, where it was written.

        Args:
            path: Dotted place in the recipe, for example ``"judge.members.0"``.
            message: What is wrong.
        """
        if self.written is None:
            return Problem(message, file=self.source, path=path)
        steps = [int(step) if step.isdecimal() else step for step in path.split(".")]
        _, place, _ = find(self.written, steps)
        return place.problem(message, path)

    @property
    def askers(self) -> tuple[Asker, ...]:
        """What may ask a model, in the order of the flow; of an ensemble its members.

        A member without a backend has that of the judge's section, and so has an evaluator.
        """
        judges = [
            Asker(f"judge.members.{place}", member, member.backend or self.judge.backend)
            for place, member in enumerate(self.judge.members)
        ]
        refine = () if self.refine is None else (self.refine,)
        return (
            Asker("generate", self.generate, self.generate.backend),
            *(judges or [Asker("judge", self.judge, self.judge.backend)]),
            *(Asker("refine", section, section.backend) for section in refine),
            *(
                Asker(f"evaluate.{place}", section, section.backend or self.judge.backend)
                for place, section in enumerate(self.evaluate)
            ),
        )

    @property
    def components(self) -> tuple[ComponentSpec, ...]:
        """All components that it uses, backends of their own included; repetitions are possible."""
        refine = () if self.refine is None else (self.refine,)
        return (
            *(self.model, self.prompts, self.generate, self.judge, *self.judge.members),
            *refine,
            *self.denoise,
            *(self.pairs, self.loss),
            *self.evaluate,
            *(asker.backend for asker in self.askers if asker.backend is not None),
        )

    def resolved(self) -> dict[str, JsonValue]:
        """The whole recipe as plain values, itself a valid recipe: nothing is left to a default.

        Inherited values and overrides are in it, paths are absolute, names are qualified.
        """
        return {
            "name": self.name,
            "seed": self.seed,
            "requires": list(self.requires),
            "objectives": [
                {"name": each.name, "definition": each.definition, "threshold": each.threshold}
                for each in self.objectives
            ],
            "model": self.model.resolved(),
            "prompts": self.prompts.resolved(),
            "generate": self.generate.resolved(),
            "judge": self.judge.resolved(),
            "refine": None if self.refine is None else self.refine.resolved(),
            "denoise": [each.resolved() for each in self.denoise],
            "pairs": self.pairs.resolved(),
            "loss": self.loss.resolved(),
            "train": self.train.model_dump(mode="json"),
            "answer": self.answer.model_dump(mode="json"),
            "evaluate": [each.resolved() for each in self.evaluate],
            "iterations": self.iterations,
        }
