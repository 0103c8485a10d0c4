"""Losses and gradients against TRL's own trainers, run on the same small model.

TRL's methods are called as they are, on trainers that were never set up: only what a method reads
is there. Both sides start from token ids, so what is compared includes which tokens count, how
log-probabilities are summed, and what is divided by what.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_llama import make_model

from spa.api import Loss, PairBatch, PairLosses
from spa.components.losses.configs import DpoConfig, SimpoConfig
from spa.components.losses.cpo import CpoLoss
from spa.components.losses.dpo import DpoLoss
from spa.components.losses.hinge import HingeLoss
from spa.components.losses.ipo import IpoLoss
from spa.components.losses.likelihood_configs import CpoConfig, OrpoConfig
from spa.components.losses.orpo import OrpoLoss
from spa.components.losses.ratio_configs import HingeConfig, IpoConfig, WpoConfig
from spa.components.losses.simpo import SimpoLoss
from spa.components.losses.wpo import WpoLoss

trl = pytest.importorskip("trl")

PAD = 260
# Lengths of the prompt, the chosen and the rejected response.
SHAPES = [(4, 6, 3), (1, 2, 9), (7, 1, 1), (3, 5, 5)]
PAIRS = len(SHAPES)
CLOSE = {"rtol": 2e-5, "atol": 2e-6}
"""TRL computes parts of these in fp32 whatever the model is in."""


@dataclass(frozen=True)
class Rows:
    """All chosen rows, then all rejected ones, as TRL stacks them.

    Attributes:
        input_ids: (2P, L) prompt and response, padded on the right.
        attention: (2P, L) 1 for prompt and response.
        completion: (2P, L) 1 for the response.
        reference: (2P, L - 1) log-probabilities of the tokens after the first, 0 outside of the
            response.
    """

    input_ids: torch.Tensor
    attention: torch.Tensor
    completion: torch.Tensor
    reference: torch.Tensor

    def of(self, pair: int) -> Rows:
        """One pair alone."""
        both = [pair, len(self.input_ids) // 2 + pair]
        return Rows(*(values[both] for values in vars(self).values()))

    @property
    def pairs(self) -> int:
        return len(self.input_ids) // 2

    @property
    def labels(self) -> torch.Tensor:
        return self.input_ids.masked_fill(self.completion == 0, -100)


@pytest.fixture(scope="module")
def trainers() -> SimpleNamespace:
    """The trainer classes; importing the experimental ones warns that they are experimental."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TRL_EXPERIMENTAL_SILENCE", "1")
        from trl.experimental.cpo.cpo_trainer import CPOTrainer
        from trl.experimental.orpo.orpo_trainer import ORPOTrainer
        from trl.trainer.dpo_trainer import DPOTrainer
    return SimpleNamespace(CPO=CPOTrainer, DPO=DPOTrainer, ORPO=ORPOTrainer)


@pytest.fixture(scope="module")
def model() -> Any:
    from trl.trainer.utils import add_fused_lm_head

    model = make_model(seed=3).double()
    fields = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
    add_fused_lm_head(model, outputs=fields)
    return model


@pytest.fixture(scope="module")
def rows() -> Rows:
    generator = torch.Generator().manual_seed(0)
    width = max(prompt + max(responses) for prompt, *responses in SHAPES)
    ids = torch.randint(0, 256, (2 * PAIRS, width), generator=generator)
    attention, completion = torch.zeros_like(ids), torch.zeros_like(ids)
    for pair, (prompt, *responses) in enumerate(SHAPES):
        for row, response in zip((pair, PAIRS + pair), responses, strict=True):
            ids[row, :prompt] = ids[pair, :prompt]
            ids[row, prompt + response :] = PAD
            attention[row, : prompt + response] = 1
            completion[row, prompt : prompt + response] = 1
    drawn = -6 * torch.rand((2 * PAIRS, width - 1), generator=generator, dtype=torch.float64)
    return Rows(ids, attention, completion, drawn * completion[:, 1:])


def bare(cls: Any, **values: Any) -> Any:
    """A trainer without `__init__`, with what the called methods read."""
    trainer = cls.__new__(cls)
    same = lambda x: x  # noqa: E731
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=same, gather_for_metrics=same)
    vars(trainer).update(accelerator=accelerator, aux_loss_enabled=False, **values)
    return trainer


