"""Runs tasks of the harness on a model that is loaded already, and leaves the model as it was."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from spa.api import JsonValue, LoadedModel, Response
from spa_lm_eval.values import plain

__all__ = ["SHOTS_SEED", "run_task"]

SHOTS_SEED = 1234
"""The harness's default seed of the choice of worked examples."""


def run_task(
    loaded: LoadedModel,
    name: str,
    task: Any,
    documents: Sequence[int],
    batch_size: int,
) -> dict[int, Response]:
    """What the model makes of some documents of a task.

    Args:
        loaded: The model.
        name: Of the task.
        task: The harness's own object.
        documents: Their places, ascending.
        batch_size: How many requests run side by side.

    Returns:
        For each document a response: the text that was written or the likeliest choice, and in its
        details the value of every metric.
    """
    from lm_eval.evaluator import evaluate

    first = list(documents) == list(range(len(documents)))
    which: dict[str, Any] = (
        {"limit": len(documents)} if first else {"samples": {name: list(documents)}}
    )
    with _quiet(), _kept_randomness():
        task.set_fewshot_seed(seed=SHOTS_SEED)
        found = evaluate(
            lm=_model(loaded, batch_size),
            task_dict={"tasks": {name: task}, "groups": {}, "group_map": {}},
            bootstrap_iters=0,
            log_samples=True,
            **which,
        )
    aggregation = task.aggregation()
    responses: dict[int, Response] = {}
    for sample in found["samples"][name]:
        place = int(sample["doc_id"])
        before = responses.get(place)
        responses[place] = _response(sample, aggregation, before)
    return responses


def _response(
    sample: Mapping[str, Any], aggregation: Mapping[str, Any], before: Response | None
) -> Response:
    """A response of one logged sample; a task with several filters logs one for each."""
    suffix = "" if sample["filter"] == "none" else f":{sample['filter']}"
    metrics: dict[str, JsonValue] = {}
    summed: dict[str, JsonValue] = {}
    if before is not None:
        metrics |= before.details["metrics"]  # type: ignore[arg-type]
        summed |= before.details["summed_by"]  # type: ignore[arg-type]
    for metric in sample["metrics"]:
        metrics[f"{metric}{suffix}"] = plain(sample[metric])
        summed[f"{metric}{suffix}"] = getattr(aggregation.get(metric), "__name__", "mean")
    answers = [answer[0] for answer in sample["resps"]]
    return Response(
        _text(sample["arguments"], answers),
        details={"metrics": metrics, "summed_by": summed, "answers": plain(answers)},
    )


def _text(arguments: Sequence[Any], answers: Sequence[Any]) -> str:
    """What was written, or of several continuations the likeliest."""
    if isinstance(answers[0], str):
        return answers[0]
    scores = [answer[0] if isinstance(answer, Sequence) else answer for answer in answers]
    best = arguments[scores.index(max(scores))]
    return str(best[-1])


def _model(loaded: LoadedModel, batch_size: int) -> Any:
    from lm_eval.models.huggingface import HFLM

    class Silent(HFLM):  # type: ignore[misc]
        """Without bars of progress, which would break spa's own."""

        def loglikelihood(self, requests: Any, **_: Any) -> Any:
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> Any:
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def _loglikelihood_tokens(self, requests: Any, **more: Any) -> Any:
            return super()._loglikelihood_tokens(requests, **{**more, "disable_tqdm": True})

        def generate_until(self, requests: Any, **_: Any) -> Any:
            return super().generate_until(requests, disable_tqdm=True)

    return Silent(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size)


@contextmanager
def _quiet() -> Iterator[None]:
    import lm_eval.api.task

    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    bars = partial(lm_eval.api.task.tqdm, disable=True)
    try:
        with patch.object(lm_eval.api.task, "tqdm", bars):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _kept_randomness() -> Iterator[None]:
    """The harness draws from the process's random numbers; training must not notice."""
    import numpy as np
    import torch

    python, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(SHOTS_SEED)
        random.seed(0)
        np.random.seed(SHOTS_SEED)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)
