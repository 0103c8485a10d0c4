"""Tasks of other kinds than choices: written answers with filters, whole texts, and groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.tasks import TaskManager

from spa.api import EvaluationItem, Metric, Scored, SpaError
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_config import HFConfig
from spa_lm_eval.config import LmEvalConfig
from spa_lm_eval.evaluator import LmEvalEvaluator


@pytest.fixture(scope="module")
def backend(tiny_folder: Path) -> HFBackend:
    return HFBackend(HFConfig(path=str(tiny_folder), dtype="float32"))


def measured(backend: HFBackend, *files: Path, **config: Any) -> dict[tuple[str, str], Metric]:
    """Figures of one model, called base, by name and model."""
    settings: dict[str, Any] = {"trust_task_files": True, "resamples": 50, **config}
    evaluator = LmEvalEvaluator(LmEvalConfig(tasks=tuple(map(str, files)), **settings))
    prompts = {prompt.id: prompt for prompt in evaluator.prompts()}
    responded = evaluator.respond_with(backend.loaded(), tuple(prompts.values()))
    rows = [
        evaluator.evaluate(
            EvaluationItem(prompts[each], {"base": tuple(Scored(r, {}) for r in responses)}), []
        )
        for each, responses in responded.items()
    ]
    assert len(rows) == len(prompts)
    return {(metric.name, metric.model): metric for metric in evaluator.summary(rows, [])}


def test_written_answers_with_filters(backend: HFBackend, write_task: Callable[..., Path]) -> None:
    file = write_task(
        "number",
        output_type="generate_until",
        doc_to_choice=None,
        doc_to_target="{{choices[answer]}}",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        filter_list=[
            {"name": name, "filter": [{"function": "take_first"}]} for name in ("strict", "loose")
        ],
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    )
    found = measured(backend, file)
    for name in ("strict", "loose"):
        assert found[f"own_number:exact_match:{name}", "base"].n == 6


def test_whole_texts_have_a_value_and_no_interval(
    backend: HFBackend, write_task: Callable[..., Path]
) -> None:
    metrics = [{"metric": name} for name in ("word_perplexity", "bits_per_byte")]
    file = write_task(
        "number",
        output_type="loglikelihood_rolling",
        doc_to_choice=None,
        doc_to_text="",
        doc_to_target="{{prompt}}",
        fewshot_split=None,
        fewshot_config=None,
        metric_list=metrics,
    )
    found = measured(backend, file)
    bits = found["own_number:bits_per_byte", "base"]
    assert bits.value is not None
    assert bits.value > 0
    assert (bits.n, bits.low, bits.high) == (6, None, None)
    words = found["own_number:word_perplexity", "base"].value
    assert words is not None
    assert math.isfinite(words)


def test_a_group_is_the_mean_over_all_its_documents(
    backend: HFBackend,
    write_task: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for subject in ("the_sea", "number"):
        write_task(subject)
    group = tmp_path / "both.yaml"
    group.write_text(yaml.safe_dump({"group": "both", "task": ["own_the_sea", "own_number"]}))
    with pytest.raises(SpaError, match=r"both\.yaml is the file of a group.*files of its tasks"):
        measured(backend, group)

    class Own(TaskManager):  # type: ignore[misc]
        """Knows the tasks of this test by name, as it knows its own."""

        def __init__(self, **_: Any) -> None:
            super().__init__(include_defaults=False, include_path=str(tmp_path))

    monkeypatch.setattr("lm_eval.tasks.TaskManager", Own)
    found = measured(backend, Path("both"))
    parts = [found[f"own_{each}:acc", "base"].value for each in ("the_sea", "number")]
    whole = found["both:acc", "base"]
    assert whole.n == 12
    assert whole.value == pytest.approx(sum(filter(None, parts)) / 2)
    limited = measured(backend, Path("both"), limit=2)
    assert limited["both:acc", "base"].n == 4
