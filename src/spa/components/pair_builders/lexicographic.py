"""Pairs by strict priority: a later objective decides only where the earlier ones tie.

Stands after denoising: takes a scored group, gives the `PreferencePair` values to train on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from spa.api import (
    Group,
    Objective,
    PreferencePair,
    Scored,
    lexicographic_key,
    score_gap,
    score_margin,
)
from spa.components.pair_builders.configs import LexicographicConfig

__all__ = ["LexicographicPairBuilder"]

_ROUNDING = 1e-9
"""A margin met up to rounding is met: 0.3 - 0.1 is 0.2, but a little less in floats."""


class LexicographicPairBuilder:
    """Takes every pair whose scores differ by at least the margin and do not tie.

    Step 5 of SPA (arXiv 2511.06222): (y, y-) is a pair when the score vector of y is
    lexicographically greater and ``sum_k |s_k(y) - s_k(y-)| >= margin``. Thresholds and tie
    tolerance change the order only; margin and gap are of the scores as judged.

    Responses with the same text and token ids are one response, whatever the judge made of each:
    only the first is paired, samples before the refined response. So a copy doubles no pair, and
    nothing is preferred to itself.
    """

    def __init__(self, config: LexicographicConfig) -> None:
        """Keeps the settings."""
        self._config = config

    def pairs(self, group: Group, objectives: Sequence[Objective]) -> Sequence[PreferencePair]:
        """Returns the pairs, sorted by the ids of chosen and rejected; none twice."""
        found = (self._pair(group, left, right, objectives) for left, right in self._couples(group))
        return sorted(
            (pair for pair in found if pair is not None),
            key=lambda pair: (pair.chosen, pair.rejected),
        )

    def _couples(self, group: Group) -> Iterator[tuple[Scored, Scored]]:
        first = _firsts(group)
        distinct = [scored for scored in group if first[_content(scored)] is scored]
        if self._config.sources == "all":
            yield from combinations(distinct, 2)
        elif group.refined is not None:
            refined = first[_content(group.refined)]  # a copied sample stands for its copy
            for scored in distinct:
                if scored is not refined:
                    yield refined, scored

    def _pair(
        self, group: Group, left: Scored, right: Scored, objectives: Sequence[Objective]
    ) -> PreferencePair | None:
        chosen, rejected = left, right
        chosen_key, rejected_key = (self._key(scored, objectives) for scored in (left, right))
        if chosen_key == rejected_key:
            return None
        if chosen_key < rejected_key:
            chosen, rejected = right, left
        chosen_scores, rejected_scores = chosen.vector(objectives), rejected.vector(objectives)
        margin = score_margin(chosen_scores, rejected_scores)
        if margin < self._config.margin and not math.isclose(
            margin, self._config.margin, rel_tol=_ROUNDING
        ):
            return None
        return PreferencePair(
            prompt_id=group.prompt.id,
            chosen=chosen.id,
            rejected=rejected.id,
            chosen_scores=chosen_scores,
            rejected_scores=rejected_scores,
            margin=margin,
            gap=score_gap(chosen_scores, rejected_scores),
        )

    def _key(self, scored: Scored, objectives: Sequence[Objective]) -> tuple[float, ...]:
        return lexicographic_key(
            scored.vector(objectives), objectives, tie_tolerance=self._config.tie_tolerance
        )


def _content(scored: Scored) -> tuple[str, tuple[int, ...]]:
    return scored.response.text, scored.response.token_ids


def _firsts(group: Group) -> dict[tuple[str, tuple[int, ...]], Scored]:
    """What stands for each content: its first sample, in whatever order the group holds them."""
    ranked = sorted(group.samples, key=lambda scored: (scored.response.index, scored.id))
    first: dict[tuple[str, tuple[int, ...]], Scored] = {}
    for scored in (*ranked, *(() if group.refined is None else (group.refined,))):
        first.setdefault(_content(scored), scored)
    return first
