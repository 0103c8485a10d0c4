"""The evaluator: documents as prompts, the harness as what responds, its metrics as rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from spa.api import (
    EvaluationItem,
    JsonValue,
    LoadedModel,
    Message,
    Metric,
    Objective,
    Prompt,
    Response,
)
from spa_lm_eval.config import LmEvalConfig
from spa_lm_eval.figures import Row, figures
from spa_lm_eval.tasks import find_tasks
from spa_lm_eval.values import digest, plain

__all__ = ["LmEvalEvaluator"]


class LmEvalEvaluator:
    """Any text task of lm-evaluation-harness, on every policy's model.

    Metrics, over the documents of a task: ``TASK:METRIC`` with the filter's name where it is not
    ``none``, its standard error ``TASK:METRIC_stderr``, and the paired difference of each later
    model from the first. A group has the mean over the documents of all its tasks. Metrics that are
    no mean (perplexity, BLEU) have a value alone.
    """

    def __init__(self, config: LmEvalConfig) -> None:
        """Keeps the settings; reads nothing."""
        self._config = config

    def prompts(self) -> Iterator[Prompt]:
        """The documents of all tasks, in their order.

        Raises:
            SpaError: If a task cannot be had.
        """
        found = find_tasks(self._config)
        for name, task in found.tasks.items():
            told = {"config": task.dump_config(), "harness": found.version}
            settings = digest({**told, "examples": _examples(task)})
            for place, document in task.doc_iterator(limit=self._config.limit):
                meta: dict[str, JsonValue] = {
                    "task": name,
                    "groups": found.groups[name],
                    "place": place,
                    "settings": settings,
                    "document": digest(document),
                }
                yield Prompt(
                    f"{name}/{place}", (Message("user", _text(task, document)),), meta=meta
                )

    def respond_with(
        self, loaded: LoadedModel, prompts: Sequence[Prompt]
    ) -> Mapping[str, Sequence[Response]]:
        """Runs the harness on the documents of the prompts, task by task."""
        from spa_lm_eval.harness import run_task

        of_task: dict[str, dict[int, str]] = {}
        for prompt in prompts:
            task, place = str(prompt.meta["task"]), cast("int", prompt.meta["place"])
            of_task.setdefault(task, {})[place] = prompt.id
        tasks = find_tasks(self._config).tasks
        responses: dict[str, Sequence[Response]] = {}
        for name, ids in of_task.items():
            found = run_task(loaded, name, tasks[name], sorted(ids), self._config.batch_size)
            responses |= {ids[place]: [response] for place, response in found.items()}
        return responses

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Mapping[str, JsonValue]:
        """Every metric of the document for each model, as ``MODEL:METRIC``."""
        del objectives
        meta = item.prompt.meta
        summed: dict[str, JsonValue] = {}
        row: dict[str, JsonValue] = {
            "prompt_id": item.prompt.id,
            "models": list(item.answers),
            "task": meta["task"],
            "groups": meta["groups"],
            "summed_by": summed,
        }
        for model, answers in item.answers.items():
            for answer in answers:
                details = cast("Mapping[str, Mapping[str, JsonValue]]", answer.response.details)
                summed |= details["summed_by"]
                row |= {f"{model}:{name}": value for name, value in details["metrics"].items()}
        return row

    def summary(self, rows: Sequence[Row], objectives: Sequence[Objective]) -> Sequence[Metric]:
        """Returns the figures of every group, then of every task."""
        del objectives
        models = list(dict.fromkeys(str(m) for row in rows for m in cast("Any", row["models"])))
        groups = dict.fromkeys(str(g) for row in rows for g in cast("Any", row["groups"]))
        tasks = dict.fromkeys(str(row["task"]) for row in rows)
        sets = [(name, [r for r in rows if name in cast("Any", r["groups"])]) for name in groups]
        sets += [(name, [r for r in rows if r["task"] == name]) for name in tasks]
        return [metric for name, own in sets for metric in figures(name, own, models, self._config)]


def _examples(task: Any) -> str | None:
    """A hash of the documents that worked examples are drawn from; None where there are none."""
    if not task.get_config("num_fewshot"):
        return None
    return digest([dict(document) for document in task.fewshot_docs()])


def _text(task: Any, document: Any) -> str:
    """What people read of a document: the question, or all of it where there is none."""
    question = task.doc_to_text(document)
    if isinstance(question, str) and question.strip():
        return question
    return json.dumps(plain(document), ensure_ascii=False)
