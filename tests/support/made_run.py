"""A run of two rounds written straight into a store, for tests of what reads runs: no model runs.

Round 1 has five pairs: two of an ordinary prompt, two of a longer conversation, one of them with an
empty response, and one of a prompt with two user turns in a row. Round 2 has one pair, whose
responses have ids of round 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.engine.store import RowWriter, StageFolder
from spa.types import Message, PreferencePair, Prompt, Response

__all__ = ["PAIRS", "PROMPTS", "RESPONSES", "SYSTEM_PROMPT", "make_run"]

SYSTEM_PROMPT = "You are a careful clinician."
PROMPTS = (
    Prompt("p1", (Message("user", "How do I sleep?"),), meta={"kind": "health"}),
    Prompt(
        "p2",
        (
            Message("system", "Answer in one line."),
            Message("user", "Hello"),
            Message("assistant", "Good day."),
            Message("user", "Who are you?"),
        ),
    ),
    Prompt("p3", (Message("user", "One."), Message("user", "Two."))),
)
_DETAILS = {"system_prompt": SYSTEM_PROMPT, "temperature": 1.0}


def _response(name: str, text: str, ids: Sequence[int], **more: Any) -> Response:
    prompt_id, _, place = name.partition("/")
    origin = "refined" if place == "r" else "sample"
    return Response(
        text, tuple(ids), details=_DETAILS, id=name, prompt_id=prompt_id, origin=origin, **more
    )


RESPONSES = {
    1: (
        _response("p1/s0", "Go to bed early.", (1, 2, 9)),
        _response("p1/s1", "Take pills and", (3, 4), finish_reason="length"),
        _response("p1/r", "Keep fixed hours, naïve or not.", (5, 6, 9)),
        _response("p2/s0", "A model.", (7, 9)),
        _response("p2/s1", " \n", (9,)),
        _response("p2/s2", "Nobody.", (6, 9)),
        _response("p3/s0", "Three.", (8, 9)),
        _response("p3/s1", "No.", (2, 9)),
    ),
    2: (
        _response("p1/s0", "Round two, better.", (1, 1, 9)),
        _response("p1/s1", "Round two, worse.", (2, 2, 9)),
    ),
}


def _pair(
    chosen: str, rejected: str, better: Sequence[float], worse: Sequence[float]
) -> PreferencePair:
    return PreferencePair(
        prompt_id=chosen.partition("/")[0],
        chosen=chosen,
        rejected=rejected,
        chosen_scores=tuple(better),
        rejected_scores=tuple(worse),
        margin=sum(abs(a - b) for a, b in zip(better, worse, strict=True)),
        gap=abs(sum(better) - sum(worse)),
    )


PAIRS = {
    1: (
        _pair("p1/r", "p1/s0", (9.0, 8.0), (8.0, 8.5)),
        _pair("p1/s0", "p1/s1", (8.0, 8.5), (2.0, 3.0)),
        _pair("p2/s0", "p2/s1", (7.0, 6.0), (7.0, 1.0)),
        _pair("p2/s0", "p2/s2", (7.0, 6.0), (6.0, 7.0)),
        _pair("p3/s0", "p3/s1", (5.0, 5.0), (4.0, 4.0)),
    ),
    2: (_pair("p1/s0", "p1/s1", (9.5, 9.0), (3.0, 3.0)),),
}
_RECIPE = {
    "name": "made",
    "seed": 7,
    "objectives": [
        {"name": "harmlessness", "definition": "Is it\n\nsafe?", "threshold": 9.0},
        {"name": "helpfulness", "definition": "Does it help?", "threshold": None},
    ],
    "model": {"use": "spa-align/hf", "path": "/secret/folder/models/tiny-instruct"},
    "prompts": {"use": "spa-align/jsonl", "path": "/secret/folder/prompts.jsonl", "split": None},
    "generate": {"use": "spa-align/diverse", "n": 2, "system_prompts": [SYSTEM_PROMPT]},
    "judge": {"use": "spa-align/constitution", "template": "Rate | it. " * 20, "backend": None},
    "refine": {"use": "spa-align/self-refine"},
    "denoise": [{"use": "spa-align/consistency"}, {"use": "spa-align/informativeness"}],
    "pairs": {"use": "spa-align/lexicographic", "margin": 1.0},
    "iterations": 2,
}
_FUNNEL = [
    {"name": "prompts", "prompts": 5, "lost": {}, "pairs": None},
    {"name": "consistency", "prompts": 3, "lost": {"refined_not_better": 2}, "pairs": None},
    {"name": "paired", "prompts": 3, "lost": {}, "pairs": 5},
]


def make_run(
    runs: Path,
    *,
    prompts: Sequence[Prompt] = PROMPTS,
    responses: Mapping[int, Sequence[Response]] = RESPONSES,
    pairs: Mapping[int, Sequence[PreferencePair]] = PAIRS,
    **manifest: Any,
) -> Path:
    """Writes the run and its store.

    Args:
        runs: The folder of runs.
        prompts: All prompts.
        responses: Round to responses.
        pairs: Round to pairs.
        manifest: What the manifest says otherwise.

    Returns:
        The folder of the run.
    """
    stages = [_stage(runs, "prompts", 1, Prompt, prompts)]
    for number, rows in responses.items():
        samples = [row for row in rows if row.origin == "sample"]
        refined = [row for row in rows if row.origin == "refined"]
        stages.append(_stage(runs, "sample", number, Response, samples))
        stages.append({"name": "judge", "round": number, "details": {"asked": 8, "replayed": 0}})
        stages.append(_stage(runs, "refine", number, Response, refined))
        if number in pairs:
            stages.append(_stage(runs, "pairs", number, PreferencePair, pairs[number]))
    stages.append({"name": "train", "round": 1, "failure_reasons": {"longer_than_max_length": 1}})
    content = {
        "format": 1,
        "name": "made-1",
        "status": "failed",
        "started_at": 1767225600.0,
        "recipe": _RECIPE,
        "stages": stages,
        "funnels": [_FUNNEL, _FUNNEL],
        "versions": {"spa-align": "0.0.9", "torch": "2.13.0"},
        "policy_parameters": 134_515_008,
        **manifest,
    }
    folder = runs / "made-1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _stage(
    runs: Path, name: str, number: int, row_type: type, rows: Sequence[Any]
) -> dict[str, Any]:
    folder = f"{name}-{number:016x}"
    writer = RowWriter(StageFolder(runs / "store" / folder, row_type))
    writer.rows(0, "all", rows)
    writer.commit({"stage": name})
    return {"name": name, "round": number, "folder": folder}
