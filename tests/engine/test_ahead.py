"""What is found before the first stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spa.components.backends.hf import HFBackend
from spa.components.judges.constitution import ConstitutionJudge
from spa.engine.ahead import _once, check_ahead
from spa.engine.models import ModelPool
from spa.errors import PluginError, RecipeError
from spa.recipe import Recipe

Load = Callable[..., Recipe]


@pytest.fixture
def wrong(recipe: Load) -> Recipe:
    """A recipe with a judge, an evaluator and an adapter that do not fit the model."""
    return recipe(
        [
            "judge.labels=[1, 10]",
            "evaluate=[{use: judge-scores}, {use: pairwise, labels: [first, second]}]",
            "train.lora.target_modules=[query]",
        ]
    )


def test_all_that_does_not_fit_is_told_at_once(wrong: Recipe) -> None:
    with pytest.raises(RecipeError) as caught:
        check_ahead(wrong, ModelPool())
    found = [(p.file[:14], p.path, p.message.split(" for the ")[0]) for p in caught.value.problems]
    assert found == [
        ("--set evaluate", "evaluate.1", "label 'first' is not one token after 'Better answer: '"),
        ("--set judge.la", "judge", "label '10' is not one token after 'Score: '"),
        (
            "--set train.lo",
            "train.lora.target_modules",
            "no layer of the model is among query. Valid: all-linear, or some of down_proj, "
            "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj",
        ),
    ]


def test_what_is_written_in_the_file_has_its_line(recipe: Load) -> None:
    loaded = recipe([])
    problem = loaded.problem("train.lora.target_modules", "no such layers")
    line = Path(loaded.source).read_text(encoding="utf-8").splitlines()[problem.line - 1]
    # The key itself is a default: its section is shown.
    assert line[problem.column - 1 :].startswith(("lora:", "train:"))
    assert (problem.file, problem.path) == (loaded.source, "train.lora.target_modules")


def test_what_is_wrong_for_several_is_told_once() -> None:
    found = [("evaluate.0", "no such label."), ("judge", "no such label."), ("refine", "too long.")]
    assert list(_once(found)) == [
        ("judge", "no such label. The same holds for evaluate.0."),
        ("refine", "too long."),
    ]


def test_a_sound_recipe_passes_and_no_weights_are_loaded(recipe: Load) -> None:
    models = ModelPool()
    loaded = recipe(["evaluate=[{use: pairwise}]", "train.lora.target_modules=[q_proj]"])
    check_ahead(loaded, models)
    backend = models.get(loaded.model)
    assert "tokenizer" in vars(backend)
    assert "model" not in vars(backend)


def test_the_judges_own_backend_is_asked(recipe: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def check(self: HFBackend, requests: Sequence[Any]) -> list[str]:
        asked.append(self.config.batch_size)
        return []

    monkeypatch.setattr(HFBackend, "check", check)
    loaded = recipe()
    model = replace(loaded.model, config=loaded.model.config.model_copy(update={"batch_size": 7}))
    check_ahead(replace(loaded, judge=replace(loaded.judge, backend=model)), ModelPool())
    assert asked == [7]


@pytest.mark.parametrize(
    ("owner", "method"), [(ConstitutionJudge, "will_ask"), (HFBackend, "check")]
)
def test_what_has_no_such_method_is_passed_over(
    wrong: Recipe, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    monkeypatch.delattr(owner, method)
    plain = replace(wrong, evaluate=(), train=wrong.train.model_copy(update={"lora": None}))
    check_ahead(plain, ModelPool())


@pytest.mark.parametrize(
    ("owner", "method", "label"),
    [
        (ConstitutionJudge, "will_ask", "judge 'spa-align/constitution'"),
        (HFBackend, "check", "backend 'spa-align/hf'"),
    ],
)
def test_a_method_that_breaks_is_named(
    recipe: Load, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, label: str
) -> None:
    def breaks(*_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(owner, method, breaks)
    with pytest.raises(PluginError) as caught:
        check_ahead(recipe(), ModelPool())
    assert str(caught.value) == (
        f"{label} cannot be checked: {method} raised KeyError: 'x'. This is a fault of its plugin."
    )
