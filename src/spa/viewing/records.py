"""An example as one JSON record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from spa.types import Objective, Scored
from spa.viewing.examples import Example
from spa.viewing.judging import changes, flips

__all__ = ["example_record"]


def example_record(example: Example, objectives: Sequence[Objective]) -> dict[str, Any]:
    """What `spa show --json` prints of an example.

    Args:
        example: The example.
        objectives: Those of its run, most important first.
    """
    prompt, verdict = example.prompt, example.verdict
    return {
        "kind": "example",
        "id": prompt.id,
        "round": example.round,
        "split": prompt.split,
        "messages": [asdict(message) for message in prompt.messages],
        "meta": dict(prompt.meta),
        "responses": [
            _response(each, by) for by, group in example.responses.items() for each in group
        ],
        "verdict": None if verdict is None else asdict(verdict),
        "pairs": [{**asdict(each.pair), "decided_by": each.decided_by} for each in example.pairs],
        "evaluations": {name: dict(record) for name, record in example.evaluations.items()},
        "changes": changes(example, objectives),
        "flips": flips(example),
        "failures": [asdict(failure) for failure in example.failures],
    }


def _response(scored: Scored, by: str) -> dict[str, Any]:
    response = scored.response
    return {
        "id": response.id,
        "by": by,
        "text": response.text,
        "tokens": len(response.token_ids),
        "finish_reason": response.finish_reason,
        "scores": {name: asdict(score) for name, score in scored.scores.items()},
        "details": dict(response.details),
    }
