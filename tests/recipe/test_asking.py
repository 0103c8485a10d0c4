"""Backends of components that ask, members of a judge, and sections that are left out."""

# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from spa.plugins.catalogue import Catalogue
from spa.plugins.component import Component
from spa.plugins.discovery import Entry, Plugin
from spa.recipe import Recipe, load_recipe

Write = Callable[..., Path]
Mistakes = Callable[..., list[str]]
UNTRUSTED = (
    "trust_remote_code: code that comes with the model would run. If you trust it, set "
    "SPA_TRUST_REMOTE_CODE=1 and run again"
)
OTHER = "backend: {use: hf, path: ./other}"
JUDGE = "judge:\n  use: constitution\n  backend: null\n"
ENSEMBLE = """\
judge:
  use: ensemble
  backend: {use: hf, path: third}
  members:
    - use: constitution
      labels: [A, B]
      values: [0, 1]
    - use: constitution
      backend: {use: hf, path: ./other}
  combine: median
"""


@pytest.fixture
def load(write: Write, catalogue: Catalogue) -> Callable[..., Recipe]:
    def loaded(text: str, **overrides: Any) -> Recipe:
        return load_recipe(write(text), catalogue=catalogue, **overrides)

    return loaded


def paths(recipe: Recipe) -> Mapping[str, str | None]:
    """What each component that asks is answered by."""
    return {
        asker.path: None if asker.backend is None else Path(asker.backend.config.path).name
        for asker in recipe.askers
    }


def with_backends(text: str) -> str:
    return (
        text.replace("  use: diverse\n", f"  use: diverse\n  {OTHER}\n")
        .replace("  use: self-refine\n", "  use: self-refine\n  backend: {use: hf, path: third}\n")
        .replace("[{use: judge-scores}]", f"[{{use: judge-scores}}, {{use: pairwise, {OTHER}}}]")
    )


def test_every_component_that_asks_may_have_a_backend(load: Any, text: str) -> None:
    recipe = load(with_backends(text))
    assert paths(recipe) == {
        "generate": "other",
        "judge": None,
        "refine": "third",
        "evaluate.0": None,
        "evaluate.1": "other",
    }
    assert [spec.kind for spec in recipe.components].count("backend") == 4
    assert paths(load(text)) == dict.fromkeys(["generate", "judge", "refine", "evaluate.0"])


def test_evaluators_ask_the_judges_model_unless_they_have_their_own(load: Any, text: str) -> None:
    recipe = load(with_backends(text).replace("backend: null", "backend: {use: hf, path: big}"))
    assert paths(recipe)["evaluate.0"] == "big"
    assert paths(recipe)["evaluate.1"] == "other"


def test_what_is_resolved_is_the_same_recipe(load: Any, text: str, tmp_path: Path) -> None:
    recipe = load(with_backends(text).replace(JUDGE, ENSEMBLE))
    resolved = recipe.resolved()
    assert resolved["generate"]["backend"]["path"] == str(tmp_path / "other")
    assert resolved["judge"]["members"][1]["backend"]["path"] == str(tmp_path / "other")
    assert resolved["judge"]["members"][0]["backend"] is None
    assert resolved["judge"]["members"][0]["use"] == "spa-align/constitution"
    again = load(yaml.safe_dump(resolved))
    assert again.resolved() == resolved
    assert paths(again) == paths(recipe)