def of_trl_dpo(trainers: Any, model: Any, rows: Rows, **settings: Any) -> Any:
    """The loss that TRL's DPOTrainer computes, and the trainer with its metrics."""
    values: dict[str, Any] = {
        "model": model,
        "ld_alpha": None,
        "precompute_ref_logps": True,
        "f_divergence_type": "reverse_kl",
        "loss_weights": [1.0],
        "label_smoothing": 0.0,
        "use_weighting": False,
        "_metrics": {"eval": defaultdict(list)},
        "_total_train_tokens": 0,
    }
    trainer = bare(trainers.DPO, **{**values, **settings})
    chosen, rejected = rows.reference.sum(-1).chunk(2)
    inputs = {
        "input_ids": rows.input_ids,
        "attention_mask": rows.attention,
        "completion_mask": rows.completion,
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    return trainer._compute_loss(model, inputs, return_outputs=False), trainer


def of_trl_without_reference(cls: Any, model: Any, rows: Rows, **settings: Any) -> Any:
    """The loss and the metrics that TRL's CPOTrainer or ORPOTrainer computes."""
    values = {"is_encoder_decoder": False, "pad_token_id": PAD, "padding_value": PAD, "alpha": 0.0}
    trainer = bare(cls, **{**values, **settings})
    return trainer.get_batch_loss_metrics(model, stacked(rows), "train")


def stacked(rows: Rows) -> dict[str, torch.Tensor]:
    batch = {}
    for place, side in enumerate(("chosen", "rejected")):
        batch[f"{side}_input_ids"] = rows.input_ids.chunk(2)[place]
        batch[f"{side}_attention_mask"] = rows.attention.chunk(2)[place]
        batch[f"{side}_labels"] = rows.labels.chunk(2)[place]
    return batch


def ours(loss: Loss, model: Any, rows: Rows) -> PairLosses:
    """The loss of the same rows, from a plain log-softmax over the model's logits."""
    logits = model(input_ids=rows.input_ids, attention_mask=rows.attention).logits[:, :-1]
    logprobs_RTV = logits.log_softmax(-1)
    mask = rows.completion[:, 1:].to(logits.dtype)
    taken = logprobs_RTV.gather(-1, rows.input_ids[:, 1:, None])[..., 0] * mask
    collision = torch.logsumexp(2 * logprobs_RTV.detach(), -1) * mask
    pairs = torch.arange(rows.pairs)
    return loss(
        PairBatch(
            logprobs=taken,
            mask=mask,
            chosen=pairs,
            rejected=rows.pairs + pairs,
            scores=torch.zeros((2 * rows.pairs, 1)),
            gap_sum=torch.ones(rows.pairs),
            gap_l1=torch.ones(rows.pairs),
            mean_gap_sum=1.0,
            mean_gap_l1=1.0,
            reference_logprobs=rows.reference if loss.needs_reference else None,
            collision_logprobs=collision if getattr(loss, "needs_collision", False) else None,
        )
    )


def compare(model: Any, theirs: torch.Tensor, found: torch.Tensor) -> None:
    """Both losses, and their gradients in every parameter of the model."""
    torch.testing.assert_close(found, theirs.to(found.dtype), **CLOSE)
    parameters = list(model.parameters())
    pairs_of = zip(
        torch.autograd.grad(found, parameters),
        torch.autograd.grad(theirs, parameters),
        strict=True,
    )
    seen = 0.0
    for mine, trls in pairs_of:
        scale = max(1.0, trls.abs().max().item())
        torch.testing.assert_close(mine / scale, trls / scale, **CLOSE)
        seen += trls.abs().sum().item()
    assert seen > 0


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        (DpoLoss(DpoConfig(beta=0.3)), {"loss_types": ["sigmoid"], "beta": 0.3}),
        (
            IpoLoss(IpoConfig(beta=0.2, length_normalized=True)),
            {"loss_types": ["ipo"], "beta": 0.2},
        ),
        (HingeLoss(HingeConfig(beta=0.02)), {"loss_types": ["hinge"], "beta": 0.02}),
        (
            WpoLoss(WpoConfig(beta=0.3, max_weight=None)),
            {"loss_types": ["sigmoid"], "beta": 0.3, "use_weighting": True},
        ),
    ],
    ids=["dpo", "ipo", "hinge", "wpo"],
)
def test_losses_with_a_reference(
    trainers: Any, model: Any, rows: Rows, loss: Loss, settings: dict[str, Any]
) -> None:
    theirs, trainer = of_trl_dpo(trainers, model, rows, **settings)
    found = ours(loss, model, rows)
    compare(model, theirs, found.losses.mean())
    if isinstance(loss, IpoLoss):
        return  # its rewards are of the ratios that it compares, TRL's are always of sums
    for name in ("chosen", "rejected", "margins", "accuracies"):
        (logged,) = trainer._metrics["eval"][f"rewards/{name}"]
        assert found.metrics[f"rewards/{name}"].mean().item() == pytest.approx(logged, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
@pytest.mark.parametrize("pair", range(PAIRS))
def test_dpo_with_label_smoothing(
    trainers: Any, model: Any, rows: Rows, smoothing: float, pair: int
) -> None:
    """Of TRL's losses `aot` has this form: it sorts the margins of a batch, here of one pair."""
    alone = rows.of(pair)
    theirs, _ = of_trl_dpo(
        trainers, model, alone, loss_types=["aot"], beta=0.3, label_smoothing=smoothing
    )
    loss = DpoLoss(DpoConfig(beta=0.3, label_smoothing=smoothing))
    compare(model, theirs, ours(loss, model, alone).losses.mean())


def test_simpo(trainers: Any, model: Any, rows: Rows) -> None:
    theirs, metrics = of_trl_without_reference(
        trainers.CPO,
        model,
        rows,
        loss_type="simpo",
        beta=2.0,
        simpo_gamma=0.7,
        cpo_alpha=0.0,
        label_smoothing=0.0,
    )
    found = ours(SimpoLoss(SimpoConfig(beta=2.0, gamma=0.7)), model, rows)
    compare(model, theirs, found.losses.mean())
    check_rewards(found, metrics)


@pytest.mark.parametrize(("alpha", "smoothing"), [(0.0, 0.0), (1.0, 0.0), (0.3, 0.2)])
@pytest.mark.parametrize("pair", range(PAIRS))
def test_cpo(
    trainers: Any, model: Any, rows: Rows, alpha: float, smoothing: float, pair: int
) -> None:
    """One pair at a time: over several, TRL's likelihood term is a mean over all tokens."""
    alone = rows.of(pair)
    theirs, metrics = of_trl_without_reference(
        trainers.CPO,
        model,
        alone,
        loss_type="sigmoid",
        beta=0.05,
        cpo_alpha=alpha,
        label_smoothing=smoothing,
    )
    loss = CpoLoss(CpoConfig(beta=0.05, alpha=alpha, label_smoothing=smoothing))
    found = ours(loss, model, alone)
    compare(model, theirs, found.losses.mean())
    check_rewards(found, metrics)
    if alpha:
        assert found.metrics["nll_loss"].item() == pytest.approx(metrics["nll_loss"], rel=1e-5)


def test_orpo_odds(trainers: Any, model: Any, rows: Rows) -> None:
    """With a plain likelihood in place of TRL's, which reads the prompt as well."""
    trainer = bare(trainers.ORPO, beta=0.4, is_encoder_decoder=False, padding_value=PAD)
    chosen, rejected, *_ = trainer.concatenated_forward(model, stacked(rows))
    theirs, *_, agreement, odds = trainer.odds_ratio_loss(chosen, rejected)
    found = ours(OrpoLoss(OrpoConfig(beta=0.4)), model, rows)
    compare(model, (-chosen - theirs).mean(), found.losses.mean())
    assert found.metrics["log_odds_ratio"].mean().item() == pytest.approx(agreement.item(), 1e-5)
    assert found.metrics["log_odds_chosen"].mean().item() == pytest.approx(odds.item(), 1e-5)


def test_orpo_as_a_whole(trainers: Any, model: Any, rows: Rows) -> None:
    """With a prompt of one token, which nothing predicts, the likelihood terms agree as well."""
    (pair,) = (place for place, shape in enumerate(SHAPES) if shape[0] == 1)
    alone = rows.of(pair)
    theirs, metrics = of_trl_without_reference(trainers.ORPO, model, alone, beta=0.4)
    found = ours(OrpoLoss(OrpoConfig(beta=0.4)), model, alone)
    compare(model, theirs, found.losses.mean())
    check_rewards(found, metrics)
    assert found.metrics["nll_loss"].item() == pytest.approx(metrics["nll_loss"], rel=1e-5)


def check_rewards(found: PairLosses, metrics: dict[str, float]) -> None:
    for name in ("chosen", "rejected", "margins", "accuracies"):
        mean = found.metrics[f"rewards/{name}"].mean().item()
        assert mean == pytest.approx(metrics[f"rewards/{name}"], rel=1e-5)
