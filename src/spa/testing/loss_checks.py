"""Checks whether a loss keeps its contract: shapes, gradients, and no dependence on batching."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spa.api import Loss, PairBatch, PairLosses
from spa.testing.report import Checks, Report, require
from spa.testing.samples import make_pair_batch

if TYPE_CHECKING:
    import torch

__all__ = ["check_loss"]

_RESPONSES = 3
_TOLERANCE = 1e-5
_VERY_UNLIKELY = -1e4


def check_loss(loss: Loss, *, seed: int = 0) -> Report:
    """Checks a loss on random batches.

    One loss a pair, finite; gradients reach the log-probabilities; padding, the order of pairs
    and responses, and the other groups of the batch change nothing. Scores are between 0 and 9,
    for losses that compare them with a threshold.
    """
    import torch

    checks = Checks(loss)
    with checks.that("needs_reference, and needs_collision if it has it, are true or false"):
        for name, needs in (
            ("needs_reference", loss.needs_reference),
            ("needs_collision", getattr(loss, "needs_collision", False)),
        ):
            require(isinstance(needs, bool), f"{name} is {needs!r}")
    batch = make_pair_batch(responses=_RESPONSES, seed=seed)
    if not loss.needs_reference:
        batch = replace(batch, reference_logprobs=None)
    if not getattr(loss, "needs_collision", False):
        batch = replace(batch, collision_logprobs=None)
    pairs = len(batch.chosen)
    with checks.that("it returns PairLosses"):
        found = loss(batch)
        require(isinstance(found, PairLosses), f"returned {type(found).__name__}")
    if not checks.fine:
        return checks.report()
    with checks.that("losses are (P,), finite and floating point"):
        _check_losses(found.losses, pairs)
    with checks.that("metrics are (P,) and finite"):
        for name, values in found.metrics.items():
            require(tuple(values.shape) == (pairs,), f"{name} is {tuple(values.shape)}")
            require(bool(torch.isfinite(values).all()), f"{name} is not finite")
    with checks.that("metrics carry no gradient"):
        carriers = [name for name, values in found.metrics.items() if values.requires_grad]
        require(not carriers, f"{', '.join(carriers)} do. Use detach()")
    with checks.that("gradients reach the log-probabilities, and are finite"):
        (gradient_RT,) = torch.autograd.grad(found.losses.sum(), batch.logprobs)
        require(bool(torch.isfinite(gradient_RT).all()), "some are not finite")
        require(bool((gradient_RT != 0).any()), "all are 0")
        require(not bool((gradient_RT * (1 - batch.mask) != 0).any()), "padding has some")
    with checks.that("more padding changes nothing"):
        _check_same(loss(_padded(batch)).losses, found.losses)
    with checks.that("the order of the pairs does not matter"):
        order_P = torch.arange(pairs - 1, -1, -1)
        _check_same(loss(_with_pairs(batch, order_P)).losses, found.losses[order_P])
    with checks.that("the order of the responses does not matter"):
        _check_same(loss(_responses_turned(batch)).losses, found.losses)
    with checks.that("the other groups of a micro-batch do not matter"):
        first = _first_group(batch)
        _check_same(loss(first).losses, found.losses[: len(first.chosen)])
    with checks.that("very unlikely responses give finite losses"):
        unlikely_RT = batch.logprobs.detach().clone()
        unlikely_RT[:, 0] = _VERY_UNLIKELY * torch.arange(len(unlikely_RT)) / len(unlikely_RT)
        _check_losses(loss(replace(batch, logprobs=unlikely_RT.requires_grad_())).losses, pairs)
    with checks.that("gaps that are all 0 give finite losses"):
        zero_P = torch.zeros_like(batch.gap_sum)
        level = replace(batch, gap_sum=zero_P, gap_l1=zero_P, mean_gap_sum=0.0, mean_gap_l1=0.0)
        _check_losses(loss(level).losses, pairs)
    return checks.report()


def _check_losses(losses_P: torch.Tensor, pairs: int) -> None:
    require(tuple(losses_P.shape) == (pairs,), f"shape {tuple(losses_P.shape)}, not ({pairs},)")
    require(losses_P.is_floating_point(), f"they are {losses_P.dtype}")
    require(bool(losses_P.isfinite().all()), f"they are {losses_P.tolist()}")


def _check_same(found_P: torch.Tensor, expected_P: torch.Tensor) -> None:
    require(found_P.shape == expected_P.shape, f"shape {tuple(found_P.shape)}")
    difference_P = (found_P - expected_P).abs() / expected_P.abs().clamp(min=1)
    difference = float(difference_P.max().detach())
    require(difference <= _TOLERANCE, f"losses differ by {difference:.2g}")


def _padded(batch: PairBatch) -> PairBatch:
    from torch.nn.functional import pad

    reference_RT, collision_RT = batch.reference_logprobs, batch.collision_logprobs
    return replace(
        batch,
        logprobs=pad(batch.logprobs, (0, 2)),
        mask=pad(batch.mask, (0, 2)),
        reference_logprobs=None if reference_RT is None else pad(reference_RT, (0, 2)),
        collision_logprobs=None if collision_RT is None else pad(collision_RT, (0, 2)),
    )


def _with_pairs(batch: PairBatch, order_P: torch.Tensor) -> PairBatch:
    return replace(
        batch,
        chosen=batch.chosen[order_P],
        rejected=batch.rejected[order_P],
        gap_sum=batch.gap_sum[order_P],
        gap_l1=batch.gap_l1[order_P],
    )


def _with_responses(batch: PairBatch, order_R: torch.Tensor) -> PairBatch:
    reference_RT, collision_RT = batch.reference_logprobs, batch.collision_logprobs
    return replace(
        batch,
        logprobs=batch.logprobs[order_R],
        mask=batch.mask[order_R],
        scores=batch.scores[order_R],
        reference_logprobs=None if reference_RT is None else reference_RT[order_R],
        collision_logprobs=None if collision_RT is None else collision_RT[order_R],
    )


def _responses_turned(batch: PairBatch) -> PairBatch:
    last = len(batch.logprobs) - 1
    turned = _with_responses(batch, (last - batch.chosen.new_tensor(range(last + 1))))
    return replace(turned, chosen=last - batch.chosen, rejected=last - batch.rejected)


def _first_group(batch: PairBatch) -> PairBatch:
    """The first group alone; the mean gaps stay those of the optimizer batch."""
    pairs = _RESPONSES * (_RESPONSES - 1) // 2
    rows_R = batch.chosen.new_tensor(range(_RESPONSES))
    kept_P = batch.chosen.new_tensor(range(pairs))
    return _with_pairs(_with_responses(batch, rows_R), kept_P)
