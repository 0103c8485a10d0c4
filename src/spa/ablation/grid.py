"""The cells of an ablation: every combination of values, each a recipe of its own.

A value of ``--set`` is combined with those components that have such a key. The recipe is the
baseline: a component that it has already keeps its settings. Of several recipes each is combined
with all values, and the first of them is the baseline.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spa.ablation.axes import Axis
from spa.engine.keys import canonical_json, stage_key
from spa.errors import Problem, RecipeError, UsageError
from spa.recipe import AskingSpec, ComponentSpec, Recipe, load_recipe
from spa.recipe.layout import BACKEND, NONE, section
from spa.types import JsonValue

__all__ = ["MOST_CELLS", "Grid", "GridCell", "make_grid"]

MOST_CELLS = 1000
"""Most runs of one ablation: more is a mistake in the options."""

_LONGEST_VALUE = 24
_LONGEST_NAME = 120
_NO_PLACE = ("unknown key", "this key is missing: it names a", "is a list without an item")
"""How problems begin, or go on, of a key that the components of a cell do not have."""


@dataclass(frozen=True, slots=True)
class GridCell:
    """One run of an ablation.

    Attributes:
        run: Name of its run.
        recipe_file: The recipe that options make it out of, as it was given.
        setting: What it stands for, seeds left out: ``"loss=simpo, alpha=0.5"``, after the name of
            the recipe where there are several.
        seed: The same of its seeds; empty if none varies.
        swaps: Options that make its recipe out of the ablation's.
        sets: Likewise.
        recipe: Its recipe.
    """

    run: str
    recipe_file: str
    setting: str
    seed: str
    swaps: tuple[str, ...]
    sets: tuple[str, ...]
    recipe: Recipe

    @property
    def label(self) -> str:
        """Setting and seed."""
        return ", ".join(filter(None, (self.setting, self.seed)))


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells, the baseline first; those of one seed lie together.

    Attributes:
        name: Of the ablation: the first recipe's name and a hash of all cells.
        axes: What varies, and what is set for all.
        cells: At least one.
        notes: What was left out of the product of all values, and why.
    """

    name: str
    axes: tuple[Axis, ...]
    cells: tuple[GridCell, ...]
    notes: tuple[str, ...]


def make_grid(
    paths: Sequence[str | os.PathLike[str]], axes: Sequence[Axis], seeds: int = 1
) -> Grid:
    """Combines all values, and loads the recipe of every combination.

    Args:
        paths: The recipe files, at least one.
        axes: What varies.
        seeds: How many seeds each setting is run with: its recipe's own and those that follow it.

    Raises:
        RecipeError: With everything that is wrong in a recipe or with an option.
        UsageError: If there is one cell alone or too many, seeds are given in two ways, or two
            recipes cannot be told apart.
    """
    if seeds > 1 and any(axis.option == "set" and axis.key == "seed" for axis in axes):
        raise UsageError("--seeds and --set seed=... say the same. Leave one of them out.")
    _refuse_too_many(axes, seeds * len(paths))
    swaps = [axis for axis in axes if axis.option == "swap"]
    sets = [axis for axis in axes if axis.option == "set"]
    families = [_Family(path, axes, swaps, seeds, named=len(paths) > 1) for path in paths]
    _refuse_same_names(families)
    notes = _leave_out([plan for family in families for plan in family.plans], sets)
    found: dict[str, GridCell] = {}
    problems: dict[Problem, list[str]] = {}
    shorten = _shortener([*axes, *families[0].seeding])
    combinations = list(_in_order(families, sets))
    for plan, chosen in combinations:
        try:
            cell = plan.cell(chosen, shorten)
        except RecipeError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(plan.label(chosen, shorten))
            continue
        same = found.setdefault(canonical_json(cell.recipe.resolved()), cell)
        if same is not cell:
            notes.append(f"{cell.label} is the same recipe as {same.label}: it is run once")
    if problems:
        raise RecipeError(
            [_told(problem, where, len(combinations)) for problem, where in problems.items()]
        )
    cells = tuple(found.values())
    if len(cells) < 2:
        raise UsageError(
            "nothing varies, so there is nothing to compare. Give several values, for example: "
            "--swap loss=spa,simpo --set train.epochs=1,2 --seeds 3; or several recipes"
        )
    key = stage_key("ablation", {"runs": [cell.run for cell in cells]})
    name = f"{cells[0].recipe.name}-ablation-{key[:8]}"
    return Grid(name, (*axes, *families[0].seeding), cells, tuple(notes))


