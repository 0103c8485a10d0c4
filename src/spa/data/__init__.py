"""Texts that ship with spa: prompts, constitutions, alternative system prompts, judge probes.

They enter the flow through recipes: prompts by path (``package:spa/data/prompts/...``), a
constitution by the name of an objective, system prompts by the settings of the generator; probes
through ``spa judge-check``. All of them were written for spa, and nothing else is needed to run the
shipped recipes.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

from spa.errors import SpaError

__all__ = ["constitution_names", "load_constitution", "load_probes", "load_system_prompts"]

_SUFFIX = ".md"


def constitution_names() -> tuple[str, ...]:
    """Names of the constitutions, sorted."""
    return tuple(_texts("constitutions"))


def load_constitution(name: str) -> str:
    """The written definition of an objective that a judge scores against.

    Args:
        name: For example ``"harmlessness"``.

    Raises:
        SpaError: If no constitution of that name ships with spa.
    """
    try:
        return _texts("constitutions")[name]
    except KeyError:
        valid = ", ".join(constitution_names())
        raise SpaError(
            f"no constitution {name!r} ships with spa. Valid names: {valid}. "
            "Write your own as the objective's 'definition' in the recipe."
        ) from None


def load_system_prompts() -> dict[str, str]:
    """The alternative system prompts for sampling, from name to text, sorted by name."""
    return dict(_texts("system_prompts"))


def load_probes() -> dict[str, str]:
    """The files of judge probes, from name to content, sorted by name."""
    found = resources.files(__name__).joinpath("probes")
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(found.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".jsonl")
    }


@cache
def _texts(folder: Literal["constitutions", "system_prompts"]) -> dict[str, str]:
    found = resources.files(__name__).joinpath(folder)
    return {
        file.name.removesuffix(_SUFFIX): file.read_text(encoding="utf-8").strip()
        for file in sorted(found.iterdir(), key=lambda file: file.name)
        if file.name.endswith(_SUFFIX)
    }
