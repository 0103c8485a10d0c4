"""Builds the values that components are given, from as little as a test needs to say."""

from __future__ import annotations

from collections.abc import Sequence

from spa.api import (
    Group,
    Message,
    Objective,
    Origin,
    PairBatch,
    Prompt,
    Response,
    Score,
    Scored,
)

__all__ = [
    "make_group",
    "make_objectives",
    "make_pair_batch",
    "make_prompt",
    "make_response",
    "make_scored",
]


def make_objectives(
    *names: str,
    minimum: float | None = None,
    maximum: float | None = None,
    threshold: float | None = None,
) -> tuple[Objective, ...]:
    """Objectives in order of priority; harmlessness and helpfulness if none is named."""
    return tuple(
        Objective(name, f"The response shows {name}.", threshold, minimum, maximum)
        for name in names or ("harmlessness", "helpfulness")
    )


def make_prompt(text: str = "How do I treat a burn?", *, id: str = "p0") -> Prompt:
    """A prompt of one user turn."""
    return Prompt(id, (Message("user", text),))


def make_response(
    text: str = "Cool it under water.",
    *,
    id: str = "p0/s0",
    prompt_id: str = "p0",
    origin: Origin = "sample",
    index: int = 0,
) -> Response:
    """A response that ended by itself, with one token a character and the end token 0."""
    return Response(
        text, (*map(ord, text), 0), id=id, prompt_id=prompt_id, origin=origin, index=index
    )


def make_scored(
    response: Response, scores: Sequence[float | None], objectives: Sequence[Objective]
) -> Scored:
    """A response with its scores in the order of the objectives; None is unscored."""
    return Scored(
        response,
        {
            objective.name: Score(value, None if value is not None else "unparsable")
            for objective, value in zip(objectives, scores, strict=True)
        },
    )


def make_group(
    samples: Sequence[Sequence[float | None]],
    refined: Sequence[float | None] | None = None,
    *,
    objectives: Sequence[Objective] | None = None,
    prompt: Prompt | None = None,
) -> Group:
    """A scored group.

    Args:
        samples: The scores of each sample, in the order of the objectives.
        refined: Those of the refined response; None where there is none.
        objectives: By default named ``objective-0``, ``objective-1``, ...
        prompt: By default `make_prompt`.
    """
    prompt = prompt or make_prompt()
    width = len(samples[0]) if samples else len(refined or ())
    objectives = objectives or make_objectives(*(f"objective-{k}" for k in range(width)))
    scored = tuple(
        make_scored(_response(prompt, f"Sample {i}.", f"s{i}", "sample", i), scores, objectives)
        for i, scores in enumerate(samples)
    )
    if refined is None:
        return Group(prompt, scored)
    better = _response(prompt, "Refined.", "r", "refined", 0)
    return Group(prompt, scored, make_scored(better, refined, objectives))


def _response(prompt: Prompt, text: str, place: str, origin: Origin, index: int) -> Response:
    return make_response(
        text, id=f"{prompt.id}/{place}", prompt_id=prompt.id, origin=origin, index=index
    )


def make_pair_batch(
    *, groups: int = 2, responses: int = 3, tokens: int = 6, objectives: int = 2, seed: int = 0
) -> PairBatch:
    """A batch of random log-probabilities and scores, with all pairs of each group.

    Pairs are by the sum of the scores. Reference and collision log-probabilities are there, the
    latter such as a distribution with these ``logprobs`` can have; ``logprobs`` is a leaf that
    takes gradients.

    Args:
        groups: Prompt groups.
        responses: Unique responses a group, so R = groups x responses.
        tokens: T, the longest length; others are shorter.
        objectives: K.
        seed: Of everything random.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    rows = groups * responses
    lengths_R = torch.randint(1, tokens + 1, (rows,), generator=generator)
    lengths_R[0] = tokens
    mask_RT = (torch.arange(tokens) < lengths_R[:, None]).to(torch.float32)
    policy_RT, reference_RT = -3 * torch.rand((2, rows, tokens), generator=generator) * mask_RT
    scores_RK = 9 * torch.rand((rows, objectives), generator=generator)
    totals_R = scores_RK.sum(-1)
    pairs = [
        (first, second) if totals_R[first] > totals_R[second] else (second, first)
        for start in range(0, rows, responses)
        for first in range(start, start + responses)
        for second in range(first + 1, start + responses)
    ]
    chosen_P, rejected_P = torch.tensor(pairs).T
    # The token itself, and what is left on n others: p^2 + (1 - p)^2 / n, with 1/n at random.
    shared_RT = torch.rand((rows, tokens), generator=generator)
    taken_RT = policy_RT.exp()
    collision_RT = (taken_RT**2 + shared_RT * (1 - taken_RT) ** 2).log() * mask_RT
    gap_sum_P = (totals_R[chosen_P] - totals_R[rejected_P]).abs()
    gap_l1_P = (scores_RK[chosen_P] - scores_RK[rejected_P]).abs().sum(-1)
    return PairBatch(
        logprobs=policy_RT.clone().requires_grad_(),
        mask=mask_RT,
        chosen=chosen_P,
        rejected=rejected_P,
        scores=scores_RK,
        gap_sum=gap_sum_P,
        gap_l1=gap_l1_P,
        mean_gap_sum=float(gap_sum_P.mean()),
        mean_gap_l1=float(gap_l1_P.mean()),
        reference_logprobs=reference_RT,
        collision_logprobs=collision_RT,
    )
