"""How well scores tell better answers from worse ones: AUC, ties, correlation with length.

Pure functions on labelled scores; the figures of a judge check. An AUC is the probability that a
better answer scores above a worse one, a tie counting half: the Mann-Whitney U statistic divided by
the number of comparisons. 0.5 is chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, product
from typing import TYPE_CHECKING, NamedTuple

from spa.statistics import MeanInterval, mean_interval, statistic_interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["TIE_DIGITS", "Answer", "auc_across", "auc_within", "length_correlation", "tie_share"]

TIE_DIGITS = 6
"""Scores that agree to so many decimals are a tie: batches of other sizes round otherwise."""

_FEWEST = 3  # two points always lie on a line


class Answer(NamedTuple):
    """A labelled answer with what the judge made of it.

    Attributes:
        prompt_id: The prompt that it answers.
        objective: The objective that the label is about.
        label: 1 for a better answer, 0 for a worse one.
        length: Characters of the answer.
        score: None if unscored.
        label_mass: Mean mass of the labels that the judge could give; None if it does not say.
    """

    prompt_id: str
    objective: str
    label: int
    length: int
    score: float | None
    label_mass: float | None = None


def auc_within(answers: Iterable[Answer]) -> tuple[int, MeanInterval]:
    """Mean over prompts of the AUC among the answers to one prompt.

    It is what preference pairs rest on: answers are only ever compared with others to their prompt.

    Returns:
        The number of prompts with a scored answer of either label, and the mean with its interval,
        a bootstrap over these prompts.
    """
    of_prompt: dict[str, list[float]] = {}
    for prompt_id, better, worse in _compared(answers):
        of_prompt.setdefault(prompt_id, []).append(_auc(better, worse))
    means = [sum(values) / len(values) for values in of_prompt.values()]
    return len(means), mean_interval(means)


def auc_across(answers: Iterable[Answer]) -> tuple[int, MeanInterval]:
    """AUC among all answers together, whatever their prompts.

    It also asks that scores of different prompts are comparable, as means over prompts need.

    Returns:
        The number of prompts with a scored answer, and the AUC with its interval, a bootstrap over
        these prompts; None where one label is missing.
    """
    import numpy as np

    of_prompt: dict[str, tuple[list[float], list[float]]] = {}
    for prompt_id, label, score in _scored(answers):
        of_prompt.setdefault(prompt_id, ([], []))[label].append(score)
    worse, better = ([sides[label] for sides in of_prompt.values()] for label in (0, 1))
    all_better, all_worse = [*chain(*better)], [*chain(*worse)]
    if not all_better or not all_worse:
        return len(of_prompt), MeanInterval(None, None, None)
    # U of each prompt's better answers and each prompt's worse ones: what is drawn is prompts.
    won_PP = np.array([[_wins(b, w) for w in worse] for b in better])
    better_P, worse_P = np.array([*map(len, better)]), np.array([*map(len, worse)])

    def of_counts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        compared = (counts @ better_P) * (counts @ worse_P)
        won = ((counts @ won_PP) * counts).sum(-1)
        found = np.full(len(counts), np.nan)
        np.divide(won, compared, out=found, where=compared > 0)
        return found

    low, high = statistic_interval(of_counts, len(of_prompt)) or (None, None)
    return len(of_prompt), MeanInterval(_auc(all_better, all_worse), low, high)


def tie_share(answers: Iterable[Answer]) -> float | None:
    """Share of the comparisons within prompts that tie; None without a comparison."""
    ties = [b == w for _, better, worse in _compared(answers) for b in better for w in worse]
    return sum(ties) / len(ties) if ties else None


def length_correlation(answers: Iterable[Answer]) -> float | None:
    """Spearman's rank correlation of score and length; None for constants and under 3 answers."""
    from scipy import stats

    pairs = [(each.score, each.length) for each in answers if each.score is not None]
    scores, lengths = [score for score, _ in pairs], [length for _, length in pairs]
    if len(pairs) < _FEWEST or len(set(scores)) < 2 or len(set(lengths)) < 2:
        return None
    return float(stats.spearmanr(scores, lengths).statistic)


def _auc(better: Sequence[float], worse: Sequence[float]) -> float:
    from scipy import stats

    found = stats.mannwhitneyu(better, worse, method="asymptotic").statistic
    return float(found) / (len(better) * len(worse))


def _wins(better: Sequence[float], worse: Sequence[float]) -> float:
    """The U statistic of a few answers, where thousands of them are needed."""
    return sum((b > w) + (b == w) / 2 for b, w in product(better, worse))


def _scored(answers: Iterable[Answer]) -> list[tuple[str, int, float]]:
    return [
        (each.prompt_id, each.label, round(each.score, TIE_DIGITS))
        for each in answers
        if each.score is not None
    ]


def _compared(answers: Iterable[Answer]) -> list[tuple[str, list[float], list[float]]]:
    """Prompt, scores of better and of worse answers, for each prompt and objective with both."""
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for each in answers:
        for prompt_id, label, score in _scored([each]):
            found.setdefault((prompt_id, each.objective), ([], []))[label].append(score)
    return [(key[0], better, worse) for key, (worse, better) in found.items() if better and worse]