class _Family:
    """One of the recipes, with what is made out of it.

    Attributes:
        path: Its file.
        name: What its settings begin with; empty if there is no other recipe.
        seeding: The axis of ``--seeds``, if that is given: values are the recipe's own.
        plans: One for each combination of components.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        axes: Sequence[Axis],
        swaps: Sequence[Axis],
        seeds: int,
        *,
        named: bool,
    ) -> None:
        self.path = path
        base = _base(path, axes)
        any_cell = base or _base(path, [replace(axis, values=axis.values[:1]) for axis in axes])
        self.seeding: list[Axis] = []
        if seeds > 1:
            first = 0 if any_cell is None else any_cell.seed
            values = tuple(str(first + number) for number in range(seeds))
            self.seeding = [Axis("set", "seed", values)]
        self.name = ""
        if named:
            self.name = Path(path).stem if any_cell is None else any_cell.name
        self.plans = [_Plan(path, self.name, base, each) for each in _combinations(swaps)]


def _refuse_same_names(families: Sequence[_Family]) -> None:
    """Settings are told apart by their recipes' names."""
    seen: dict[str, _Family] = {}
    for family in families:
        before = seen.setdefault(family.name, family)
        if before is not family:
            raise UsageError(
                f"{before.path} and {family.path} are both named {family.name!r}, so their runs "
                "could not be told apart. Give one of them another 'name'."
            )


def _told(problem: Problem, where: Sequence[str], of: int) -> Problem:
    """A problem with the first run that has it, unless all have it or an option says where."""
    if len(where) == of or problem.file.startswith("--"):
        return problem
    more = f" and {len(where) - 1} more" if len(where) > 1 else ""
    return replace(problem, message=f"{problem.message} (in the run {where[0]}{more})")


def _refuse_too_many(axes: Sequence[Axis], seeds: int) -> None:
    count = seeds
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_CELLS:
        raise UsageError(
            f"these options make {count:,} runs, and {MOST_CELLS:,} is the most. Give fewer "
            "values, or split the ablation: what its parts share is computed once all the same."
        )


def _base(path: str | os.PathLike[str], axes: Sequence[Axis]) -> Recipe | None:
    """The recipe with what is set for all; None if it is no recipe without the rest."""
    fixed = [axis for axis in axes if not axis.varies]
    swaps = [f"{axis.key}={axis.values[0]}" for axis in fixed if axis.option == "swap"]
    sets = [f"{axis.key}={axis.values[0]}" for axis in fixed if axis.option == "set"]
    try:
        return load_recipe(path, swaps=swaps, sets=sets)
    except RecipeError:
        return None


def _combinations(axes: Sequence[Axis]) -> list[tuple[tuple[Axis, str], ...]]:
    return list(itertools.product(*([(axis, value) for value in axis.values] for axis in axes)))


