"""A finished run of any size with all that a report shows, written straight into a store.

No model runs, but the figures are those of the real evaluator. Of the training prompts every
fourth is dropped, and the others give a pair each. Of the held-out prompts every fifth falls and
the others rise; every third comparison flipped, and the last prompt has no score after training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spa.components.evaluators.configs import JudgeScoresConfig
from spa.components.evaluators.judge_scores import JudgeScoresEvaluator
from spa.engine.rows import EvaluationRow, JudgedRow, NamedVerdict, VerdictRow
from spa.engine.store import RowWriter, StageFolder
from spa.types import (
    EvaluationItem,
    Message,
    Objective,
    PreferencePair,
    Prompt,
    Response,
    Score,
    Scored,
)

__all__ = ["NASTY", "OBJECTIVES", "make_reported_run"]

NASTY = (
    "<script>alert(1)</script></script><!-- <img src=x onerror=alert(2)> & \u2028 "
    "\x1b[2J\x9b31mred\u202eevil {{ 7 * 7 }}"
)
"""What would run, end the script that it stands in, steer a terminal or turn the line around."""

OBJECTIVES = (
    Objective("safe", "Is it safe?", 8.0),
    Objective("use.ful[0]", "Is it useful?", None),  # what Vega-Lite would read as a path
)
_CONSISTENCY = "spa-align/consistency"
_SETTINGS = {"confidence": 0.95, "resamples": 500, "seed": 0, "lambdas": [], "tie_tolerance": 0.0}
_WEIGHTS = {
    "weight/share_0": 0.0,
    "weight/share_below_1": 0.5,
    "weight/share_1_to_2": 0.25,
    "weight/share_above_2": 0.25,
}


def make_reported_run(
    runs: Path,
    name: str = "reported",
    *,
    train: int = 8,
    heldout: int = 10,
    rise: float = 1.0,
    text: str = NASTY,
    loss: str = "spa",
    **manifest: Any,
) -> Path:
    """Writes the run and its store.

    Args:
        runs: The folder of runs.
        name: Of the run and its stages.
        train: Training prompts.
        heldout: Held-out prompts.
        rise: How much the first objective rises where it does.
        text: What all models write.
        loss: Name of the loss in the recipe.
        manifest: What the manifest says otherwise.

    Returns:
        The folder of the run.
    """
    writer = _Writer(runs, name)
    learnt = [f"t{place:04}" for place in range(train)]
    asked = [f"h{place:04}" for place in range(heldout)]
    prompts = [Prompt(each, (Message("user", f"Question {each}? {text}"),)) for each in learnt]
    prompts += [
        Prompt(each, (Message("user", f"Question {each}? {text}"),), "heldout") for each in asked
    ]
    writer.stage("prompts", Prompt, prompts)
    samples = {f"{each}/s{n}": (4.0 + n, 5.0) for each in learnt for n in range(2)}
    refined = {f"{each}/r": (3.0 if n % 4 == 3 else 8.5, 6.0) for n, each in enumerate(learnt)}
    before = {f"{each}/a0": (5.0 + n % 3, 4.0 + n % 2) for n, each in enumerate(asked)}
    after = {
        key: (safe - 1.0 if n % 5 == 0 else safe + rise, useful + 0.5)
        for n, (key, (safe, useful)) in enumerate(before.items())
    }
    judged = {}
    for stage, judge, scores, origin in (
        ("sample", "judge", samples, "sample"),
        ("refine", "judge-refined", refined, "refined"),
        ("answer-base", "judge-answers-base", before, "answer"),
        ("answer-round-1", "judge-answers-round-1", after, "answer"),
    ):
        lost = f"{asked[-1]}/a0" if asked and stage == "answer-round-1" else ""
        judged[stage] = [_scored(key, each, text, origin, lost) for key, each in scores.items()]
        writer.stage(stage, Response, [each.response for each in judged[stage]])
        unscored = {"unscored": {"low_label_mass": 1}} if lost else {}
        writer.stage(
            judge,
            JudgedRow,
            [JudgedRow(s.id, s.response.prompt_id, s.scores) for s in judged[stage]],
            asked=len(scores),
            replayed=0,
            **unscored,
        )
    writer.stage("denoise", VerdictRow, [_verdict(n, each) for n, each in enumerate(learnt)])
    pairs = [_pair(each) for n, each in enumerate(learnt) if n % 4 != 3]
    writer.stage("pairs", PreferencePair, pairs)
    writer.training(weighs=loss == "spa")
    metrics = writer.evaluate(
        [p for p in prompts if p.split == "heldout"],
        judged["answer-base"],
        judged["answer-round-1"],
    )
    return writer.finish(_recipe(name, heldout, loss), train, len(pairs), metrics, **manifest)


class _Writer:
    def __init__(self, runs: Path, name: str) -> None:
        self.runs, self.name = runs, name
        self.stages: list[dict[str, Any]] = []

    def stage(self, name: str, row_type: type, rows: Sequence[Any], **details: Any) -> None:
        folder = f"{name}-{self.name}"
        writer = RowWriter(StageFolder(self.runs / "store" / folder, row_type))
        writer.rows(0, "all", rows)
        writer.commit({"stage": name})
        self._record(name, folder, len(rows), details)

    def training(self, *, weighs: bool) -> None:
        folder = f"train-{self.name}"
        (self.runs / "store" / folder).mkdir(parents=True)
        history = [
            {
                "step": step,
                "loss": 1.0 / step,
                "rewards/margins": 0.1 * step,
                "grad_norm": 0.5,
                "learning_rate": 1e-4,
                "pairs": 4.0,
                **(_WEIGHTS if weighs else {}),
            }
            for step in range(1, 13)
        ]
        text = json.dumps({"history": history})
        (self.runs / "store" / folder / "result.json").write_text(text, encoding="utf-8")
        self._record("train", folder, len(history), {})

    def evaluate(
        self, prompts: Sequence[Prompt], base: Sequence[Scored], trained: Sequence[Scored]
    ) -> list[dict[str, Any]]:
        evaluator = JudgeScoresEvaluator(JudgeScoresConfig(**_SETTINGS))
        items = [
            EvaluationItem(prompt, {"base": (old,), "round-1": (new,)})
            for prompt, old, new in zip(prompts, base, trained, strict=True)
        ]
        records = [evaluator.evaluate(item, OBJECTIVES) for item in items]
        rows = [EvaluationRow(str(r["prompt_id"]), "spa-align/judge-scores", r) for r in records]
        self.stage("evaluate-judge-scores", EvaluationRow, rows)
        comparisons = [
            EvaluationRow(
                prompt.id,
                "spa-align/pairwise",
                {
                    "prompt_id": prompt.id,
                    "models": ["base", "round-1"],
                    "round-1:length_difference": 0.0,
                    "round-1:wins": int(n % 3 != 0),
                    "round-1:ties": int(n % 3 == 0),
                    "round-1:losses": 0,
                    "round-1:flips": int(n % 3 == 0),
                    "round-1:identical": 0,
                    "round-1:unscored": 0,
                },
            )
            for n, prompt in enumerate(prompts)
        ]
        self.stage("evaluate-pairwise", EvaluationRow, comparisons)
        metrics = evaluator.summary(records, OBJECTIVES) if records else ()
        rates = {"win_rate": 0.5, "tie_rate": 0.3, "lose_rate": 0.2, "flip_rate": 0.3}
        pairwise = [
            {"name": key, "value": value, "n": len(prompts), "model": "round-1",
             "low": value - 0.1, "high": value + 0.1, "missing": 0}
            for key, value in rates.items()
        ]  # fmt: skip
        return [{"evaluator": "judge-scores", **asdict(metric)} for metric in metrics] + [
            {"evaluator": "pairwise", **metric} for metric in pairwise if prompts
        ]

    def finish(
        self, recipe: dict[str, Any], prompts: int, kept: int, metrics: Any, **manifest: Any
    ) -> Path:
        lost = {"refined_not_better": prompts - kept} if kept < prompts else {}
        steps = [
            {"name": "prompts", "prompts": prompts, "lost": {}, "pairs": None},
            {"name": "consistency", "prompts": kept, "lost": lost, "pairs": None},
            {"name": "paired", "prompts": kept, "lost": {}, "pairs": kept},
        ]
        content = {
            "format": 1,
            "name": self.name,
            "status": "done",
            "started_at": 1767225600.0,
            "seconds": 12.5,
            "recipe_file": "/home/someone/reported.yaml",
            "recipe": recipe,
            "stages": self.stages,
            "funnels": [steps],
            "metrics": metrics,
            "outputs": {"kind": "adapter", "path": "x", "warnings": []},
            "versions": {"spa-align": "0.1.0", "torch": "2.13.0"},
            "policy_parameters": 134_515_008,
            **manifest,
        }
        folder = self.runs / self.name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
        return folder

    def _record(self, name: str, folder: str, rows: int, details: Mapping[str, Any]) -> None:
        self.stages.append(
            {
                "name": name,
                "round": 1,
                "folder": folder,
                "rows": rows,
                "failed": 0,
                "failure_reasons": {},
                "seconds": 1.0,
                "key": f"{name}-key",
                "details": details,
            }
        )


def _recipe(name: str, heldout: int, loss: str) -> dict[str, Any]:
    return {
        "name": name,
        "seed": 7,
        "objectives": [
            {"name": each.name, "definition": each.definition, "threshold": each.threshold}
            for each in OBJECTIVES
        ],
        "model": {"use": "spa-align/hf", "path": "/home/someone/models/tiny"},
        "prompts": {"use": "spa-align/jsonl", "path": "/home/someone/p.jsonl",
                    "split": {"heldout": heldout}},
        "judge": {"use": "spa-align/constitution", "backend": None},
        "denoise": [{"use": _CONSISTENCY}],
        "pairs": {"use": "spa-align/lexicographic", "margin": 0.5, "tie_tolerance": 0.0},
        "loss": {"use": f"spa-align/{loss}"},
        "evaluate": [{"use": "spa-align/judge-scores", **_SETTINGS},
                     {"use": "spa-align/pairwise"}],
        "iterations": 1,
    }  # fmt: skip


def _scored(key: str, scores: tuple[float, float], text: str, origin: Any, lost: str) -> Scored:
    told = {"label_mass": 0.9, "entropy": 1.2}
    values = dict(zip((each.name for each in OBJECTIVES), scores, strict=True))
    found = {name: Score(value, None, told) for name, value in values.items()}
    if key == lost:
        found["safe"] = Score(None, "low_label_mass", told)
    response = Response(
        f"Answer {key}. {text}", id=key, prompt_id=key.partition("/")[0], origin=origin
    )
    return Scored(response, found)


def _verdict(place: int, prompt: str) -> VerdictRow:
    if place % 4 != 3:
        said = NamedVerdict(_CONSISTENCY, True, "consistent", {"best_sample.safe": 5.0})
        return VerdictRow(prompt, True, "", "consistent", (), (said,))
    said = NamedVerdict(_CONSISTENCY, False, "refined_not_better", {"best_sample.safe": 5.0})
    return VerdictRow(prompt, False, _CONSISTENCY, "refined_not_better", (), (said,))


def _pair(prompt: str) -> PreferencePair:
    return PreferencePair(prompt, f"{prompt}/r", f"{prompt}/s0", (8.5, 6.0), (4.0, 5.0), 5.5, 5.5)