def test_members_ask_the_backend_of_the_judge_unless_they_have_their_own(
    load: Any, text: str
) -> None:
    recipe = load(text.replace(JUDGE, ENSEMBLE))
    assert paths(recipe) == {
        "generate": None,
        "judge.members.0": "third",
        "judge.members.1": "other",
        "refine": None,
        "evaluate.0": "third",
    }
    assert [member.config.scale for member in recipe.judge.members] == [(0, 1), (1, 9)]
    assert recipe.judge.config.combine == "median"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "labels: [A, B]",
            "labls: [A, B]",
            [
                "recipe.yaml:21:7  judge.members.0.labls: unknown key for judge 'constitution' (built in). Did you mean 'labels'?",
            ],
        ),
        (
            "      backend: {use: hf, path: ./other}\n",
            "      backend: {use: hf, pth: other}\n",
            [
                "recipe.yaml:24:26  judge.members.1.backend.pth: unknown key for backend 'hf' (built in). Did you mean 'path'?",
                "recipe.yaml:24:16  judge.members.1.backend.path: this key is missing",
            ],
        ),
        (
            "    - use: constitution\n      backend",
            "    - use: constitutoin\n      backend",
            [
                "recipe.yaml:23:12  judge.members.1.use: unknown judge 'constitutoin'. Did you mean 'constitution'? Valid names: constitution, ensemble."
            ],
        ),
        (
            "    - use: constitution\n      backend: {use: hf, path: ./other}\n",
            "    - constitution\n",
            [
                "recipe.yaml:23:7  judge.members.1: expected a mapping with the key 'use', got 'constitution'. Write: {use: constitution}"
            ],
        ),
        (
            "    - use: constitution\n      backend: {use: hf, path: ./other}\n",
            "    - use: ensemble\n      members: [{use: constitution}]\n",
            [
                "recipe.yaml:23:12  judge.members.1.use: a judge with members cannot be a member itself. Write its members here, or name a judge that scores"
            ],
        ),
        (
            "      labels: [A, B]\n      values: [0, 1]\n    - use: constitution\n      backend: {use: hf, path: ./other}\n",
            "    - use: spa-align/constitution\n",
            [
                "recipe.yaml:21:7  judge.members.1: the same judge as judge.members.0, which would give the same scores. Remove one"
            ],
        ),
        (
            "combine: median",
            "combine: median\n  min_members: 3",
            [
                "recipe.yaml:17:3  judge: min_members is 3, but there are 2 members. Lower it",
            ],
        ),
        (
            "combine: median",
            "combin: median",
            [
                "recipe.yaml:25:3  judge.combin: unknown key for judge 'ensemble' (built in). Did you mean 'combine'?"
            ],
        ),
        (
            "backend: {use: hf, path: third}",
            "backend: {use: hf, path: third, dtyp: auto}",
            [
                "recipe.yaml:18:35  judge.backend.dtyp: unknown key for backend 'hf' (built in). Did you mean 'dtype'?"
            ],
        ),
    ],
)
def test_mistakes_in_members(
    mistakes: Mistakes, text: str, old: str, new: str, expected: list[str]
) -> None:
    whole = text.replace(JUDGE, ENSEMBLE)
    assert whole.count(old) == 1
    assert sorted(mistakes(whole.replace(old, new))) == sorted(expected)


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        ("{use: ensemble}", "recipe.yaml:16:8  judge.members: this key is missing"),
        (
            "{use: ensemble, members: []}",
            "recipe.yaml:16:33  judge.members: needs at least 1, got 0",
        ),
        (
            "{use: ensemble, members: {use: constitution}}",
            "recipe.yaml:16:33  judge.members: expected a list, got a mapping",
        ),
    ],
)
def test_a_judge_without_members(mistakes: Mistakes, text: str, judge: str, expected: str) -> None:
    assert mistakes(text.replace(JUDGE, f"judge: {judge}\n")) == [expected]


