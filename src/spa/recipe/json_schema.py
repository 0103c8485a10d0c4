"""The JSON Schema of recipes, which knows the components that are installed.

Editors complete and check recipes with it. It is looser than validation where a recipe may extend
another: then keys may be missing, and null undoes what stands below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from spa.errors import PluginError
from spa.fields import members_key
from spa.plugins.catalogue import Catalogue, Registered
from spa.recipe.layout import ASKING, BACKEND, NONE, SECTIONS, Section
from spa.recipe.sections import PromptSettings, RecipeSettings

__all__ = ["DIALECT", "recipe_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
_NOT_REQUIRED = ("name",)
_BACKEND = {
    "$ref": f"#/$defs/{BACKEND}",
    "description": "The model that answers what this component asks. Null: the policy; of an "
    "evaluator and of a judge's member that of the judge.",
}
_MEMBER = "judge.member"


def recipe_schema(catalogue: Catalogue) -> Schema:
    """The schema of recipes that use the components of a catalogue.

    Components whose config cannot be imported are taken with any keys.
    """
    definitions: Schema = {}
    properties: Schema = {
        "extends": {
            "type": ["string", "null"],
            "description": "A recipe to inherit from, relative to this file.",
        }
    }
    own = _model_schema(RecipeSettings, "spa", definitions)
    properties |= own["properties"]
    required = [key for key in own.get("required", ()) if key not in _NOT_REQUIRED]
    complete: Schema = {}
    _inner(catalogue, definitions)
    for section in SECTIONS:
        whole, strict = _section(section, catalogue, definitions)
        properties[section.key] = whole
        complete[section.key] = strict
        if section.required:
            required.append(section.key)
    return {
        "$schema": DIALECT,
        "title": "spa recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "if": {"properties": {"extends": {"type": "string"}}, "required": ["extends"]},
        "else": {"required": required, "properties": complete},
        "$defs": definitions,
    }


def _inner(catalogue: Catalogue, definitions: Schema) -> None:
    """Defines what stands inside of sections: backends of their own, and a judge's members."""
    backend, _ = _one_of(catalogue.components("backend"), (), catalogue, definitions, none=True)
    definitions[BACKEND] = {"type": ["object", "null"], **backend}
    alone = [each for each in catalogue.components("judge") if _members_of(each) is None]
    judge, strict = _one_of(alone, ASKING, catalogue, definitions)
    definitions[_MEMBER] = _complete(judge, strict)


def _complete(one: Schema, strict: Schema) -> Schema:
    """An item of a list: never merged with others, so nothing may be missing."""
    return {"type": "object", **one, "allOf": [*one.get("allOf", ()), strict]}


def _members_of(component: Registered) -> str | None:
    try:
        return members_key(component.load_config_class())
    except PluginError:
        return None


def _section(section: Section, catalogue: Catalogue, definitions: Schema) -> tuple[Schema, Schema]:
    """The schema of a section, and what holds besides where the recipe extends no other."""
    components = catalogue.components(section.kind.name)
    none = not section.required and not section.many
    one, strict = _one_of(components, section.engine_keys, catalogue, definitions, none=none)
    if section.many:
        items = _complete(one, strict)
        many = {"type": ["array", "null"], "items": items, "description": section.about}
        return many, {}
    types = "object" if section.required else ["object", "null"]
    return {"type": types, **one, "description": section.about}, strict


def _one_of(
    components: Sequence[Registered],
    engine_keys: Sequence[str],
    catalogue: Catalogue,
    definitions: Schema,
    *,
    none: bool = False,
) -> tuple[Schema, Schema]:
    """A mapping whose keys depend on ``use``, and the keys that are required then.

    Where ``none`` is True, ``use: none`` stands for no component.
    """
    names: list[Schema] = [{"const": NONE, "description": "The same as null."}] if none else []
    branches: list[Schema] = []
    strict: list[Schema] = []
    for component in components:
        written = {catalogue.shortest_name(component), component.qualified}
        names += [
            {"const": name, "description": component.component.summary}
            for name in sorted(written, key=len)
        ]
        when = {"properties": {"use": {"enum": sorted(written)}}, "required": ["use"]}
        branch, keys = _component(component, engine_keys, definitions)
        branches.append({"if": when, "then": branch})
        if keys:
            strict.append({"if": when, "then": {"required": keys}})
    use: Schema = {"description": "The component, by its name."}
    use |= {"anyOf": names} if names else {"type": "string"}
    needed: Schema = {"required": ["use"]}
    if strict:
        needed["allOf"] = strict
    schema: Schema = {"properties": {"use": use}}
    if branches:
        schema["allOf"] = branches
    return schema, {"if": {"type": "object"}, "then": needed}


def _component(
    component: Registered, engine_keys: Sequence[str], definitions: Schema
) -> tuple[Schema, list[str]]:
    """A reference to the schema of one component's section, and the keys that it requires."""
    title = f"{component.kind}.{component.qualified}".replace("/", ".")
    reference = {"$ref": f"#/$defs/{title}"}
    try:
        model = component.load_config_class()
    except PluginError as error:
        definitions[title] = {"description": f"{error}"}
        return reference, []
    own = _model_schema(model, title, definitions)
    properties = {
        **_engine_properties(engine_keys, definitions),
        "use": True,
        **{key: _or_null(value) for key, value in own["properties"].items()},
    }
    if (key := members_key(model)) is not None:
        properties[key] = {**own["properties"][key], "items": {"$ref": f"#/$defs/{_MEMBER}"}}
    definitions[title] = {
        "title": component.label,
        "description": component.component.summary,
        "properties": properties,
        "additionalProperties": False,
    }
    return reference, own.get("required", [])


def _engine_properties(keys: Sequence[str], definitions: Schema) -> Schema:
    if "split" in keys:
        properties: Schema = _model_schema(PromptSettings, "prompts", definitions)["properties"]
        return properties
    if BACKEND in keys:
        return {BACKEND: _BACKEND}
    return {}


def _or_null(schema: Schema) -> Schema:
    """Takes null besides: in a recipe that extends another it undoes what stands below."""
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in about}
    options = rest.get("anyOf", [rest]) if set(rest) <= {"anyOf"} else [rest]
    if {"type": "null"} in options:
        return schema
    return {**about, "anyOf": [*options, {"type": "null"}]}


class _WithoutTitles(GenerateJsonSchema):
    """pydantic's schema without the titles that it makes from key names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own type
        del schema
        return False


def _model_schema(model: type[BaseModel], owner: str, definitions: Schema) -> Schema:
    """The schema of a model; the models inside of it become definitions under their owner."""
    template = f"#/$defs/{owner}.{{model}}"
    schema = model.model_json_schema(ref_template=template, schema_generator=_WithoutTitles)
    for name, inner in schema.pop("$defs", {}).items():
        definitions[f"{owner}.{name}"] = inner
    schema.setdefault("properties", {})
    return schema
