"""Forward and backward of one micro-batch: what turns pairs into gradients.

A loss is first differentiated with respect to the log-probabilities that it is given; the backward
pass through the model carries that gradient on. So a loss holds no activations, and a group that
is too large for one pass is carried through piece by piece, with the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spa.contracts import PairLosses
from spa.errors import RunError
from spa.training.assembly import pair_batch
from spa.training.batching import OptimizerBatch
from spa.training.encoding import EncodedGroup
from spa.training.forward import ResponseLogprobs
from spa.training.layout import Part
from spa.training.metrics import Figures, pair_figures
from spa.training.micro_batches import MicroBatch
from spa.training.randomness import rng_state, set_rng_state
from spa.training.workload import Workload

__all__ = ["Backward", "Step"]

Backward = Callable[[torch.Tensor, bool], None]


@dataclass(frozen=True, slots=True)
class Step:
    """An optimizer step under way.

    Attributes:
        work: The training.
        batch: What the optimizer steps on.
        number: Of the step, from 1, for messages.
        backward: Called with a scalar, and whether it is the last of the step.
        factor: What gradients are multiplied by, since backward passes may average them.
    """

    work: Workload
    batch: OptimizerBatch
    number: int
    backward: Backward
    factor: int = 1

    def take(
        self, model: Any, micro_batch: MicroBatch, figures: Figures | None, *, last: bool
    ) -> None:
        """Adds the gradient of a micro-batch to that of the model.

        Args:
            model: What to call.
            micro_batch: Some groups of the batch.
            figures: Where its figures are added; None: its pairs do not count.
            last: Whether no micro-batch follows.

        Raises:
            RunError: If the loss is not finite, of another shape, or does not depend on the
                log-probabilities.
        """
        passes = micro_batch.passes
        if len(passes) > 1:
            self._take_pieces(model, micro_batch, figures, last)
            return
        found = self._forward(model, passes[0])
        slopes_RT = self._slopes(found, micro_batch.groups, figures)
        self.backward((found.logprobs * slopes_RT).sum(), last)

    def _take_pieces(
        self, model: Any, micro_batch: MicroBatch, figures: Figures | None, last: bool
    ) -> None:
        """All log-probabilities without gradients first, then one backward pass a piece."""
        passes = micro_batch.passes
        draws, pieces = [], []
        for parts in passes:
            draws.append(rng_state())
            with torch.no_grad():
                pieces.append(self._forward(model, parts))
        slopes_RT = self._slopes(_merged(pieces), micro_batch.groups, figures)
        row = 0
        for number, (parts, draw) in enumerate(zip(passes, draws, strict=True), start=1):
            set_rng_state(draw)  # the dropout of the first time
            piece = self._forward(model, parts, again=True)
            rows, columns = piece.logprobs.shape
            weights_RT = slopes_RT[row : row + rows, :columns]
            row += rows
            self.backward((piece.logprobs * weights_RT).sum(), last and number == len(passes))

    def _forward(
        self, model: Any, parts: Sequence[Part], *, again: bool = False
    ) -> ResponseLogprobs:
        """One pass through the model; ``again`` leaves out what only the loss needs."""
        collision = not again and bool(getattr(self.work.loss, "needs_collision", False))
        with self.work.context():
            return self.work.forward(model, parts, collision=collision)

    def _slopes(
        self, found: ResponseLogprobs, groups: Sequence[EncodedGroup], figures: Figures | None
    ) -> torch.Tensor:
        """(R, T) gradient of the batch's mean loss with respect to the log-probabilities."""
        leaf = found.logprobs.detach().requires_grad_()
        work, batch = self.work, self.batch
        reference = work.reference.lookup(groups, leaf) if work.reference else None
        pairs = pair_batch(
            batch, groups, leaf, found.mask, reference, collision_logprobs=found.collision
        )
        outcome = work.loss(pairs)
        self._check(outcome, len(pairs.chosen))
        # Divided once, by the pairs of the whole batch, whoever has the others.
        total = outcome.losses.sum() / batch.pairs
        if not torch.isfinite(total):
            raise RunError(self._not_finite(groups))
        slopes_RT = self._gradient(total, leaf)
        if figures is None:
            return torch.zeros_like(slopes_RT)
        figures.add("loss", outcome.losses)
        pair_figures(figures, pairs, outcome, work.objectives)
        return slopes_RT * self.factor

    def _gradient(self, total: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
        if total.requires_grad:
            (slopes,) = torch.autograd.grad(total, leaf, allow_unused=True)
            if slopes is not None:
                return slopes
        name = type(self.work.loss).__name__
        raise RunError(f"loss {name} does not depend on batch.logprobs, so nothing can be learned.")

    def _check(self, outcome: PairLosses, pairs: int) -> None:
        for name, values in {"losses": outcome.losses, **outcome.metrics}.items():
            if values.shape != (pairs,):
                raise RunError(
                    f"loss {type(self.work.loss).__name__} returned {name!r} of shape "
                    f"{tuple(values.shape)}; it must be one value a pair: ({pairs},)."
                )

    def _not_finite(self, groups: Sequence[EncodedGroup]) -> str:
        names = ", ".join(repr(group.prompt_id) for group in groups)
        return (
            f"the loss is not finite at step {self.number} (prompts {names}), so nothing more can "
            "be learned. Lower train.learning_rate, or set train.dtype: float32; a custom loss may "
            "divide by 0 or take the logarithm of 0."
        )


def _merged(pieces: Sequence[ResponseLogprobs]) -> ResponseLogprobs:
    """The responses of all pieces, one after another."""

    def rows(tables: Sequence[torch.Tensor]) -> torch.Tensor:
        separate = [row for table in tables for row in table]
        return torch.nn.utils.rnn.pad_sequence(separate, batch_first=True)

    squares = [piece.collision for piece in pieces if piece.collision is not None]
    return ResponseLogprobs(
        rows([piece.logprobs for piece in pieces]),
        rows([piece.mask for piece in pieces]),
        rows(squares) if squares else None,
    )
