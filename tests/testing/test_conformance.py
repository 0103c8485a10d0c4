# ruff: noqa: E501 - messages are quoted in full
"""Each check is shown to hold for a sound component and to fail for one with that very fault."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from spa.api import (
    Component,
    Group,
    LabelRequest,
    Message,
    Objective,
    PairBatch,
    PairLosses,
    PreferencePair,
    Response,
    Score,
    Verdict,
    label,
)
from spa.plugins.catalogue import build_catalogue
from spa.testing import (
    Report,
    check_combiner,
    check_component,
    check_denoiser,
    check_generator,
    check_judge,
    check_loss,
    check_pair_builder,
    check_refiner,
    make_pair_batch,
)

BUILTIN = build_catalogue("none")
CHECKS: Mapping[str, Any] = {
    "generator": check_generator,
    "judge": check_judge,
    "refiner": check_refiner,
    "denoiser": check_denoiser,
    "pair_builder": check_pair_builder,
    "loss": check_loss,
}
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "ensemble": {"members": ({}, {})},
    "reward-soup": {"weights": (6, 4)},
    "safedpo": {"threshold": 4.5},
}
ROUNDS = itertools.count()


def failed(report: Report) -> list[str]:
    return [check.name for check in report.failures]


@pytest.mark.parametrize(
    "registered",
    [each for kind in CHECKS for each in BUILTIN.components(kind)],
    ids=lambda each: each.qualified,
)
def test_the_built_in_components_keep_their_contracts(registered: Any) -> None:
    config = registered.load_config_class()(**REQUIRED.get(registered.name, {}))
    component = registered.load_class()(config)
    check = check_combiner if hasattr(component, "combine") else CHECKS[registered.kind]
    check(component).raise_if_failed()
    check_component(registered.kind, registered.component).raise_if_failed()


class Judge:
    scale = (0.0, 1.0)

    def score(self, prompt: Any, response: Any, objectives: Sequence[Objective]) -> Any:
        return {o.name: Score(0.5) for o in objectives}


class Forgetful(Judge):
    def score(self, prompt: Any, response: Any, objectives: Sequence[Objective]) -> Any:
        return {objectives[0].name: Score(0.5)}


class Unbounded(Judge):
    def score(self, prompt: Any, response: Any, objectives: Sequence[Objective]) -> Any:
        return {o.name: Score(7.0) for o in objectives}


class Loud:
    """A combiner that sums, leaves its scale and gives no reasons."""

    def combined_scale(self, scales: Any) -> Any:
        return scales[0]

    def combine(self, scores: Any, scales: Any, objectives: Sequence[Objective]) -> Any:
        del scales
        values = [[each[o.name].value for each in scores] for o in objectives]
        return {
            o.name: Score(None if None in given else sum(given) + 1)
            for o, given in zip(objectives, values, strict=True)
        }


def test_a_combiner_that_leaves_its_scale_or_gives_no_reason() -> None:
    assert failed(check_combiner(Loud())) == [
        "every objective has a score within the scale",
        "without a member's score it gives a value, or None with a reason",
    ]


class Silent(Judge):
    def score(self, prompt: Any, response: Any, objectives: Sequence[Objective]) -> Any:
        return {o.name: Score(None) for o in objectives}


class Fickle(Judge):
    scale = None  # type: ignore[assignment]

    def score(self, prompt: Any, response: Any, objectives: Sequence[Objective]) -> Any:
        return {o.name: Score(float(next(ROUNDS))) for o in objectives}


class Surprising(Judge):
    """Announces other labels than it asks for."""

    def will_ask(self) -> Any:
        return [LabelRequest((Message("user", "?"),), ("1", "2"), "Score: ")]

    def score(self, prompt: Any, response: Any, objectives: Sequence[Objective]) -> Any:
        yield from label(LabelRequest((Message("user", "?"),), ("A", "B"), "Score: "))
        return {o.name: Score(0.5) for o in objectives}


@pytest.mark.parametrize(
    ("judge", "names"),
    [
        (Judge(), []),
        (Forgetful(), ["every objective has a score, and nothing else has", "scores are named, whatever the order of the objectives"]),
        (Surprising(), ["will_ask has an example of every prefill and labels that it asks"]),
        (Unbounded(), ["scores are within the scale"]),
        (Silent(), ["a score is a finite value, or None with a reason"]),
        (Fickle(), ["the same answers give the same requests and value"]),
    ],
)  # fmt: skip
def test_faults_of_judges_are_found(judge: Any, names: list[str]) -> None:
    report = check_judge(judge)
    assert failed(report) == names
    assert len(report.checks) == 7 + hasattr(judge, "will_ask")


def test_a_judge_that_raises_stops_the_report() -> None:
    class Raising(Judge):
        def score(self, prompt: Any, response: Any, objectives: Any) -> Any:
            raise RuntimeError("no")

    report = check_judge(Raising())
    assert str(report) == (
        "Raising: 2 checks ran, 1 failed\n  score runs to its end: RuntimeError: no"
    )
    with pytest.raises(AssertionError, match="Raising: 2 checks ran, 1 failed"):
        report.raise_if_failed()


def test_faults_of_generators_and_refiners_are_found() -> None:
    class Empty:
        def sample(self, prompt: Any) -> list[Response]:
            return []

    class Textual:
        def sample(self, prompt: Any) -> list[Response]:
            return [Response("text alone")]

        def refine(self, group: Group, objectives: Any) -> Any:
            return Response(f"text alone {next(ROUNDS)}")

    tokens = "responses keep the token ids that the model produced"
    assert failed(check_generator(Empty())) == ["it returns one response or more"]
    assert failed(check_generator(Textual())) == [tokens]
    assert failed(check_refiner(Textual())) == [
        "the response keeps the token ids that the model produced",
        "the same answers give the same requests and value",
    ]


def test_faults_of_denoisers_are_found() -> None:
    class Odd:
        def verdict(self, group: Group, objectives: Any) -> Verdict:
            first = group.samples[0].scores["harmlessness"].value
            return Verdict(True, f"First is {first}", drop=("p9/s9",))

    assert failed(check_denoiser(Odd())) == [
        "the reason is a code: lower case, digits, underscores",
        "it drops responses of this group only",
        "the order of the samples does not matter",
    ]


def test_faults_of_pair_builders_are_found() -> None:
    class Odd:
        def pairs(self, group: Group, objectives: Any) -> list[PreferencePair]:
            first, second = (each.id for each in group.samples[:2])
            pair = PreferencePair(group.prompt.id, first, second, (0.0, 0.0), (1.0, 1.0), 2.0, 2.0)
            return [pair, replace(pair, chosen=second, rejected=first)]

    assert failed(check_pair_builder(Odd())) == [
        "no two responses are paired twice",
        "scores, margin and gap are those of the group",
        "the order of the samples does not matter",
    ]


class MeanLoss:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses((batch.averages[batch.rejected] - batch.averages[batch.chosen]).mean())


class DetachedLoss:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses(batch.gap_sum, {"total": batch.gap_sum.sum()})


class BatchLoss:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        margins = batch.averages[batch.chosen] - batch.averages[batch.rejected]
        return PairLosses(-margins * batch.gap_sum / batch.gap_sum.mean())


class PaddingLoss:
    needs_reference = False

    def __call__(self, batch: PairBatch) -> PairLosses:
        return PairLosses(-(batch.logprobs.mean(-1)[batch.chosen]))


@pytest.mark.parametrize(
    ("loss", "faults"),
    [
        (MeanLoss(), {"losses are (P,), finite and floating point"}),
        (
            DetachedLoss(),
            {
                "metrics are (P,) and finite",
                "gradients reach the log-probabilities, and are finite",
            },
        ),
        (
            BatchLoss(),
            {
                "the other groups of a micro-batch do not matter",
                "gaps that are all 0 give finite losses",
            },
        ),
        (PaddingLoss(), {"more padding changes nothing"}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_faults_of_losses_are_found(loss: Any, faults: set[str]) -> None:
    assert faults <= set(failed(check_loss(loss)))


@pytest.mark.parametrize("field", ["reference", "collision"])
def test_a_loss_gets_the_logprobs_that_it_needs_and_no_others(field: str) -> None:
    class Spy:
        needs_reference = False

        def __init__(self, needs: bool) -> None:
            setattr(self, f"needs_{field}", needs)
            self.seen: set[bool] = set()

        def __call__(self, batch: PairBatch) -> PairLosses:
            found = getattr(batch, f"{field}_logprobs")
            self.seen.add(found is not None)
            assert found is None or found.shape == batch.logprobs.shape
            return PairLosses(-batch.averages[batch.chosen])

    for needs in (True, False):
        spy = Spy(needs)
        check_loss(spy).raise_if_failed()
        assert spy.seen == {needs}


def test_a_loss_without_needs_collision_gets_none() -> None:
    seen: set[bool] = set()

    class Older:
        needs_reference = True

        def __call__(self, batch: PairBatch) -> PairLosses:
            seen.add(batch.collision_logprobs is not None)
            return PairLosses(-batch.averages[batch.chosen])

    check_loss(Older()).raise_if_failed()
    assert seen == {False}


@pytest.mark.parametrize("name", ["needs_reference", "needs_collision"])
def test_what_a_loss_needs_is_true_or_false(name: str) -> None:
    class Odd:
        needs_reference = False

        def __call__(self, batch: PairBatch) -> PairLosses:
            return PairLosses(-batch.averages[batch.chosen])

    odd = Odd()
    setattr(odd, name, "yes")
    (fault,) = check_loss(odd).failures
    assert fault.problem == f"{name} is 'yes'"


def test_the_collision_logprobs_of_a_made_batch_are_possible() -> None:
    """For any token, p^2 <= sum_v p(v)^2 <= p^2 + (1 - p)^2."""
    batch = make_pair_batch(seed=5)
    assert batch.collision_logprobs is not None
    tokens = batch.mask.bool()
    taken = batch.logprobs.detach()[tokens].double().exp()
    collision = batch.collision_logprobs[tokens].double().exp()
    assert bool((collision >= taken**2 - 1e-6).all())
    assert bool((collision <= taken**2 + (1 - taken) ** 2 + 1e-6).all())
    assert not batch.collision_logprobs[~tokens].any()
    assert not batch.collision_logprobs.requires_grad


def test_faults_of_records_are_found() -> None:
    record = Component(name="x", impl="no_such:X", config="torch:Tensor", summary="s", api=9)
    assert failed(check_component("judge", record)) == [
        "this spa supports its contract version",
        "its config is a frozen pydantic model that forbids unknown keys",
        "its config is imported without torch and transformers",
        "its class has the methods of its kind",
    ]
    assert failed(check_component("judge", replace(record, name="X"))) == [
        "the record is well formed"
    ]
