"""The table of component kinds: hook, recipe keys, supported contract versions, methods.

Everything that goes through the kinds one by one (discovery, catalogue, recipe, listings) reads
this table, so a new kind is one line here and one hook spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from spa import contracts

__all__ = ["KEYS", "KINDS", "Kind", "kind_of_key"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of component.

    Attributes:
        name: As it appears in messages and ``spa components --kind``, for example ``"judge"``.
        hook: The plugin hook that announces components of this kind.
        key: The recipe key that takes them.
        protocol: The contract that the class follows.
        methods: Methods that the class must have.
        instead: Methods that it may have in place of all of them; none where there is no other way.
        many: Whether the recipe key takes a list.
        apis: Versions of the contract that this spa supports.
    """

    name: str
    hook: str
    key: str
    protocol: type[Any]
    methods: tuple[str, ...]
    instead: tuple[str, ...] = ()
    many: bool = False
    apis: tuple[int, ...] = (1,)

    @property
    def title(self) -> str:
        """The name as words: ``"pair builder"``."""
        return self.name.replace("_", " ")

    @property
    def article(self) -> str:
        """The title with its article: ``"an evaluator"``."""
        return f"an {self.title}" if self.title[0] in "aeiou" else f"a {self.title}"


_ALL = (
    Kind("backend", "spa_backends", "model", contracts.Backend, ("answer", "fingerprint", "close")),
    Kind("source", "spa_sources", "prompts", contracts.Source, ("prompts", "fingerprint")),
    Kind("generator", "spa_generators", "generate", contracts.Generator, ("sample",)),
    Kind(
        "judge",
        "spa_judges",
        "judge",
        contracts.Judge,
        ("score",),
        instead=("combine", "combined_scale"),
    ),
    Kind("refiner", "spa_refiners", "refine", contracts.Refiner, ("refine",)),
    Kind("denoiser", "spa_denoisers", "denoise", contracts.Denoiser, ("verdict",), many=True),
    Kind("pair_builder", "spa_pair_builders", "pairs", contracts.PairBuilder, ("pairs",)),
    Kind("loss", "spa_losses", "loss", contracts.Loss, ("__call__",)),
    Kind(
        "evaluator",
        "spa_evaluators",
        "evaluate",
        contracts.Evaluator,
        ("evaluate", "summary"),
        many=True,
    ),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Kind name to kind, in the order of the flow."""

KEYS: Mapping[str, Kind] = MappingProxyType({kind.key: kind for kind in _ALL})
"""Recipe key to kind: ``"pairs"`` to the kind ``pair_builder``."""


def kind_of_key(key: str) -> Kind:
    """The kind that a recipe key takes.

    Raises:
        KeyError: If the key takes no component.
    """
    return KEYS[key]
