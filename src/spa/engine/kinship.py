"""Which evaluators are judged by the policy itself or by a model of its family.

Models prefer text of their own kind (arXiv 2410.21819), so whoever reads the figures must know.
Told from names and settings alone, by `spa validate` and `spa plan` as well: nothing is loaded, and
no network is asked.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from spa.engine.models import same_model
from spa.errors import PluginError
from spa.recipe import AskingSpec, ComponentSpec, Recipe

__all__ = ["KinJudge", "family", "kin_judges", "kin_notes"]

Relation = Literal["itself", "family"]

KEY = "kin_judge"
"""Key of the config of an evaluator whose figures are a judge's opinion; `known` silences."""

FAMILIES = (
    "claude", "command", "deepseek", "exaone", "falcon", "gemini", "gemma", "glm", "gpt", "granite",
    "grok", "internlm", "kimi", "llama", "minimax", "mistral", "mixtral", "olmo", "phi", "pythia",
    "qwen", "smollm",
    "hermes", "nemotron",  # last, as these are trained on models of others, which names tell, too
)  # fmt: skip
SAME = {"mixtral": "mistral", "gemini": "gemma"}  # of one maker, on much the same texts


@dataclass(frozen=True, slots=True)
class KinJudge:
    """An evaluator and how its judge is kin to the policy.

    Attributes:
        path: Of the evaluator in the recipe, for example ``"evaluate.0"``.
        relation: ``"itself"``: the judge is the policy, untrained. ``"family"``: another model of
            its family.
        family: The family, empty where the name does not tell.
        known: Whether the recipe says that this is meant.
    """

    path: str
    relation: Relation
    family: str
    known: bool


def kin_judges(recipe: Recipe) -> list[KinJudge]:
    """The evaluators whose judge is kin to the policy, in the recipe's order."""
    found: list[KinJudge] = []
    for place, section in enumerate(recipe.evaluate):
        meant = getattr(section.config, KEY, None)
        if meant is None:
            continue
        relations = {
            relation
            for judge in _judges(recipe, section)
            if (relation := _relation(recipe.model, judge)) is not None
        }
        for relation in ("itself", "family"):
            if relation in relations:
                own = family(_model_name(recipe.model))
                found.append(KinJudge(f"evaluate.{place}", relation, own, meant == "known"))
                break
    return found


def kin_notes(kin: Sequence[KinJudge]) -> list[str]:
    """What to tell people of them, each thing once; nothing of what is known."""
    notes: list[str] = []
    for relation in ("itself", "family"):
        paths = [each.path for each in kin if each.relation == relation and not each.known]
        if not paths:
            continue
        where = " and ".join(paths)
        meant = f"set {KEY}: known in {where} if that is meant"
        if relation == "itself":
            notes.append(
                "the model judged its own answers. Models prefer their own text: confirm with "
                f"another judge (judge.backend, or backend in {where}), or {meant}."
            )
        else:
            name = next(each.family for each in kin if each.relation == "family")
            notes.append(
                f"judge and policy are both of the family {name} (in {where}). Models prefer text "
                f"of their own family: confirm with a judge of another, or {meant}."
            )
    return notes


def family(name: str) -> str:
    """The family that a model's name tells, such as ``"llama"``; empty if it tells none.

    Args:
        name: A hub name, a path, or what a server calls it.
    """
    words = re.findall(r"[a-z]+", PurePath(name).name.lower())
    whole = "".join(words)
    found = next((each for each in FAMILIES if each in words), "")
    if not found and "llama" in whole:  # as in TinyLlama
        found = "llama"
    return SAME.get(found, found)


def _judges(recipe: Recipe, section: AskingSpec) -> Iterator[ComponentSpec | None]:
    """The models whose opinion an evaluator's figures are; None is the untrained policy."""
    if _asks(section, "evaluate"):
        yield section.backend or recipe.judge.backend
        return
    for judge in recipe.judge.members or (recipe.judge,):
        if _asks(judge, "score"):
            yield judge.backend or recipe.judge.backend


def _asks(section: AskingSpec, method: str) -> bool:
    """Whether a component asks a model: one that only returns, such as a rule, has no kin."""
    try:
        found = section.registered.load_class()
    except PluginError:  # whoever runs it is told
        return True
    return inspect.isgeneratorfunction(getattr(found, method, None))


def _relation(policy: ComponentSpec, judge: ComponentSpec | None) -> Relation | None:
    if judge is None or same_model(policy, judge):
        return "itself"
    name, other = _model_name(policy), _model_name(judge)
    if name and name == other:  # run by another backend, or with other settings
        return "itself"
    return "family" if family(name) and family(name) == family(other) else None


def _model_name(backend: ComponentSpec) -> str:
    """What a backend calls its model; empty if it does not say."""
    config: Any = backend.config
    for key in ("path", "model"):
        value = getattr(config, key, None)
        if isinstance(value, str):
            return value
    return ""