class _Plan:
    """The cells that share their components."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str,
        base: Recipe | None,
        swapped: tuple[tuple[Axis, str], ...],
    ) -> None:
        self.path = path
        self.name = name
        self.swapped = swapped
        self.left_out: dict[Axis, str] = {}
        self.swaps: list[str] = []
        self.kept: list[str] = []
        for axis, value in swapped:
            own = _own(base, axis.key)
            names = value.split("+")
            if [_bare(name) for name in names] != [name for name, _ in own]:
                self.swaps.append(f"{axis.key}={value}")
                self.kept += _kept(axis.key, names, own)

    @property
    def components(self) -> str:
        named = [self.name] if self.name else []
        return ", ".join([*named, *(f"{axis.key}={value}" for axis, value in self.swapped)])

    def labels(
        self, chosen: Sequence[tuple[Axis, str]], shorten: Mapping[str, str]
    ) -> tuple[list[str], list[str]]:
        """What varies, and which seeds."""
        varied = [(a, v) for a, v in (*self.swapped, *chosen) if a.varies]
        setting = [f"{shorten[a.key]}={v}" for a, v in varied if not a.is_seed]
        return setting, [f"{shorten[a.key]}={v}" for a, v in varied if a.is_seed]

    def label(self, chosen: Sequence[tuple[Axis, str]], shorten: Mapping[str, str]) -> str:
        setting, seed = self.labels(chosen, shorten)
        return ", ".join(filter(None, (self.name, *setting, *seed)))

    def examine(self, sets: Sequence[Axis]) -> None:
        """Finds the keys that these components do not have."""
        texts = {f"--set {axis.key}={axis.values[0]}": axis for axis in sets}
        options = [text.removeprefix("--set ") for text in texts]
        try:
            load_recipe(self.path, swaps=self.swaps, sets=[*self.kept, *options])
        except RecipeError as error:
            for problem in error.problems:
                axis = texts.get(problem.file)
                if axis is not None and any(each in problem.message for each in _NO_PLACE):
                    self.left_out[axis] = problem.message

    def cell(self, chosen: Sequence[tuple[Axis, str]], shorten: Mapping[str, str]) -> GridCell:
        """One of the cells.

        Raises:
            RecipeError: If it is no valid recipe.
        """
        sets = [f"{axis.key}={value}" for axis, value in chosen]
        recipe = load_recipe(self.path, swaps=self.swaps, sets=[*self.kept, *sets])
        setting, seed = self.labels(chosen, shorten)
        return GridCell(
            run=_run_name(recipe, [*setting, *seed]),
            recipe_file=str(self.path),
            setting=", ".join(filter(None, (self.name, *setting))) or "as the recipe",
            seed=", ".join(seed),
            swaps=tuple(self.swaps),
            sets=(*self.kept, *sets),
            recipe=recipe,
        )


def _own(base: Recipe | None, key: str) -> list[tuple[str, Mapping[str, JsonValue]]]:
    """The components that the recipe has in a section, each with what is no default of it."""
    held = getattr(base, key, None) if section(key) else None
    if held is None and base is not None and section(key):
        return [(NONE, {})]
    specs = held if isinstance(held, tuple) else (held,)
    found = [spec for spec in specs if isinstance(spec, ComponentSpec)]
    if isinstance(held, tuple) and not found:
        return [(NONE, {})]
    return [(_bare(spec.name), _settings(spec)) for spec in found]


def _settings(spec: ComponentSpec) -> Mapping[str, JsonValue]:
    settings = spec.config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if isinstance(spec, AskingSpec) and spec.backend is not None:
        settings[BACKEND] = spec.backend.resolved()
    return settings


def _bare(name: str) -> str:
    return name.strip().rpartition("/")[2]


def _kept(
    key: str, names: Sequence[str], own: Sequence[tuple[str, Mapping[str, JsonValue]]]
) -> list[str]:
    """Options by which components of a list that the recipe has already keep their settings."""
    held = section(key)
    if held is None or not held.many:
        return []
    settings = dict(reversed(own))
    return [
        f"{key}.{place}.{name}={json.dumps(value, ensure_ascii=False)}"
        for place, component in enumerate(names)
        for name, value in settings.get(_bare(component), {}).items()
    ]


def _leave_out(plans: Sequence[_Plan], sets: Sequence[Axis]) -> list[str]:
    """Notes which keys belong to some of the components only; a key of none stays, and fails."""
    for plan in plans:
        plan.examine(sets)
    notes = []
    for axis in sets:
        without = [plan for plan in plans if axis in plan.left_out]
        if len(without) == len(plans):
            for plan in plans:
                plan.left_out.pop(axis)
        elif without:
            where = "; ".join(plan.components for plan in without)
            why = without[0].left_out[axis].partition(". ")[0]
            notes.append(f"--set {axis.key} is left out for {where}: {why}")
    return notes


def _in_order(
    families: Sequence[_Family], sets: Sequence[Axis]
) -> Iterator[tuple[_Plan, tuple[tuple[Axis, str], ...]]]:
    """All settings with the first seeds, then with the next: a comparison is complete early."""
    others = [axis for axis in sets if not axis.is_seed]
    seeding = [[axis for axis in (*sets, *family.seeding) if axis.is_seed] for family in families]
    for together in zip(*map(_combinations, seeding), strict=True):
        for family, seeds in zip(families, together, strict=True):
            for plan in family.plans:
                own = [axis for axis in others if axis not in plan.left_out]
                for values in _combinations(own):
                    chosen = dict((*values, *seeds))
                    in_place = [axis for axis in (*sets, *family.seeding) if axis in chosen]
                    yield plan, tuple((a, chosen[a]) for a in in_place if a not in plan.left_out)


def _shortener(axes: Sequence[Axis]) -> dict[str, str]:
    """Key to the shortest end of it that no other key has."""
    keys = [axis.key for axis in axes]
    short = {}
    for key in keys:
        steps = key.split(".")
        ends = [".".join(steps[-count:]) for count in range(1, len(steps) + 1)]
        short[key] = next(
            (
                end
                for end in ends
                if not end[:1].isdecimal()
                and not any(k != key and (k == end or k.endswith(f".{end}")) for k in keys)
            ),
            key,
        )
    return short


def _run_name(recipe: Recipe, labels: Sequence[str]) -> str:
    """Name of a run: readable, a safe folder, and another one for another recipe."""
    words = [re.sub(r"[^A-Za-z0-9._=+-]+", "-", _short(label)).strip("-.") for label in labels]
    key = stage_key("run", recipe.resolved())[:8]
    name = "-".join(filter(None, (recipe.name, ",".join(words))))[:_LONGEST_NAME]
    return f"{name}-{key}"


def _short(label: str) -> str:
    key, _, value = label.partition("=")
    if len(value) > _LONGEST_VALUE:
        value = (Path(value).name or value)[:_LONGEST_VALUE]
    return f"{key}={value}"
