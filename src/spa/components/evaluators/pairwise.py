"""Which of two models' answers the judge prefers, asked in both orders.

Stands at the end of the flow: every trained model is compared with the first, untrained one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spa.api import (
    Asks,
    EvaluationItem,
    JsonValue,
    LabelRequest,
    LabelResult,
    Message,
    Metric,
    Objective,
    Prompt,
    Request,
    RequestError,
    label_all,
)
from spa.components.evaluators.configs import PairwiseConfig
from spa.components.evaluators.metrics import (
    Row,
    Series,
    mean_metric,
    models_of,
    number,
    share_metric,
)
from spa.components.text import fill, transcript

__all__ = ["PairwiseEvaluator"]

_ORDERS = 2


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One answer of the untrained model (``earlier``) and one of a later model, on one criterion.

    ``counts`` is where its outcome goes: the prefix of the row's keys.
    """

    counts: str
    criteria: str
    earlier: str
    later: str


class PairwiseEvaluator:
    """Win, tie and lose rates of each model against the first.

    A comparison is asked twice, with the answers in both orders. Both for one answer: it wins.
    Orders that disagree, or an order in which both labels are as likely: a tie. Equal texts are a
    tie that is not asked. Too little probability on the labels in either order: unscored.

    Metrics of each later model, over prompts: ``win_rate``, ``tie_rate``, ``lose_rate``,
    ``flip_rate`` (orders that named different answers, of the comparisons that were asked) and,
    as ``"round-1 - base"``, ``length_difference`` in characters. With `per_objective` the first
    four are prefixed: ``"harmlessness:win_rate"``.
    """

    def __init__(self, config: PairwiseConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def will_ask(self) -> Sequence[Request]:
        """One request as all others will be, but for the answers that are compared."""
        return [self._request(self._config.template)]

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Asks[Mapping[str, JsonValue]]:
        """Returns, per later model and criterion, how many comparisons ended in which way.

        A comparison that could not be asked counts as unscored, and its reason is kept.
        """
        row: dict[str, JsonValue] = {"prompt_id": item.prompt.id, "models": list(item.answers)}
        row |= _lengths(item)
        comparisons = self._comparisons(item, objectives)
        for comparison in comparisons:
            for outcome in ("wins", "ties", "losses", "flips", "identical", "unscored"):
                row[f"{comparison.counts}{outcome}"] = 0
        asked = [c for c in comparisons if c.earlier != c.later]
        try:
            results = (yield from label_all(self._requests(item.prompt, asked))) if asked else []
        except RequestError as error:
            row["failure"] = error.failure.reason
            outcomes = [("unscored", False)] * len(asked)
        else:
            outcomes = [
                self._outcome(results[at], results[at + 1])
                for at in range(0, _ORDERS * len(asked), _ORDERS)
            ]
        for comparison, (outcome, flipped) in zip(asked, outcomes, strict=True):
            _count(row, comparison, outcome)
            if flipped:
                _count(row, comparison, "flips")
        for comparison in comparisons:
            if comparison.earlier == comparison.later:
                _count(row, comparison, "ties")
                _count(row, comparison, "identical")
        return row

    def summary(self, rows: Sequence[Row], objectives: Sequence[Objective]) -> Sequence[Metric]:
        """Returns the rates of every later model, each over the prompts that have one."""
        models = models_of(rows)
        metrics: list[Metric] = []
        for model in models[1:]:
            for prefix, _ in self._criteria(objectives):
                counted = [_rates(row, f"{model}:{prefix}") for row in rows]
                asked = [rates for rates in counted if not rates or "flip_rate" in rates]
                for name in ("win_rate", "tie_rate", "lose_rate", "flip_rate"):
                    among = asked if name == "flip_rate" else counted
                    series: Series = [rates.get(name) for rates in among]
                    metrics.append(share_metric(f"{prefix}{name}", model, series, self._config))
            series = [number(row, f"{model}:length_difference") for row in rows]
            against = f"{model} - {models[0]}"
            metrics.append(mean_metric("length_difference", against, series, self._config))
        return metrics

    def _criteria(self, objectives: Sequence[Objective]) -> list[tuple[str, str]]:
        """Prefix of the metrics and text for the judge, one a question."""
        texts = [f"{o.name}: {o.definition.strip()}" for o in objectives]
        if self._config.per_objective:
            return [(f"{o.name}:", text) for o, text in zip(objectives, texts, strict=True)]
        return [("", "\n".join(f"{place}. {text}" for place, text in enumerate(texts, 1)))]

    def _comparisons(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> list[_Comparison]:
        first, *later_models = item.answers
        return [
            _Comparison(f"{model}:{prefix}", criteria, earlier.response.text, later.response.text)
            for model in later_models
            for prefix, criteria in self._criteria(objectives)
            for earlier, later in zip(item.answers[first], item.answers[model], strict=False)
        ]

    def _requests(self, prompt: Prompt, asked: Sequence[_Comparison]) -> list[LabelRequest]:
        """Two for each comparison: the earlier model's answer first, then the later model's."""
        orders = [
            (c.criteria, *pair)
            for c in asked
            for pair in ((c.earlier, c.later), (c.later, c.earlier))
        ]
        return [self._request(self._question(prompt, *order)) for order in orders]

    def _request(self, question: str) -> LabelRequest:
        return LabelRequest(
            messages=(Message("user", question),),
            labels=self._config.labels,
            prefill=self._config.prefill,
        )

    def _question(self, prompt: Prompt, criteria: str, answer_1: str, answer_2: str) -> str:
        values = {
            "criteria": criteria,
            "prompt": transcript(prompt.messages),
            "answer_1": answer_1,
            "answer_2": answer_2,
            "label_1": self._config.labels[0],
            "label_2": self._config.labels[1],
        }
        return fill(self._config.template, values)

    def _outcome(self, earlier_first: LabelResult, later_first: LabelResult) -> tuple[str, bool]:
        """Outcome for the later model, and whether the two orders named different answers."""
        if min(earlier_first.mass, later_first.mass) < self._config.min_label_mass:
            return "unscored", False
        votes = (-_side(earlier_first), _side(later_first))
        if votes == (1, 1):
            return "wins", False
        if votes == (-1, -1):
            return "losses", False
        return "ties", votes[0] == -votes[1] != 0


def _side(result: LabelResult) -> int:
    """1 if the answer shown first is the likelier, -1 if the second is, 0 if neither."""
    first, second = result.logprobs
    return (first > second) - (first < second)


def _count(row: dict[str, JsonValue], comparison: _Comparison, outcome: str) -> None:
    key = f"{comparison.counts}{outcome}"
    row[key] = int(number(row, key) or 0) + 1


def _rates(row: Row, counts: str) -> dict[str, float]:
    """The rates of one prompt: none where nothing was scored, no flip rate if none was asked."""
    found = {name: number(row, f"{counts}{name}") or 0.0 for name in ("wins", "ties", "losses")}
    scored = sum(found.values())
    if not scored:
        return {}
    rates = {
        "win_rate": found["wins"] / scored,
        "tie_rate": found["ties"] / scored,
        "lose_rate": found["losses"] / scored,
    }
    asked = scored - (number(row, f"{counts}identical") or 0.0)
    if asked:
        rates["flip_rate"] = (number(row, f"{counts}flips") or 0.0) / asked
    return rates


def _lengths(item: EvaluationItem) -> dict[str, JsonValue]:
    """Mean length in characters of a later model's answers, less that of the first model's."""
    means = {
        model: sum(len(answer.response.text) for answer in answers) / len(answers)
        for model, answers in item.answers.items()
        if answers
    }
    first, *later = item.answers
    return {
        f"{model}:length_difference": means[model] - means[first]
        for model in later
        if model in means and first in means
    }
