from __future__ import annotations

from typing import Any

import pytest

from spa.recipe.overrides import override
from spa.recipe.reading import read_text
from spa.recipe.tree import Mapping, Place, Scalar, find, plain

TEXT = """
seed: 0
prompts: {use: jsonl, path: p.jsonl, split: {heldout: 4}, limit: 9}
judge: {use: constitution, temperature: 1, backend: {use: hf, path: m}}
refine: {use: self-refine}
denoise: [{use: consistency}, {use: informativeness, max_determinant: 4}]
loss: {use: spa, alpha: 1, beta: 2}
train: {lora: {r: 16, alpha: 8}, max_length: null}
evaluate: []
"""


def changed(
    sets: tuple[str, ...] = (), swaps: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[str]]:
    root, problems = read_text(TEXT, Place("r.yaml", 1, 1))
    assert isinstance(root, Mapping)
    assert problems == []
    after, refused = override(root, sets, swaps)
    values = plain(after)
    assert isinstance(values, dict)
    return values, [str(problem) for problem in refused]


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("loss.alpha=2", ("loss", "alpha"), 2),
        ("loss.alpha=1e-5", ("loss", "alpha"), 1e-5),
        ("seed= 7 ", ("seed",), 7),
        ("denoise.1.max_determinant=3", ("denoise", 1, "max_determinant"), 3),
        ("train.lora=null", ("train", "lora"), None),
        ("train.lora={r: 4}", ("train", "lora"), {"r": 4}),
        ("train.lora.r=4", ("train", "lora"), {"r": 4, "alpha": 8}),
        ("answer.n=4", ("answer",), {"n": 4}),
        ("train.max_length.x=1", ("train", "max_length"), {"x": 1}),
        ("generate.system_prompts=[a, 'b=c']", ("generate", "system_prompts"), ["a", "b=c"]),
        ("loss.note=a=b", ("loss", "note"), "a=b"),
        ("loss.gap=yes", ("loss", "gap"), "yes"),
        ("loss.beta=", ("loss", "beta"), None),
        ("loss.use=spa", ("loss", "use"), "spa"),
    ],
)
def test_set(option: str, path: tuple[str | int, ...], value: object) -> None:
    after, refused = changed((option,))
    assert refused == []
    at: Any = after
    for step in path:
        at = at[step]
    assert at == value


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("loss.alpha", "write it as KEY=VALUE, for example: --set loss.alpha=2"),
        ("=2", "write it as KEY=VALUE, for example: --set loss.alpha=2"),
        ("loss..alpha=2", "'loss..alpha' is not a key: write the keys with one dot between them"),
        ("loss.alpha.x=2", "'loss.alpha' is the single value 1: there is no 'x' in it"),
        ("denoise.2.x=2", "'denoise' is a list without an item '2'. Its items: 0 to 1"),
        ("denoise.-1.x=2", "'denoise' is a list without an item '-1'. Its items: 0 to 1"),
        ("denoise.use=2", "'denoise' is a list without an item 'use'. Its items: 0 to 1"),
        (
            "evaluate.0.x=2",
            "'evaluate' is a list without an item '0'. Its items: none, it is empty",
        ),
        (
            "loss.use=simpo",
            "--set keeps the other keys, which belong to the old component. "
            "To exchange the component, type: --swap loss=simpo",
        ),
        (
            "extends=b.yaml",
            "'extends' belongs into the file. Write a recipe that extends the other one",
        ),
        ("loss.alpha={a: ", "not valid YAML: expected the node content, but found '<stream end>'"),
        (
            "loss.alpha=!x 1",
            "the tag '!x' is not allowed: recipes hold plain values only. Leave it out",
        ),
    ],
)
def test_set_that_cannot_be(option: str, message: str) -> None:
    before, _ = changed()
    after, refused = changed((option,))
    assert refused == [f"--set {option}  {message}"]
    assert after == before


def test_set_null_undoes() -> None:
    root, _ = read_text(TEXT, Place("r.yaml", 1, 1))
    assert isinstance(root, Mapping)
    after, _ = override(root, ("loss.alpha=null",), ())
    node, _, _ = find(after, ("loss", "alpha"))
    assert node == Scalar(None, node.place, undoes=True)
    assert node.place.file == "--set loss.alpha=null"


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ("loss=simpo", "loss", {"use": "simpo"}),
        ("loss=spa", "loss", {"use": "spa"}),
        ("loss=spa-align/dpo", "loss", {"use": "spa-align/dpo"}),
        ("refine=none", "refine", None),
        ("denoise=none", "denoise", []),
        ("denoise=consistency", "denoise", [{"use": "consistency"}]),
        (
            "denoise=informativeness+consistency",
            "denoise",
            [{"use": "informativeness"}, {"use": "consistency"}],
        ),
        (
            "prompts=csv",
            "prompts",
            {"use": "csv", "split": {"heldout": 4}, "limit": 9},
        ),
        ("judge=rubric", "judge", {"use": "rubric", "backend": {"use": "hf", "path": "m"}}),
        ("judge.backend=none", "judge", {"use": "constitution", "temperature": 1, "backend": None}),
    ],
)
def test_swap(option: str, key: str, value: object) -> None:
    after, refused = changed((), (option,))
    assert refused == []
    assert after[key] == value


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("loss", "write it as KEY=VALUE, for example: --swap loss=simpo"),
        ("los=simpo", "no section 'los'. Did you mean 'loss'?"),
        (
            "zzz=simpo",
            "no section 'zzz'. Sections with a component: model, prompts, generate, judge, refine, "
            "denoise, pairs, loss, evaluate",
        ),
        (
            "train=x",
            "'train' names no component. Sections that do: model, prompts, generate, judge, "
            "refine, denoise, pairs, loss, evaluate",
        ),
        ("loss=none", "a recipe cannot do without 'loss'"),
        ("loss=spa+dpo", "'loss' takes one component, got 2"),
        (
            "loss=spa,dpo",
            "expected the name of a component, got 'spa,dpo'. Several for a list are joined by "
            "'+': --swap denoise=consistency+informativeness",
        ),
        (
            "loss=os:system",
            "expected the name of a component, got 'os:system'. Several for a list are joined by "
            "'+': --swap denoise=consistency+informativeness",
        ),
    ],
)
def test_swap_that_cannot_be(option: str, message: str) -> None:
    before, _ = changed()
    after, refused = changed((), (option,))
    assert refused == [f"--swap {option}  {message}"]
    assert after == before


def test_swaps_come_before_sets() -> None:
    after, refused = changed(("loss.beta=9",), ("loss=simpo",))
    assert refused == []
    assert after["loss"] == {"use": "simpo", "beta": 9}
