"""Describes a component's config for people: types, limits, defaults, and a snippet to paste."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from spa.fields import Members, NotInKey

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from spa.plugins.kinds import Kind

__all__ = ["FieldDescription", "default_text", "describe_config", "long_default", "snippet"]

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
}
_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_LENGTHS = {"min_length": "length at least", "max_length": "length at most"}
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*\Z")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One key of a component's config.

    Attributes:
        name: The key.
        type: In the words of a recipe, with limits: ``"number, above 0"``.
        required: Whether it has no default.
        default: As plain JSON values; ``None`` where there is no fixed one.
        derived: Whether the default depends on other keys.
        description: What it is for.
        not_in_key: Why a change of it keeps cached results; ``None`` if it does not.
    """

    name: str
    type: str
    required: bool
    default: Any
    derived: bool
    description: str
    not_in_key: str | None


def describe_config(config: type[BaseModel]) -> tuple[FieldDescription, ...]:
    """The keys of a config, in the order of its class.

    Keys inside another key come right after it, with their way to it: ``rubrics.NAME.highest``
    for a mapping, ``patterns[].match`` for a list.
    """
    return tuple(_fields(config, ""))


def snippet(kind: Kind, name: str, fields: Sequence[FieldDescription]) -> str:
    """YAML to paste into a recipe: required keys to fill in, and the short defaults."""
    lines = [f"use: {name}"]
    for field in fields:
        if "." in field.name:
            continue
        if field.required:
            lines.append(f"{field.name}: ...  # required: {field.type}")
            continue
        value = _yaml(field.default)
        if len(value) <= _LONGEST and not field.derived:
            lines.append(f"{field.name}: {value}")
    if kind.many:
        lines = [("- " if place == 0 else "  ") + line for place, line in enumerate(lines)]
    return "\n".join([f"{kind.key}:", *(f"  {line}" for line in lines)])


def default_text(field: FieldDescription) -> str:
    """The default in words: ``default 0.5``, ``required``."""
    if field.required:
        return "required"
    if field.derived:
        return "default depends on other keys"
    return "default below" if long_default(field) else f"default {_yaml(field.default)}"


def long_default(field: FieldDescription) -> str | None:
    """A default that is too long to stand beside its key: a template as it is, else as YAML."""
    if field.required or field.derived:
        return None
    value = _yaml(field.default)
    if len(value) <= _LONGEST:
        return None
    return field.default if isinstance(field.default, str) else value


def _fields(config: type[BaseModel], prefix: str) -> Iterator[FieldDescription]:
    for name, field in config.model_fields.items():
        described = _described(f"{prefix}{name}", field)
        yield described
        for way, inner in _models(field.annotation):
            yield from _fields(inner, f"{described.name}{way}.")


def _models(annotation: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any type form
    """The models inside a type, with the way to each."""
    if hasattr(annotation, "model_fields"):
        yield "", annotation
        return
    origin, inner = get_origin(annotation), get_args(annotation)
    step = ""
    if isinstance(origin, type) and issubclass(origin, Mapping):
        step, inner = ".NAME", inner[-1:]
    elif isinstance(origin, type) and issubclass(origin, Sequence):
        step = "[]"
    for each in inner:
        yield from ((step + way, model) for way, model in _models(each))


def _described(name: str, field: FieldInfo) -> FieldDescription:
    marks = [mark for mark in _metadata(field) if isinstance(mark, NotInKey)]
    return FieldDescription(
        name=name,
        type=", ".join([_type_of(field), *_limits(field.metadata)]),
        required=field.is_required(),
        default=_default(field),
        derived=bool(field.default_factory_takes_validated_data),
        description=" ".join((field.description or "").split()),
        not_in_key=marks[0].why if marks else None,
    )


def _type_of(field: FieldInfo) -> str:
    if any(isinstance(mark, Members) for mark in field.metadata):
        return "list of judges"
    return _type(field.annotation)


def _metadata(field: FieldInfo) -> Iterator[object]:
    yield from field.metadata
    yield from _nested_metadata(field.annotation)


def _nested_metadata(annotation: Any) -> Iterator[object]:  # noqa: ANN401 - any type form
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for inner in get_args(annotation):
        yield from _nested_metadata(inner)


def _default(field: FieldInfo) -> Any:  # noqa: ANN401 - any JSON value
    if field.is_required() or field.default_factory_takes_validated_data:
        return None
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)


def _type(annotation: Any) -> str:  # noqa: ANN401, PLR0911 - any type form, one line each
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " | ".join(_yaml(value) for value in inner)
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(_type(each) for each in inner))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of names to {_type(inner[-1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {_type(inner[0])}"
    if hasattr(annotation, "model_fields"):
        return "mapping"
    return getattr(annotation, "__name__", str(annotation))


def _limits(metadata: Sequence[object]) -> Iterator[str]:
    for mark in metadata:
        for attribute, words in {**_LIMITS, **_LENGTHS}.items():
            limit = getattr(mark, attribute, None)
            if isinstance(limit, (int, float)):
                yield f"{words} {limit:g}"


def _yaml(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A value on one line of YAML: JSON, but for texts that need no quotes."""
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)
