"""Reads the probability of labels from the list of likeliest tokens.

A server lists no more than ``top_logprobs`` tokens. A label that is not listed is no likelier than
the last one listed, so what all missing labels can have together is bounded; with little to miss
they count as 0, else the row is set aside: never a guess, never another method without a word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from spa.api import LabelResult, RequestFailure
from spa_openai.wire import Place

__all__ = ["label_result", "missing_bound"]


def label_result(
    labels: Sequence[str], place: Place, max_missing_mass: float, prompt_tokens: int
) -> LabelResult | RequestFailure:
    """The log-probability of each label at a place with a list of likeliest tokens.

    A token is a label if its text is the label's, or else if it is without white space around
    both; what several tokens of one label have is added up.

    Args:
        labels: Those asked for.
        place: Where the label was to come, with its likeliest tokens, at least one.
        max_missing_mass: What labels that are not listed may have together to count as 0.
        prompt_tokens: For the result.

    Returns:
        The log-probabilities, ``-inf`` for what counts as 0; or ``labels_not_covered``.
    """
    bare = [label.strip() for label in labels]
    found: list[list[float]] = [[] for _ in labels]
    for token in place.top_logprobs:
        text = token.token.strip()
        if token.token in labels:
            found[labels.index(token.token)].append(token.logprob)
        elif bare.count(text) == 1:
            found[bare.index(text)].append(token.logprob)
    missing = [label for label, logprobs in zip(labels, found, strict=True) if not logprobs]
    bound = missing_bound(place, len(missing))
    if bound > max_missing_mass:
        return RequestFailure("labels_not_covered", _not_covered(missing, place, bound))
    masses = [math.fsum(math.exp(logprob) for logprob in logprobs) for logprobs in found]
    return LabelResult(
        logprobs=tuple(math.log(mass) if mass > 0 else -math.inf for mass in masses),
        mass=min(1.0, math.fsum(masses)),
        prompt_tokens=prompt_tokens,
    )


def missing_bound(place: Place, missing: int) -> float:
    """The most probability that so many tokens which are not listed can have together.

    Each has at most that of the last one listed, and all no more than what the list leaves. The
    token that was drawn does not count as the last one: servers list it wherever it ranks.
    """
    if not missing:
        return 0.0
    listed = sorted(place.top_logprobs, key=lambda token: token.logprob)
    if len(listed) > 1 and listed[0].token == place.token:
        smallest = listed[1].logprob
    else:
        smallest = listed[0].logprob
    rest = 1.0 - math.fsum(math.exp(token.logprob) for token in listed)
    return max(0.0, min(missing * math.exp(smallest), rest))


def _not_covered(missing: Sequence[str], place: Place, bound: float) -> str:
    names = ", ".join(repr(label) for label in missing)
    return (
        f"{names} not among the {len(place.top_logprobs)} likeliest tokens that the server listed, "
        f"and could have up to {bound:.3g} of the probability. Use fewer labels, raise "
        "top_logprobs if the server allows it, or raise max_missing_mass."
    )
