"""Turns a merged recipe into a `Recipe`, or into the list of everything that is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from spa.errors import Problem
from spa.fields import RecipeFacts, members_key
from spa.plugins.catalogue import Catalogue
from spa.recipe.accelerate import accelerate_problem
from spa.recipe.asking import find_asking, find_judge, is_none, left_out
from spa.recipe.checking import Steps, check
from spa.recipe.components import find_component
from spa.recipe.layout import BACKEND, OTHER_KEYS, SECTIONS, TOP_KEYS, Section
from spa.recipe.model import AskingSpec, ComponentSpec, JudgeSpec, PromptsSpec, Recipe
from spa.recipe.objectives import check_objectives, resolve_objectives
from spa.recipe.packages import missing_packages
from spa.recipe.requirements import check_requirements
from spa.recipe.sections import PromptSettings, RecipeSettings
from spa.recipe.suggestions import did_you_mean
from spa.recipe.tree import Entry, Listing, Mapping, Node, Scalar, describe, dotted, find, plain
from spa.types import JsonValue

__all__ = ["TRUST_VARIABLE", "validate"]

TRUST_VARIABLE = "SPA_TRUST_REMOTE_CODE"
"""Environment variable that is ``1`` where code that comes with a model may run."""

_TRUST_KEY = "trust_remote_code"
_UNTRUSTED = (
    "code that comes with the model would run. If you trust it, "
    f"set {TRUST_VARIABLE}=1 and run again"
)
_NO_FLOAT16 = (
    "training in float16 is not supported: small gradients become 0 in it. Set {} to bfloat16 "
    "(newer GPUs) or float32"
)


def validate(
    root: Mapping, source: str, catalogue: Catalogue
) -> tuple[Recipe | None, list[Problem]]:
    """Validates a merged recipe.

    Args:
        root: The recipe, inheritance and overrides applied.
        source: The file that it comes from, as given.
        catalogue: The components that are installed.

    Returns:
        The recipe, None where there are mistakes, and all mistakes.
    """
    return _Validation(root, source, catalogue).run()


class _Validation:
    """Goes through one recipe, collecting what it finds."""

    def __init__(self, root: Mapping, source: str, catalogue: Catalogue) -> None:
        self.root = root
        self.source = source
        self.catalogue = catalogue
        self.found: list[Problem] = []

    def run(self) -> tuple[Recipe | None, list[Problem]]:
        self.unknown_keys()
        settings = self.settings()
        single: dict[str, ComponentSpec | None] = {}
        many: dict[str, list[ComponentSpec | None]] = {}
        for section in SECTIONS:
            if section.many:
                many[section.key] = self.listed(section)
            else:
                single[section.key] = self.single(section)
        self.fitting(single, many)
        self.trusted(single, many)
        self.trainable(single["model"], settings)
        if self.found or settings is None:
            return None, self.found
        prompts, judge = single["prompts"], single["judge"]
        if not isinstance(prompts, PromptsSpec) or not isinstance(judge, JudgeSpec):
            raise AssertionError("a section without a component and without a problem")
        refine = single["refine"]
        return Recipe(
            name=settings.name,
            source=self.source,
            seed=settings.seed,
            objectives=resolve_objectives(settings.objectives),
            model=_there(single["model"]),
            prompts=prompts,
            generate=_asking(single["generate"]),
            judge=judge,
            refine=None if refine is None else _asking(refine),
            denoise=tuple(map(_there, many["denoise"])),
            pairs=_there(single["pairs"]),
            loss=_there(single["loss"]),
            train=settings.train,
            answer=settings.answer,
            evaluate=tuple(map(_asking, many["evaluate"])),
            iterations=settings.iterations,
            requires=settings.requires,
            written=self.root,
        ), []

    def note(self, node: Node, message: str, *path: str | int) -> None:
        self.found.append(node.place.problem(message, dotted(*path)))

    def unknown_keys(self) -> None:
        for key, entry in self.root.entries.items():
            if key not in TOP_KEYS:
                message = f"unknown key.{did_you_mean(key, TOP_KEYS)}"
                self.found.append(entry.place.problem(message, key))

    def settings(self) -> RecipeSettings | None:
        """The keys that name no component."""
        entries = {key: entry for key, entry in self.root.entries.items() if key in OTHER_KEYS}
        node = Mapping(entries, self.root.place)
        if "name" not in entries:
            name = Scalar(_name_of(self.source), self.root.place)
            node = node.replaced("name", Entry(self.root.place, name))
        settings, found = check(RecipeSettings, node)
        self.found += [
            *found,
            *check_objectives(self.root),
            *check_requirements(self.root, self.catalogue),
        ]
        return settings

    def single(self, section: Section) -> ComponentSpec | None:
        """The component of a section, None where there is none or something is wrong."""
        node = self.root.get(section.key)
        if not section.required and is_none(node):
            self.found += left_out(node, (section.key,))
            return None
        if node is None or (isinstance(node, Scalar) and node.value is None):
            if section.required:
                names = ", ".join(self.catalogue.names(section.kind.name)) or "none"
                message = (
                    f"this section is missing: it names {section.kind.article}. Installed: {names}"
                )
                self.note(node or self.root, message, section.key)
            return None
        path = (section.key,)
        spec: ComponentSpec | None
        if section.key == "judge":
            spec, found = find_judge(node, path, self.catalogue)
        else:
            spec, found = self.component(section, node, path)
        self.found += found
        if section.key == "prompts" and isinstance(node, Mapping):
            return self.prompts(node, section, spec)
        return spec

    def component(
        self, section: Section, node: Node, path: Steps
    ) -> tuple[ComponentSpec | None, list[Problem]]:
        """One component of a section or of its list, and what is wrong with it."""
        if BACKEND in section.engine_keys:
            return find_asking(section.kind.name, node, path, self.catalogue)
        return find_component(section.kind.name, node, path, self.catalogue, section.engine_keys)

    def prompts(
        self, node: Mapping, section: Section, spec: ComponentSpec | None
    ) -> PromptsSpec | None:
        entries = {key: entry for key, entry in node.entries.items() if key in section.engine_keys}
        own, found = check(PromptSettings, Mapping(entries, node.place), (section.key,))
        self.found += found
        if spec is None or own is None:
            return None
        return PromptsSpec(spec.kind, spec.name, spec.registered, spec.config, own.split, own.limit)

    def listed(self, section: Section) -> list[ComponentSpec | None]:
        """The components of a section that is a list, None for those with mistakes."""
        node = self.root.get(section.key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return []
        if not isinstance(node, Listing):
            message = f"expected a list of {section.kind.title}s, got {describe(plain(node))}"
            self.note(node, f"{message}. Write: [{{use: NAME}}]", section.key)
            return []
        specs: list[ComponentSpec | None] = []
        for index, item in enumerate(node.items):
            spec, found = self.component(section, item, (section.key, index))
            self.found += found
            specs.append(spec)
        return specs

    def fitting(
        self,
        single: dict[str, ComponentSpec | None],
        many: dict[str, list[ComponentSpec | None]],
    ) -> None:
        """Asks every config whether it fits the rest of the recipe."""
        listed = self.root.get("objectives")
        items = listed.items if isinstance(listed, Listing) else ()
        samples = getattr(getattr(single["generate"], "config", None), "n", None)
        iterations = self.root.get("iterations")
        rounds = None if iterations is None else plain(iterations)
        facts = RecipeFacts(
            objectives=tuple(str(plain(find(item, ("name",))[0])) for item in items),
            samples=samples if isinstance(samples, int) else None,
            refines=not is_none(self.root.get("refine")),
            rounds=rounds if isinstance(rounds, int) else 1,
            rewrites=getattr(getattr(single["refine"], "config", None), "rewrites", True) is True,
        )
        for path, spec in _placed(single, many):
            self.fits(spec, path, facts)

    def trusted(
        self,
        single: dict[str, ComponentSpec | None],
        many: dict[str, list[ComponentSpec | None]],
    ) -> None:
        """Refuses code that comes with a model: that is for who runs a recipe to allow."""
        if os.environ.get(TRUST_VARIABLE) == "1":
            return
        blamed: set[Steps] = set()
        for path, spec in _placed(single, many):
            for key in _trusting(spec.config.model_dump(mode="json", by_alias=True)):
                if (*path, *key) not in blamed:  # a judge's config holds its members once more
                    self.blame(path, key, _UNTRUSTED)
                blamed.add((*path, *key))

    def trainable(self, model: ComponentSpec | None, settings: RecipeSettings | None) -> None:
        """Refuses what training cannot use or lacks, before anything is sampled."""
        for key, message in () if settings is None else missing_packages(settings.train):
            self.blame(("train",), key, message)
        if settings is not None and settings.train.accelerate is not None:
            problem = accelerate_problem(settings.train.accelerate)
            if problem is not None:
                self.blame(("train",), ("accelerate",), problem)
        if settings is not None and (problem := _soup_problem(settings)) is not None:
            self.blame(("train",), ("soup",), problem)
        dtype = None if settings is None else settings.train.dtype
        if dtype == "float16":
            self.blame(("train",), ("dtype",), _NO_FLOAT16.format("train.dtype"))
        elif dtype is None and getattr(getattr(model, "config", None), "dtype", "") == "float16":
            either = "model.dtype, or train.dtype alone,"
            self.blame(("model",), ("dtype",), _NO_FLOAT16.format(either))

    def blame(self, path: Steps, key: Steps, message: str) -> None:
        """Notes a problem of a key, at its section where a default is to blame."""
        node, _, taken = find(self.root, (*path, *key))
        if isinstance(node, Scalar) and key and isinstance(key[-1], int):
            key = key[: len(taken) - len(path)]  # one value may stand for a list of one
        if taken != (*path, *key) or not key:
            node = find(self.root, (*path, "use"))[0]
        self.note(node, message, *path, *key)

    def fits(self, spec: ComponentSpec, path: Steps, facts: RecipeFacts) -> None:
        ask = getattr(spec.config, "check_recipe", None)
        if ask is None:
            return
        try:
            mistakes = list(ask(facts))
        except Exception as error:  # a plugin's check may raise anything
            mistakes = [("", f"its check of the recipe failed: {type(error).__name__}: {error}")]
        for key, message in mistakes:
            self.blame(path, tuple(key.split(".")) if key else (), message)


def _placed(
    single: dict[str, ComponentSpec | None], many: dict[str, list[ComponentSpec | None]]
) -> Iterator[tuple[Steps, ComponentSpec]]:
    """All components without mistakes, each with its place; what stands inside a section, too."""
    for section in SECTIONS:
        found: list[tuple[Steps, ComponentSpec | None]] = [
            ((section.key,), single.get(section.key))
        ]
        if section.many:
            found = [((section.key, place), spec) for place, spec in enumerate(many[section.key])]
        for path, spec in found:
            if spec is not None:
                yield from _with_inner(path, spec)


def _with_inner(path: Steps, spec: ComponentSpec) -> Iterator[tuple[Steps, ComponentSpec]]:
    yield path, spec
    if isinstance(spec, AskingSpec) and spec.backend is not None:
        yield (*path, BACKEND), spec.backend
    if isinstance(spec, JudgeSpec):
        for place, member in enumerate(spec.members):
            yield from _with_inner((*path, members_key(type(spec.config)) or "", place), member)


def _asking(spec: ComponentSpec | None) -> AskingSpec:
    if not isinstance(spec, AskingSpec):
        raise AssertionError("a section without a component and without a problem")
    return spec


def _there(spec: ComponentSpec | None) -> ComponentSpec:
    if spec is None:
        raise AssertionError("a section without a component and without a problem")
    return spec


def _trusting(config: JsonValue, path: Steps = ()) -> Iterator[Steps]:
    """Where a config says that code which comes with a model may run."""
    match config:
        case dict():
            for key, value in config.items():
                if key == _TRUST_KEY and value is True:
                    yield (*path, key)
                else:
                    yield from _trusting(value, (*path, key))
        case list():
            for index, value in enumerate(config):
                yield from _trusting(value, (*path, index))


def _name_of(source: str) -> str:
    """A recipe's name from that of its file."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).stem).strip("-._")
    return stem or "recipe"


def _soup_problem(settings: RecipeSettings) -> str | None:
    """Why adapters could not be mixed as the recipe says; None if they could."""
    weights = settings.train.soup
    if weights is None:
        return None
    if len(weights) != len(settings.objectives):
        return (
            f"the number of weights is {len(weights)}, that of objectives "
            f"{len(settings.objectives)}. Give one for each, in their order"
        )
    if settings.iterations > 1:
        return (
            "adapters are mixed after one round, and iterations is "
            f"{settings.iterations}. Set it to 1, or soup to null"
        )
    return None
