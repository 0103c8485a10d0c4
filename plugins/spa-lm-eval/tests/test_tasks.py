"""Tasks that cannot be had or may not be run are named, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spa.api import Metric, SpaError
from spa_lm_eval.config import LmEvalConfig
from spa_lm_eval.evaluator import LmEvalEvaluator
from spa_lm_eval.figures import figures


def prompts(*tasks: str, **config: Any) -> list[Any]:
    settings = LmEvalConfig(tasks=tasks, **{"trust_task_files": True, **config})
    return list(LmEvalEvaluator(settings).prompts())


def test_documents_are_prompts(write_task: Callable[..., Path]) -> None:
    found = prompts(str(write_task("number")), limit=2)
    assert [prompt.id for prompt in found] == ["own_number/0", "own_number/1"]
    assert found[0].text.startswith("What is 9 - 5?\nA. 3\n")
    assert found[0].meta["task"] == "own_number"


def test_a_changed_task_file_is_another_task(write_task: Callable[..., Path]) -> None:
    before = prompts(str(write_task("number")))
    after = prompts(str(write_task("number", description="Sums.\n\n")))
    assert before[0].meta["document"] == after[0].meta["document"]
    assert before[0].meta["settings"] != after[0].meta["settings"]


def test_other_examples_are_another_task(write_task: Callable[..., Path], tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    own = (Path(__file__).parent / "dev.jsonl").read_text(encoding="utf-8")
    other.write_text(own.replace("What is 3 + 4?", "What is 4 + 3?"), encoding="utf-8")
    settings = {
        (shots, dev): prompts(str(write_task("number", **where)), num_fewshot=shots)[0].meta
        for shots in (0, 1)
        for dev, where in (("own", {}), ("other", {"dev": other}))
    }
    found = {key: meta["settings"] for key, meta in settings.items()}
    assert found[0, "own"] == found[0, "other"]
    assert len(set(found.values())) == 3


def test_a_name_that_is_none() -> None:
    with pytest.raises(SpaError, match=r"no task, group or tag 'hellaswog'.*hellaswag.*ls tasks"):
        prompts("hellaswog")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        SpaError, match=r"no file of that path, and no task.*relative to the recipe"
    ):
        prompts(str(tmp_path / "none.yaml"))


def test_documents_that_cannot_be_had(
    write_task: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def offline(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'cais/mmlu' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        SpaError, match=r"cannot be loaded: ConnectionError(.|\n)*Without a network"
    ):
        prompts(str(write_task("the_sea", dataset_path="cais/mmlu", dataset_kwargs=None)))


def test_task_files_must_be_trusted() -> None:
    with pytest.raises(ValidationError, match=r"a\.yaml is a task file.*trust_task_files: true"):
        LmEvalConfig(tasks=("a.yaml",))


def test_code_of_the_model_is_not_run(write_task: Callable[..., Path]) -> None:
    with pytest.raises(SpaError, match="runs code that the model writes"):
        prompts(str(write_task("number", unsafe_code=True)))


def test_figures_that_are_no_means() -> None:
    row: Any = {"summed_by": {"ppl": "perplexity"}}
    found = list(
        figures(
            "t",
            [{**row, "base:ppl": -1.0}, {**row, "base:ppl": -3.0}],
            ["base"],
            LmEvalConfig(tasks=("t",)),
        )
    )
    assert [each.name for each in found] == ["t:ppl"]
    assert found[0].value == pytest.approx(2.718281828**2)
    assert isinstance(found[0], Metric)
