"""Which sections of a recipe name a component, and what each of them may hold besides.

The one table that overriding, validating and the JSON Schema share. Which kind of component a
section takes is said by the table of kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

from spa.plugins.kinds import KEYS, Kind

__all__ = [
    "ASKING",
    "BACKEND",
    "NONE",
    "OTHER_KEYS",
    "SECTIONS",
    "TOP_KEYS",
    "Section",
    "section",
]


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the recipe that names a component, or a list of components.

    Attributes:
        key: Its key in the recipe.
        about: What it is for, in one line.
        required: Whether a recipe must have it. One that need not be there may also be null.
        engine_keys: Keys that belong to the section, whichever component it names, unless that
            has a key of this name itself.
    """

    key: str
    about: str
    required: bool = True
    engine_keys: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """The kind of component that it takes."""
        return KEYS[self.key]

    @property
    def many(self) -> bool:
        """Whether it is a list of components."""
        return self.kind.many


BACKEND = "backend"
"""The key of a section for the model that answers what its component asks."""

ASKING = (BACKEND,)
"""The engine keys of sections whose component may ask a model."""

NONE = "none"
"""What ``use`` says for no component at all: the same as null in place of the section."""

SECTIONS = (
    Section("model", "The policy: the model that is aligned, and what runs it."),
    Section("prompts", "Where the prompts come from.", engine_keys=("split", "limit")),
    Section("generate", "Samples several responses to every prompt.", engine_keys=ASKING),
    Section("judge", "Scores every response on every objective.", engine_keys=ASKING),
    Section(
        "refine",
        "Writes one improved response a prompt. Null: none.",
        required=False,
        engine_keys=ASKING,
    ),
    Section(
        "denoise",
        "Drops prompt groups whose scores cannot be trusted, in this order.",
        required=False,
    ),
    Section("pairs", "Builds preference pairs from the scores."),
    Section("loss", "What training minimises."),
    Section(
        "evaluate",
        "Measures the models on held-out prompts.",
        required=False,
        engine_keys=ASKING,
    ),
)

OTHER_KEYS = (
    "extends",
    "name",
    "seed",
    "requires",
    "objectives",
    "train",
    "answer",
    "iterations",
)
"""Top keys that name no component."""

TOP_KEYS = (*OTHER_KEYS, *(each.key for each in SECTIONS))


def section(key: str) -> Section | None:
    """The section of a key, None for any other key."""
    return next((each for each in SECTIONS if each.key == key), None)
