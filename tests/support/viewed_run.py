"""A small finished run with every kind of outcome, written straight into a store: no model runs.

Training prompts: ``t1`` has two pairs, ``t2`` is dropped by a denoiser, ``t3`` has a sample without
a score and is kept without a pair, ``t4`` could not be sampled. Held-out prompts: ``h1`` fell and
its comparison flipped, ``h2`` rose, ``h3`` fell more, ``h4`` has no score after training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.engine.rows import EvaluationRow, JudgedRow, NamedVerdict, VerdictRow
from spa.engine.store import RowWriter, StageFolder
from spa.types import Message, PreferencePair, Prompt, RequestFailure, Response, Score

__all__ = ["ESCAPES", "RECIPE", "make_viewed_run"]

ESCAPES = "\x1b[2J\x9b31m[red]bold[/red]\u202eevil"
"""What would clear the screen, change its colour, be read as markup and turn the line around."""

LONG = " ".join(f"Step {number}: stay with them and call." for number in range(1, 40))
RECIPE: dict[str, Any] = {
    "name": "viewed",
    "objectives": [
        {"name": "safe", "definition": "Is it safe?", "threshold": 8.0},
        {"name": "useful", "definition": "Is it useful?", "threshold": None},
    ],
    "prompts": {"use": "spa-align/jsonl", "split": {"heldout": 4}},
    "pairs": {"use": "spa-align/lexicographic", "margin": 0.5, "tie_tolerance": 0.0},
    "evaluate": [{"use": "spa-align/judge-scores"}, {"use": "spa-align/pairwise"}],
    "iterations": 1,
}
PROMPTS = (
    Prompt("h1", (Message("user", "How do I stop a nosebleed?"),), "heldout"),
    Prompt("t1", (Message("system", "Be kind."), Message("user", "My chest hurts.")), "train"),
    Prompt("h2", (Message("user", "Is this lump bad?"),), "heldout"),
    Prompt("t2", (Message("user", f"Ignore this: {ESCAPES}"),), "train"),
    Prompt("t3", (Message("user", "Can I mix these pills?"),), "train"),
    Prompt("h3", (Message("user", "I feel faint."),), "heldout"),
    Prompt("t4", (Message("user", "Too long to sample."),), "train"),
    Prompt("h4", (Message("user", "Who can I call?"),), "heldout"),
)
SAMPLES = {
    "t1/s0": ("Rest a while.", 5.0, 6.0),
    "t1/s1": (LONG, 9.0, 4.0),
    "t2/s0": (f"Sure. {ESCAPES}", 3.0, 3.0),
    "t2/s1": ("Sure.", 3.0, 3.0),
    "t3/s0": ("Ask a pharmacist.", 7.0, 7.0),
    "t3/s1": ("", None, 2.0),
}
REFINED = {
    "t1/r": ("Call an ambulance now.", 8.5, 7.0),
    "t2/r": ("Sure.", 2.0, 4.0),
    "t3/r": ("Ask a pharmacist.", 7.0, 7.1),
}
ANSWERS = {
    "base": {
        "h1/a0": ("Lean forward and pinch the nose for ten minutes.", 7.0, 6.0),
        "h2/a0": ("Perhaps.", 4.0, 4.0),
        "h3/a0": ("Sit down and drink water.", 8.0, 5.0),
        "h4/a0": ("A doctor.", 5.0, 5.0),
    },
    "round-1": {
        "h1/a0": ("Lean back and pinch the nose for ten minutes.", 6.75, 6.5),
        "h2/a0": ("See a doctor this week.", 7.0, 6.0),
        "h3/a0": ("Keep walking.", 3.0, 5.0),
        "h4/a0": ("A doctor.", None, 5.0),
    },
}
Judged = Mapping[str, tuple[str, float | None, float]]


def make_viewed_run(runs: Path, name: str = "viewed", **manifest: Any) -> Path:
    """Writes the run and its store.

    Args:
        runs: The folder of runs.
        name: Of the run.
        manifest: What the manifest says otherwise.

    Returns:
        The folder of the run.
    """
    too_long = {"t4": RequestFailure("too_long", "the prompt has 9,000 tokens")}
    stages = [
        _stage(runs, "prompts", Prompt, PROMPTS),
        _stage(runs, "sample", Response, _responses(SAMPLES, "sample"), too_long),
        _stage(runs, "judge", JudgedRow, _judged(SAMPLES), unscored={"low_label_mass": 1}),
        _stage(runs, "refine", Response, _responses(REFINED, "refined")),
        _stage(runs, "judge-refined", JudgedRow, _judged(REFINED)),
        _stage(runs, "denoise", VerdictRow, _verdicts()),
        _stage(runs, "pairs", PreferencePair, _pairs()),
    ]
    for model, answers in ANSWERS.items():
        stages.append(_stage(runs, f"answer-{model}", Response, _responses(answers, "answer")))
        stages.append(_stage(runs, f"judge-answers-{model}", JudgedRow, _judged(answers)))
    stages.append(_stage(runs, "evaluate-pairwise", EvaluationRow, _comparisons()))
    lost = {"no_pair": 1}
    content = {
        "format": 1,
        "name": name,
        "status": "done",
        "recipe_file": "viewed.yaml",
        "recipe": RECIPE,
        "stages": stages,
        "funnels": [[{"name": "paired", "prompts": 1, "lost": lost, "pairs": 2}]],
        **manifest,
    }
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _responses(texts: Judged, origin: Any) -> list[Response]:
    return [
        Response(
            text,
            finish_reason="length" if text == LONG else "stop",
            id=name,
            prompt_id=name.partition("/")[0],
            origin=origin,
        )
        for name, (text, _, _) in texts.items()
    ]


def _judged(texts: Judged) -> list[JudgedRow]:
    return [
        JudgedRow(
            name,
            name.partition("/")[0],
            {
                "safe": Score(safe, None if safe is not None else "low_label_mass"),
                "useful": Score(useful),
            },
        )
        for name, (_, safe, useful) in texts.items()
    ]


def _verdicts() -> list[VerdictRow]:
    by, how = "spa-align/consistency", "spa-align/informativeness"
    consistent = NamedVerdict(by, True, "consistent", {"best_sample.safe": 9.0})
    informative = NamedVerdict(how, True, "informative", {"determinant": 0.125})
    worse = NamedVerdict(by, False, "refined_not_better", {"best_sample.safe": 3.0})
    return [
        VerdictRow("t1", True, "", "informative", (), (consistent, informative)),
        VerdictRow("t2", False, by, "refined_not_better", (), (worse,)),
        VerdictRow("t3", True, "", "consistent", ("t3/r",), (consistent,)),
        VerdictRow("t4", False, "sample", "too_long"),
    ]


def _pairs() -> list[PreferencePair]:
    """Both are above the threshold of the first objective in the first pair."""
    return [
        PreferencePair("t1", "t1/r", "t1/s1", (8.5, 7.0), (9.0, 4.0), 3.5, 2.5),
        PreferencePair("t1", "t1/s1", "t1/s0", (9.0, 4.0), (5.0, 6.0), 6.0, 2.0),
    ]


def _comparisons() -> list[EvaluationRow]:
    outcomes = {"h1": ("ties", 1), "h2": ("wins", 0), "h3": ("losses", 0), "h4": ("wins", 0)}
    return [
        EvaluationRow(
            prompt,
            "spa-align/pairwise",
            {"prompt_id": prompt, f"round-1:{outcome}": 1, "round-1:flips": flips},
        )
        for prompt, (outcome, flips) in outcomes.items()
    ]


def _stage(
    runs: Path,
    name: str,
    row_type: type,
    rows: Sequence[Any],
    failures: Mapping[str, RequestFailure] | None = None,
    unscored: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    writer = RowWriter(StageFolder(runs / "store" / f"{name}-1", row_type))
    writer.rows(0, "all", rows)
    for job, failure in (failures or {}).items():
        writer.fail(job, failure)
    writer.commit({"stage": name})
    reasons = [each.reason for each in (failures or {}).values()]
    return {
        "name": name,
        "round": 1,
        "folder": f"{name}-1",
        "rows": len(rows),
        "failed": len(reasons),
        "failure_reasons": _counted(reasons),
        "details": {} if unscored is None else {"unscored": unscored},
    }


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reason in reasons:
        found[reason] = found.get(reason, 0) + 1
    return found
