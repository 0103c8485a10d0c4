"""One optimizer step of TRL's `CPOTrainer` with the SimPO loss, on the same pairs as text.

Nothing of TRL is changed. It tokenises each pair itself, and what comes out is compared with the
ids that spa trains on. Pairs are shuffled and padded as TRL does it; gradients add up over as many
forward passes as make one optimizer batch.
"""

from __future__ import annotations

import math
import random
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from spa.models.loading import load_tokenizer
from spa.models.location import local_path
from spa.models.spec import ModelSpec
from spa.training.groups import TrainingGroup
from train.clock import StepClock
from train.material import TokenPair, make_groups, pairs_digest
from train.settings import BETA, GAMMA, LEARNING_RATE, MAX_GRAD_NORM, Measured, Order

__all__ = ["measure_trl"]


def measure_trl(order: Order) -> Measured:
    """Trains for one step and times it."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(order, folder)
        first = next(iter(trainer.get_train_dataloader()))
        clock = StepClock(trainer, lambda model: _pass(trainer, model, first))
        trainer.train()
    pairs = list(_token_pairs(trainer.train_dataset))
    (loss,) = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Measured(
        pairs=len(pairs),
        tokens=sum(2 * len(prompt) + len(a) + len(b) for prompt, a, b in pairs),
        parameters=trainer.model.num_parameters(),
        loss=loss,
        digest=pairs_digest(pairs),
        seconds=clock.seconds,
        update_seconds=clock.update_seconds,
        cpu_seconds=clock.cpu_seconds,
        before_bytes=clock.before_bytes,
        peak_bytes=clock.peak_bytes,
        how=f"{order.pairs_a_forward} pairs a forward pass",
    )


def _trainer(order: Order, folder: str) -> Any:
    import torch
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are importing from 'trl.experimental'")
        from trl.experimental.cpo import CPOConfig, CPOTrainer

    disable_progress_bars()
    tokenizer = load_tokenizer(ModelSpec(order.model))
    rows = list(_rows(make_groups(order.case, tokenizer), tokenizer))
    if order.measured_pairs is not None and order.measured_pairs < len(rows):
        rows = random.Random(0).sample(rows, order.measured_pairs)
    arguments = CPOConfig(
        output_dir=folder,
        loss_type="simpo",
        cpo_alpha=0.0,
        beta=BETA,
        simpo_gamma=GAMMA,
        max_length=1 << 20,
        disable_dropout=True,
        per_device_train_batch_size=order.pairs_a_forward,
        gradient_accumulation_steps=math.ceil(len(rows) / order.pairs_a_forward),
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=MAX_GRAD_NORM,
        optim="adamw_torch",
        gradient_checkpointing=False,
        bf16=order.dtype == "bfloat16",
        use_cpu=order.device == "cpu",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return CPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(local_path(order.model), dtype=torch.float32),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


def _pass(trainer: Any, model: Any, batch: Any) -> None:
    loss = trainer.compute_loss(model, trainer._prepare_inputs(batch))
    trainer.accelerator.backward(loss)


def _rows(groups: Sequence[TrainingGroup], tokenizer: Any) -> Iterator[dict[str, str]]:
    for group in groups:
        turns = [{"role": turn.role, "content": turn.content} for turn in group.prompt.messages]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        texts = {item.id: item.response.text for item in group.responses}
        for pair in group.pairs:
            yield {
                "prompt": prompt,
                "chosen": texts[pair.chosen],
                "rejected": texts[pair.rejected],
            }


def _token_pairs(dataset: Any) -> Iterator[TokenPair]:
    for row in dataset:
        (prompt, chosen), (other, rejected) = (
            _divided(row[f"{side}_input_ids"], row[f"{side}_labels"])
            for side in ("chosen", "rejected")
        )
        if prompt != other:
            raise ValueError("the prompts of a pair have different token ids")
        yield prompt, chosen, rejected


def _divided(ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
    """The prompt, of which no token is learned, and the response."""
    size = labels.count(-100)
    return ids[:size], ids[size:]
