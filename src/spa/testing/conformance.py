"""Checks whether a component keeps the contract of its kind, without any model.

The engine replays stored answers into components, batches across rows and changes the order of
rows; so the same answers must give the same values, and row order must not matter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spa.api import (
    Denoiser,
    Generator,
    Group,
    Judge,
    LabelRequest,
    Objective,
    PairBuilder,
    PreferencePair,
    Prompt,
    Refiner,
    Request,
    Response,
    Score,
    Scored,
    Verdict,
)
from spa.testing.driving import Reply, trace
from spa.testing.replies import canned_reply
from spa.testing.report import Checks, Report, require
from spa.testing.samples import make_group, make_objectives, make_prompt, make_response

__all__ = [
    "check_denoiser",
    "check_generator",
    "check_judge",
    "check_pair_builder",
    "check_refiner",
]

_CODE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*\Z")
_OBJECTIVES = make_objectives(minimum=1.0, maximum=9.0)
_GROUP = make_group(
    [(5.0, 3.0), (6.0, 4.0), (5.0, 7.0), (2.0, 2.0)], refined=(8.0, 8.0), objectives=_OBJECTIVES
)
_REPLAYED = "the same answers give the same requests and value"


def check_judge(
    judge: Judge,
    *,
    objectives: Sequence[Objective] = _OBJECTIVES,
    reply: Reply = canned_reply,
    prompt: Prompt | None = None,
    response: Response | None = None,
) -> Report:
    """Checks a judge: a score for every objective, in its scale, the same when replayed.

    Args:
        judge: What to check.
        objectives: Some that it can judge.
        reply: Answers what it asks.
        prompt: What was asked; any by default.
        response: What is judged; any by default.
    """
    checks = Checks(judge)
    prompt, response = prompt or make_prompt(), response or make_response()
    with checks.that("scale is None or (lowest, highest)"):
        scale = judge.scale
        require(scale is None or tuple(scale) == (min(scale), max(scale)), f"it is {scale!r}")
        require(scale is None or scale[0] < scale[1], f"it is {scale!r}")
    with checks.that("score runs to its end"):
        first = trace(judge.score(prompt, response, objectives), reply)
        second = trace(judge.score(prompt, response, objectives), reply)
        turned = trace(judge.score(prompt, response, tuple(reversed(objectives))), reply).value
    if not checks.fine:
        return checks.report()
    with checks.that("every objective has a score, and nothing else has"):
        require(isinstance(first.value, Mapping), f"returned {type(first.value).__name__}")
        expected = sorted(o.name for o in objectives)
        require(sorted(first.value) == expected, f"{sorted(first.value)} instead of {expected}")
    with checks.that("a score is a finite value, or None with a reason"):
        for name, score in first.value.items():
            require(isinstance(score, Score), f"{name}: {score!r} is no Score")
            if score.value is None:
                require(_is_code(score.reason), f"{name}: the reason {score.reason!r} is no code")
            else:
                require(math.isfinite(score.value), f"{name}: the value is {score.value}")
    with checks.that("scores are within the scale"):
        low, high = judge.scale or (-math.inf, math.inf)
        values = {name: s.value for name, s in first.value.items() if s.value is not None}
        outside = {name: value for name, value in values.items() if not low <= value <= high}
        require(not outside, f"{outside} outside {low:g} to {high:g}")
    with checks.that(_REPLAYED):
        require(first == second, "two runs differ")
    if hasattr(judge, "will_ask"):
        with checks.that("will_ask has an example of every prefill and labels that it asks"):
            told = [_form(request) for request in judge.will_ask()]
            untold = [form for form in map(_form, first.requests) if form not in told]
            require(not untold, f"none of {untold[:1]}, only of {told}")
    with checks.that("scores are named, whatever the order of the objectives"):
        require(sorted(turned) == expected, f"{sorted(turned)} instead of {expected}")
    return checks.report()


def check_generator(
    generator: Generator, *, prompt: Prompt | None = None, reply: Reply = canned_reply
) -> Report:
    """Checks a generator: responses with the token ids that the model produced."""
    checks = Checks(generator)
    prompt = prompt or make_prompt()
    with checks.that("sample runs to its end"):
        first = trace(generator.sample(prompt), reply)
        second = trace(generator.sample(prompt), reply)
    if not checks.fine:
        return checks.report()
    with checks.that("it returns one response or more"):
        require(isinstance(first.value, Sequence), f"returned {type(first.value).__name__}")
        require(len(first.value) > 0, "returned none")
        for response in first.value:
            require(isinstance(response, Response), f"{response!r} is no Response")
    with checks.that("responses keep the token ids that the model produced"):
        for response in first.value:
            require(bool(response.token_ids), f"{response.text!r} has none")
    with checks.that(_REPLAYED):
        require(first == second, "two runs differ")
    return checks.report()


def check_refiner(
    refiner: Refiner,
    *,
    group: Group = _GROUP,
    objectives: Sequence[Objective] = _OBJECTIVES,
    reply: Reply = canned_reply,
) -> Report:
    """Checks a refiner: one response with its token ids, or None."""
    checks = Checks(refiner)
    group = replace(group, refined=None)
    with checks.that("refine runs to its end"):
        first = trace(refiner.refine(group, objectives), reply)
        second = trace(refiner.refine(group, objectives), reply)
    if not checks.fine:
        return checks.report()
    with checks.that("it returns a Response or None"):
        require(
            first.value is None or isinstance(first.value, Response), f"returned {first.value!r}"
        )
    with checks.that("the response keeps the token ids that the model produced"):
        require(first.value is None or bool(first.value.token_ids), "it has none")
    with checks.that(_REPLAYED):
        require(first == second, "two runs differ")
    return checks.report()


def check_denoiser(
    denoiser: Denoiser, *, group: Group = _GROUP, objectives: Sequence[Objective] = _OBJECTIVES
) -> Report:
    """Checks a denoiser: a verdict under a stable code that does not depend on row order."""
    checks = Checks(denoiser)
    with checks.that("verdict returns a Verdict"):
        first = denoiser.verdict(group, objectives)
        require(isinstance(first, Verdict), f"returned {first!r}")
        second = denoiser.verdict(group, objectives)
        turned = denoiser.verdict(_turned(group), objectives)
    if not checks.fine:
        return checks.report()
    with checks.that("the reason is a code: lower case, digits, underscores"):
        require(_is_code(first.reason), f"it is {first.reason!r}")
    with checks.that("it drops responses of this group only"):
        strangers = sorted(set(first.drop) - {scored.id for scored in group})
        require(not strangers, f"not in the group: {strangers}")
    with checks.that("it works without a refined response"):
        denoiser.verdict(replace(group, refined=None), objectives)
    with checks.that("the same group gives the same verdict"):
        require(first == second, f"{first} and {second}")
    with checks.that("the order of the samples does not matter"):
        same = (first.keep, first.reason, set(first.drop))
        other = (turned.keep, turned.reason, set(turned.drop))
        require(same == other, f"{same} and {other}")
    return checks.report()


def check_pair_builder(
    builder: PairBuilder, *, group: Group = _GROUP, objectives: Sequence[Objective] = _OBJECTIVES
) -> Report:
    """Checks a pair builder: pairs of this group, none twice, with the scores of the group."""
    checks = Checks(builder)
    with checks.that("pairs returns PreferencePair values"):
        first = list(builder.pairs(group, objectives))
        for pair in first:
            require(isinstance(pair, PreferencePair), f"{pair!r} is none")
        second = list(builder.pairs(group, objectives))
        turned = list(builder.pairs(_turned(group), objectives))
    if not checks.fine:
        return checks.report()
    known = {scored.id: scored for scored in group}
    with checks.that("both responses are in the group, and differ"):
        for pair in first:
            require({pair.chosen, pair.rejected} <= set(known), f"{pair} names a stranger")
            require(pair.chosen != pair.rejected, f"{pair.chosen} is preferred to itself")
            require(pair.prompt_id == group.prompt.id, f"{pair} is of another prompt")
    with checks.that("no two responses are paired twice"):
        couples = [frozenset((pair.chosen, pair.rejected)) for pair in first]
        doubles = {tuple(sorted(each)) for each in couples if couples.count(each) > 1}
        require(not doubles, f"{sorted(doubles)}")
    with checks.that("scores, margin and gap are those of the group"):
        for pair in first:
            _check_scores(pair, known, objectives)
    with checks.that("the same group gives the same pairs"):
        require(first == second, "two runs differ")
    with checks.that("the order of the samples does not matter"):
        same, other = ({(p.chosen, p.rejected) for p in each} for each in (first, turned))
        require(same == other, f"{sorted(same ^ other)} are in one of them only")
    return checks.report()


def _turned(group: Group) -> Group:
    return replace(group, samples=tuple(reversed(group.samples)))


def _form(request: Request) -> tuple[str, tuple[str, ...]]:
    """What of a request decides whether a backend can answer it: prefill and labels."""
    labels = request.labels if isinstance(request, LabelRequest) else ()
    return request.prefill, labels


def _is_code(text: str | None) -> bool:
    return text is not None and _CODE.match(text) is not None


def _check_scores(
    pair: PreferencePair, known: Mapping[str, Scored], objectives: Sequence[Objective]
) -> None:
    chosen, rejected = (known[each].vector(objectives) for each in (pair.chosen, pair.rejected))
    require(tuple(pair.chosen_scores) == chosen, f"chosen_scores of {pair} are not {chosen}")
    found = tuple(pair.rejected_scores)
    require(found == rejected, f"rejected_scores of {pair} are not {rejected}")
    margin = math.fsum(abs(a - b) for a, b in zip(chosen, rejected, strict=True))
    gap = abs(math.fsum(chosen) - math.fsum(rejected))
    require(math.isclose(pair.margin, margin, abs_tol=1e-9), f"margin of {pair} is not {margin:g}")
    require(math.isclose(pair.gap, gap, abs_tol=1e-9), f"gap of {pair} is not {gap:g}")
