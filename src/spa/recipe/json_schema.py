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
from spa.plugins.catalogue import Catalogue, Registered
from spa.recipe.layout import SECTIONS, Section
from spa.recipe.sections import PromptSettings, RecipeSettings

__all__ = ["DIALECT", "recipe_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]
_NOT_REQUIRED = ("name",)


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


def _section(section: Section, catalogue: Catalogue, definitions: Schema) -> tuple[Schema, Schema]:
    """The schema of a section, and what holds besides where the recipe extends no other."""
    components = catalogue.components(section.kind.name)
    one, strict = _one_of(components, section.engine_keys, catalogue, definitions)
    if section.key == "judge":
        backends = catalogue.components("backend")
        backend, _ = _one_of(backends, (), catalogue, definitions)
        definitions["judge.backend"] = {"type": ["object", "null"], **backend}
    if section.many:
        # Items of a list are never merged with others, so each is complete.
        items = {"type": "object", **one, "allOf": [*one.get("allOf", ()), strict]}
        many = {"type": ["array", "null"], "items": items, "description": section.about}
        return many, {}
    types = "object" if section.required else ["object", "null"]
    return {"type": types, **one, "description": section.about}, strict


def _one_of(
    components: Sequence[Registered],
    engine_keys: Sequence[str],
    catalogue: Catalogue,
    definitions: Schema,
) -> tuple[Schema, Schema]:
    """A mapping whose keys depend on ``use``, and the keys that are required then."""
    names: list[Schema] = []
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
    properties = {"use": True, **{key: _or_null(value) for key, value in own["properties"].items()}}
    properties |= _engine_properties(engine_keys, definitions)
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
    if "backend" in keys:
        about = "The model that the judge asks. Null: the policy judges itself."
        return {"backend": {"$ref": "#/$defs/judge.backend", "description": about}}
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