def test_code_that_comes_with_any_model_must_be_trusted(
    mistakes: Mistakes, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPA_TRUST_REMOTE_CODE", raising=False)
    whole = with_backends(text).replace(JUDGE, ENSEMBLE)
    found = mistakes(whole.replace("path: ./other}", "path: ./other, trust_remote_code: true}"))
    assert [line.partition("  ")[2] for line in found] == [
        f"generate.backend.{UNTRUSTED}",
        f"judge.members.1.backend.{UNTRUSTED}",
        f"evaluate.1.backend.{UNTRUSTED}",
    ]


@pytest.mark.parametrize("written", ["{use: none}", "null", "\n  use: none"])
def test_refine_none(load: Any, text: str, written: str) -> None:
    off = text.replace("refine:\n  use: self-refine", f"refine: {written}")
    recipe = load(off.replace("  - use: consistency\n", ""))
    assert recipe.refine is None
    assert recipe.resolved()["refine"] is None


def test_what_needs_a_refined_response_sees_that_there_is_none(
    mistakes: Mistakes, text: str
) -> None:
    off = text.replace("use: self-refine", "use: none")
    (told,) = mistakes(off)
    assert told.startswith("recipe.yaml:22:10  denoise.0: ")
    assert told == mistakes(text, sets=("refine=null",))[0].replace(":20:", ":22:")


def test_none_takes_no_settings(mistakes: Mistakes, text: str) -> None:
    off = text.replace("  use: self-refine", "  use: none\n  max_tokens: 3")
    assert mistakes(off.replace("  - use: consistency\n", "")) == [
        "recipe.yaml:21:3  refine.max_tokens: unknown key: 'use: none' takes no settings. Remove it, or name a component"
    ]


def test_what_a_recipe_needs_cannot_be_none(mistakes: Mistakes, text: str) -> None:
    assert mistakes(text.replace("  use: spa\n", "  use: none\n"))[0].startswith(
        "recipe.yaml:29:8  loss.use: unknown loss 'none'."
    )


def test_a_backend_may_be_none(load: Any, text: str) -> None:
    assert load(text.replace("backend: null", "backend: {use: none}")).judge.backend is None


def test_overrides_reach_every_backend(load: Any, text: str, tmp_path: Path) -> None:
    recipe = load(
        text.replace(JUDGE, ENSEMBLE),
        swaps=["generate.backend=hf", "evaluate.0.backend=hf", "judge.members.1.backend=none"],
        sets=[
            "generate.backend.path=a",
            "evaluate.0.backend.path=b",
            "refine.backend={use: hf, path: c}",
            "judge.members.1.min_label_mass=0",
        ],
    )
    assert paths(recipe) == {
        "generate": "a",
        "judge.members.0": "third",
        "judge.members.1": "third",
        "refine": "c",
        "evaluate.0": "b",
    }
    kept = load(text, sets=["generate.backend={use: hf, path: a}"], swaps=["generate=diverse"])
    assert paths(kept)["generate"] == "a"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("evaluate.3.backend=hf", "the recipe has no section 'evaluate.3'"),
        ("judge.members.0.backend=hf", "the recipe has no section 'judge.members.0'"),
        (
            "pairs.backend=hf",
            "no section 'pairs.backend'. Sections with a component: model, prompts, generate, judge, refine, denoise, pairs, loss, evaluate",
        ),
        ("generate.backend=hf+hf", "'generate.backend' takes one component, got 2"),
    ],
)
def test_backends_that_cannot_be_exchanged(
    mistakes: Mistakes, text: str, option: str, message: str
) -> None:
    assert [line for line in mistakes(text, swaps=(option,)) if line.startswith("--swap")] == [
        f"--swap {option}  {message}"
    ]


def test_a_component_with_a_key_backend_of_its_own_keeps_it(
    load: Any, write: Write, text: str, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        "from spa.fields import ComponentConfig\n"
        "class Config(ComponentConfig):\n"
        "    backend: str = 'numpy'\n",
        "own_backend.py",
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    record = Component(name="odd", impl="own_backend:X", config="own_backend:Config", summary="x")
    entries = tuple(Entry(kind, record) for kind in ("generator", "judge", "refiner", "evaluator"))
    plugin = Plugin("odd", "spa-odd", "0.3", "odd", entries=entries)
    among = Catalogue([*catalogue.plugins, plugin])
    changed = (
        text.replace("  use: diverse\n  n: 4\n  system_prompts: [Be brief.]", "  use: odd\n  backend: jax")
        .replace(JUDGE, "judge: {use: odd, backend: jax}\n")
        .replace("  use: self-refine", "  use: odd\n  backend: jax")
        .replace("{use: judge-scores}", "{use: odd}")
    )  # fmt: skip
    recipe = load_recipe(write(changed), catalogue=among)
    assert set(paths(recipe).values()) == {None}
    resolved = recipe.resolved()
    assert resolved["judge"] == {"use": "spa-odd/odd", "backend": "jax"}
    assert resolved["refine"] == {"use": "spa-odd/odd", "backend": "jax"}
    assert resolved["evaluate"] == [{"use": "spa-odd/odd", "backend": "numpy"}]
    again = load_recipe(write(yaml.safe_dump(resolved)), catalogue=among)
    assert again.resolved() == resolved
