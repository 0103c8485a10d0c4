from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from ruamel.yaml import YAML

from spa.fields import ComponentConfig, Members, NotInKey
from spa.plugins.catalogue import build_catalogue
from spa.plugins.describe import default_text, describe_config, long_default, snippet
from spa.plugins.kinds import KINDS


class Inner(ComponentConfig):
    size: int = 1


class Config(ComponentConfig):
    path: str = Field(min_length=1, description="Where it   is.")
    mode: Literal["a", "b c"] = "a"
    weight: float = Field(0.5, gt=0, le=1)
    names: tuple[str, ...] = ()
    table: Mapping[str, int] = {}
    inner: Inner | None = None
    rows: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    on: bool = True
    word: str = "no"
    batch: Annotated[int, NotInKey("speed only")] | None = 4
    text: str = "x" * 200
    doubled: float = Field(default_factory=lambda known: 2 * known["weight"])
    judges: Annotated[tuple[dict[str, Any], ...], Members()] = ()


def test_fields_are_described_in_the_words_of_recipes() -> None:
    fields = {field.name: field for field in describe_config(Config)}
    assert {name: field.type for name, field in fields.items()} == {
        "path": "text, length at least 1",
        "mode": 'a | "b c"',
        "weight": "number, above 0, at most 1",
        "names": "list of text",
        "table": "mapping of names to integer",
        "inner": "mapping | null",
        "inner.size": "integer",
        "rows": "list of mapping",
        "rows[].size": "integer",
        "named": "mapping of names to mapping",
        "named.NAME.size": "integer",
        "on": "true or false",
        "word": "text",
        "batch": "integer | null",
        "text": "text",
        "doubled": "number",
        "judges": "list of judges",
    }
    assert fields["path"].required
    assert fields["path"].description == "Where it is."
    assert fields["batch"].not_in_key == "speed only"
    assert fields["weight"].not_in_key is None
    assert default_text(fields["path"]) == "required"
    assert default_text(fields["weight"]) == "default 0.5"
    assert default_text(fields["doubled"]) == "default depends on other keys"
    assert default_text(fields["text"]) == "default below"
    assert set(long_default(fields["text"]) or "") == {"x"}
    assert long_default(fields["weight"]) is None


def test_the_snippet_is_yaml_with_the_defaults() -> None:
    text = snippet(KINDS["judge"], "odd", describe_config(Config))
    assert "  path: ...  # required: text, length at least 1\n" in text
    loaded = YAML(typ="safe", pure=True).load(text)["judge"]
    assert loaded.pop("use") == "odd"
    assert Config(**loaded) == Config(path="...")
    assert "text" not in loaded
    assert "doubled" not in loaded


FILLED: dict[tuple[str, str], Any] = {
    ("ensemble", "members"): [{"use": "constitution"}],
    ("reward-soup", "weights"): [6, 4],
    ("safedpo", "threshold"): 5.0,
}

ONE_OF: dict[str, dict[str, Any]] = {
    name: {"path": "rows.jsonl"}
    for name in ("exact-answer", "mt-bench", "multiple-choice", "refusal")
}
"""Where one of two keys must be given, and neither alone is required."""


def test_snippets_of_all_builtin_components_are_valid_recipes_parts() -> None:
    for each in build_catalogue("none").components():
        kind, config = KINDS[each.kind], each.load_config_class()
        loaded = YAML(typ="safe", pure=True).load(snippet(kind, each.name, describe_config(config)))
        values = loaded[kind.key][0] if kind.many else loaded[kind.key]
        assert values.pop("use") == each.name
        # What has no default is left for the reader to fill in; any text will do where it is text.
        filled = {key: FILLED.get((each.name, key), value) for key, value in values.items()}
        assert {key for key in values if (each.name, key) in FILLED} <= {
            key for key, value in values.items() if value == "..."
        }
        config.model_validate({**filled, **ONE_OF.get(each.name, {})})
