"""Checks one mapping of a recipe against a pydantic model, with a place for every mistake.

The values go to pydantic as JSON, so that a list may become a tuple and a text a path, but text is
never taken for a number or a truth value. Paths come back absolute, each resolved against the
folder of the file that it is written in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from spa.errors import Problem
from spa.fields import PACKAGE_SCHEME, PATH_ERROR
from spa.recipe.messages import EXPECTED, SCALARS, mismatch, sentence
from spa.recipe.suggestions import did_you_mean
from spa.recipe.tree import Listing, Mapping, Node, Scalar, dotted, find, plain

__all__ = ["Steps", "check", "valid_keys"]

ModelT = TypeVar("ModelT", bound=BaseModel)
Steps = tuple[str | int, ...]

_BASE_ERROR = "recipe_base"


class _Locating(dict[str, Any]):
    """A validation context that makes known which values ask for the folder of the recipe."""

    def __missing__(self, key: str) -> Any:  # noqa: ANN401 - a context holds anything
        if key == "base":
            raise PydanticCustomError(_BASE_ERROR, "a path")
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - a context holds anything
        return self[key] if key == "base" or key in self else default


def check(
    model: type[ModelT],
    node: Mapping,
    path: Steps = (),
    owner: str = "",
    more_keys: Sequence[str] = (),
) -> tuple[ModelT | None, list[Problem]]:
    """Validates a mapping.

    Args:
        model: What it must be.
        node: The mapping as written.
        path: Where it stands in the recipe.
        owner: Whose keys these are, for messages, for example ``"loss 'spa' (built in)"``.
        more_keys: Further keys that are valid there, named in suggestions.

    Returns:
        The validated instance, None where there are mistakes, and the mistakes.
    """
    writer = _Writer(model, node, path, owner, more_keys)
    try:
        node, base = _with_paths(model, node)
        while True:
            instance, errors = _validate(model, node, {"base": base})
            known = {error["loc"] for error in errors}
            coerced = _coerced(model, node, {"base": base})
            errors += [error for error in coerced if error["loc"] not in known]
            pruned = _without_undone(node, errors)
            if pruned is node:
                break
            node = pruned
    except Exception as error:  # a plugin's config class may raise anything
        reason = f"{type(error).__name__}: {error}"
        message = f"checking this failed in the config class {model.__name__}: {reason}"
        return None, [writer.at((), message)]
    return None if errors else instance, list(writer.problems(errors))


def _validate(
    model: type[ModelT], node: Node, context: dict[str, Any], *, strict: bool = False
) -> tuple[ModelT | None, list[ErrorDetails]]:
    try:
        text = json.dumps(plain(node))
        return model.model_validate_json(text, strict=strict, context=context), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _coerced(model: type[BaseModel], node: Node, context: dict[str, Any]) -> list[ErrorDetails]:
    """The single values that pydantic would take for another type: ``"5"`` or true for a number.

    Its strict mode as a whole asks too much: behind a validator that runs before, it refuses a
    list where the config has a tuple.
    """
    _, errors = _validate(model, node, context, strict=True)
    return [
        error
        for error in errors
        if error["type"] in SCALARS and isinstance(find(node, error["loc"])[0], Scalar)
    ]


def _with_paths(model: type[BaseModel], node: Mapping) -> tuple[Mapping, Path]:
    """Finds the values that are paths, and the folder to resolve them against.

    All paths of a section mostly stand in one file. Where they do not, those of other files than
    the first are made absolute here.
    """
    _, errors = _validate(model, node, _Locating(locate_paths=True))
    found: list[tuple[Steps, Scalar, bool]] = []
    for error in errors:
        value, _, taken = find(node, error["loc"])
        if error["type"] in (PATH_ERROR, _BASE_ERROR) and isinstance(value, Scalar):
            found.append((taken, value, error["type"] == PATH_ERROR))
    base = found[0][1].place.folder if found else node.place.folder
    changed: Node = node
    for taken, scalar, always in found:
        text, folder = scalar.value, scalar.place.folder
        if folder == base or not isinstance(text, str) or text.startswith((PACKAGE_SCHEME, "~")):
            continue
        joined = folder / text
        if always or joined.exists():
            changed = _changed(changed, taken, Scalar(os.fspath(joined), scalar.place))
    return (changed if isinstance(changed, Mapping) else node), base


def _without_undone(node: Mapping, errors: Sequence[ErrorDetails]) -> Mapping:
    """Takes out keys whose null undoes a value of the recipe below, where null is no value."""
    changed: Node = node
    for error in errors:
        value, _, taken = find(changed, error["loc"])
        undone = isinstance(value, Scalar) and value.undoes
        if undone and taken and isinstance(taken[-1], str) and error["type"] != "missing":
            changed = _changed(changed, taken, None)
    return changed if isinstance(changed, Mapping) else node


def _changed(node: Node, path: Steps, value: Node | None) -> Node:
    """The tree with the value at a path exchanged, or its key taken out."""
    step, rest = path[0], path[1:]
    if isinstance(node, Mapping):
        key = str(step)
        entry = node.entries[key]
        inner = _changed(entry.node, rest, value) if rest else value
        return (
            node.without([key])
            if inner is None
            else node.replaced(key, type(entry)(entry.place, inner))
        )
    if isinstance(node, Listing) and isinstance(step, int):
        inner = _changed(node.items[step], rest, value) if rest else value
        items = list(node.items)
        if inner is not None:
            items[step] = inner
        return Listing(tuple(items), node.place)
    return node


class _Writer:
    """Writes the problems of one mapping."""

    def __init__(
        self,
        model: type[BaseModel],
        node: Mapping,
        path: Steps,
        owner: str,
        more_keys: Sequence[str],
    ) -> None:
        self.model = model
        self.node = node
        self.path = path
        self.owner = owner
        self.more_keys = more_keys

    def problems(self, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
        """One problem for every mistake; the branches of a union are told as one."""
        groups: dict[Steps, list[ErrorDetails]] = {}
        for error in errors:
            if error["type"] == "default_factory_not_called":
                continue  # follows from a mistake that is told by itself
            _, _, taken = find(self.node, error["loc"])
            if error["type"] == "missing":
                taken = (*taken, error["loc"][-1])
            groups.setdefault(taken, []).append(error)
        for taken, group in groups.items():
            wrong_type = [error for error in group if error["type"] in EXPECTED]
            others = [error for error in group if error["type"] not in EXPECTED]
            deeper = any(
                len(other) > len(taken) and other[: len(taken)] == taken for other in groups
            )
            for error in others:
                yield self.problem(taken, error)
            if wrong_type and not others and not (deeper and taken):
                expected = [EXPECTED[error["type"]] for error in wrong_type]
                yield self.at(taken, mismatch(expected, wrong_type[0]["input"]))

    def problem(self, taken: Steps, error: ErrorDetails) -> Problem:
        if error["type"] == "extra_forbidden":
            _, place, _ = find(self.node, taken)
            inside = self.valid(taken[:-1])
            whose = f" for {self.owner}" if self.owner else ""
            message = f"unknown key{whose}.{did_you_mean(str(taken[-1]), inside)}"
            return place.problem(message, dotted(*self.path, *taken))
        if error["type"] == "missing":
            around, _, _ = find(self.node, taken[:-1])
            return around.place.problem(sentence(error), dotted(*self.path, *taken))
        return self.at(taken, sentence(error))

    def at(self, taken: Steps, message: str) -> Problem:
        value, _, _ = find(self.node, taken)
        return value.place.problem(message, dotted(*self.path, *taken))

    def valid(self, taken: Steps) -> list[str]:
        keys = valid_keys(self.model, taken)
        return keys if taken else [*keys, *self.more_keys]


def valid_keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys that a model, or a model inside of it, takes."""
    models = [model]
    for step in path:
        if isinstance(step, int):
            continue
        fields = [_fields(each).get(step) for each in models]
        models = [
            inner for field in fields if field is not None for inner in _models(field.annotation)
        ]
    return list(dict.fromkeys(key for each in models for key in _fields(each)))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type expression
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
