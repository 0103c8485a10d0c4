"""Packing is used where it gives a model's own log-probabilities, and nowhere else."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_architectures import ARCHITECTURES, flex_without_compiling, make_architecture

from spa.training.encoding import EncodedGroup
from spa.training.exactness import choose_forward, packing_obstacle
from spa.training.forward import Forward, forwarding
from spa.training.layout import whole

LONGEST = 51
OTHER = r"gives other log-probabilities than the model's own \(by [\d.]+ nats\)"

EXPECTED = {
    "bloom": (None, "the model takes no positions"),
    "cohere": ("segments", ""),
    # Models that compute attention by themselves: the kernel cannot be put into them.
    "falcon": ("dense", rf"; segments {OTHER}"),
    "falcon with alibi": (None, rf"in a trial segments {OTHER}, dense does not run \(.*\)"),
    # A soft cap and sinks: attention that is more than a scaled dot product.
    "gemma2": ("dense", r"; segments does not run \(it has no softcap\)"),
    "gemma2, short window": (
        None,
        "sliding_window is 8, shorter than the longest sequence of 51 tokens",
    ),
    "gemma3": ("segments", ""),
    "gpt-j": ("dense", rf"; segments {OTHER}"),
    "gpt-neo": (None, "the model's local attention counts tokens of the row"),
    "gpt-neox": ("segments", ""),
    "gpt-oss": ("dense", r"; segments does not run \(it has no s_aux\)"),
    "gpt2": ("segments", ""),
    "granite": ("segments", ""),
    "lfm2": (None, r"the model has layers that are no attention \(conv\)"),
    "llama": ("segments", ""),
    "llama4": ("segments", ""),
    "llama4, short chunks": (
        None,
        "attention_chunk_size is 8, shorter than the longest sequence of 51 tokens",
    ),
    "mamba": (None, "the model is recurrent"),
    "mistral": ("segments", ""),
    "mistral, short window": (
        None,
        "sliding_window is 8, shorter than the longest sequence of 51 tokens",
    ),
    "mixtral": ("segments", ""),
    "opt": ("segments", ""),
    "phi": ("segments", ""),
    "qwen2": ("segments", ""),
    "qwen3": ("segments", ""),
    "qwen3-next": (None, "the model is recurrent"),
}


@pytest.fixture
def groups(make: SimpleNamespace) -> list[EncodedGroup]:
    """Longer than what the trial tries; the longest prompt with a response has 51 tokens."""
    generator = torch.Generator().manual_seed(3)

    def draw(count: int) -> list[int]:
        return torch.randint(0, 250, (count,), generator=generator).tolist()

    return [
        make.encoded(draw(21), [draw(13), draw(30), draw(5)], [(0, 1)], "p"),
        make.encoded(draw(9), [draw(17), draw(1)], [(0, 1)], "q"),
    ]


def choose(model: Any, longest: int = LONGEST, **more: Any) -> Forward:
    settings = {"pad_id": 0, "dtype": torch.float32, "context": nullcontext, **more}
    return choose_forward(model, longest=longest, **settings)


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.message)
        for record in caplog.records
        if record.name == "spa.training.exactness" and record.levelno > logging.DEBUG
    ]


def furthest(model: Any, forward: Forward, groups: Sequence[EncodedGroup]) -> float:
    """The largest difference to the log-probabilities of plain single sequences."""
    rows = [(g.prompt, r) for g in groups for r in g.responses]
    with torch.no_grad():
        with forwarding(model, forward):
            found = forward(model, whole(groups)).logprobs
        worst = 0.0
        for row, (prompt, response) in zip(found, rows, strict=True):
            ids = torch.tensor([prompt + response])
            table = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
            at = torch.arange(len(response))
            alone = table[len(prompt) - 1 + at, torch.tensor(response)]
            worst = max(worst, (row[: len(response)] - alone).abs().max().item())
    return worst


def test_every_architecture_is_expected_to_do_something() -> None:
    assert EXPECTED.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_is_chosen_is_exact_and_said(
    name: str, groups: list[EncodedGroup], caplog: pytest.LogCaptureFixture
) -> None:
    model = make_architecture(name)
    kernel, reason = EXPECTED[name]
    with caplog.at_level(logging.INFO, "spa.training.exactness"):
        forward = choose(model)
    assert forward.kernel == kernel
    assert forward.chunked_head
    ((level, message),) = said(caplog)
    if kernel is None:
        assert level == logging.WARNING
        pattern = f"prompts are not shared between responses: {reason}"
    else:
        assert level == logging.INFO
        pattern = rf"each prompt is packed with its responses \({kernel}{reason}\)"

    assert re.fullmatch(pattern, message), message
    assert furthest(model, forward, groups) < 1e-4


def test_a_window_as_long_as_the_longest_sequence_is_none() -> None:
    model = make_architecture("mistral", sliding_window=16)
    assert choose(model, longest=16).kernel == "segments"
    assert choose(model, longest=17).kernel is None


def test_a_window_that_is_not_used_is_none() -> None:
    qwen = make_architecture("qwen2", sliding_window=8, use_sliding_window=False)
    assert packing_obstacle(qwen, LONGEST) is None
    qwen = make_architecture(
        "qwen2", sliding_window=8, use_sliding_window=True, max_window_layers=1
    )
    assert packing_obstacle(qwen, LONGEST) == (
        "sliding_window is 8, shorter than the longest sequence of 51 tokens"
    )


def test_layers_that_are_no_attention_are_all_named() -> None:
    model = make_architecture("llama")
    model.config.layer_types = ["full_attention", "linear_attention", "conv"]
    assert packing_obstacle(model, LONGEST) == (
        "the model has layers that are no attention (conv, linear_attention)"
    )


def test_an_encoder_is_an_obstacle() -> None:
    model = make_architecture("llama")
    model.config.is_encoder_decoder = True
    assert packing_obstacle(model, LONGEST) == "the model has an encoder"


def test_not_packing_is_chosen_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "spa.training.exactness"):
        assert choose(make_architecture("llama"), packing="none").kernel is None
    assert said(caplog) == []


@pytest.mark.parametrize("kernel", ["segments", "dense"])
def test_a_kernel_that_is_asked_for_is_taken_where_it_works(kernel: Any) -> None:
    assert choose(make_architecture("llama"), packing=kernel).kernel == kernel


def test_a_kernel_that_is_asked_for_and_does_not_work_is_not_used(
    groups: list[EncodedGroup], caplog: pytest.LogCaptureFixture
) -> None:
    model = make_architecture("gemma2")
    forward = choose(model, packing="segments")
    assert forward.kernel is None
    assert said(caplog) == [
        (
            logging.WARNING,
            "prompts are not shared between responses: "
            "in a trial segments does not run (it has no softcap)",
        )
    ]
    assert furthest(model, forward, groups) < 1e-4


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_is_not_used_where_it_cannot_train(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    flex_without_compiling(monkeypatch)
    assert choose(make_architecture("llama"), packing="flex").kernel is None
    ((_, message),) = said(caplog)
    assert message.startswith(
        "prompts are not shared between responses: "
        "in a trial flex does not run (FlexAttention does not support backward on CPU."
    )


def test_attention_that_ignores_the_mask_is_caught(
    groups: list[EncodedGroup], caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def deaf(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kw: Any) -> Any:
        return sdpa_attention_forward(module, query, key, value, None, is_causal=True)

    AttentionInterface.register("deaf", deaf)
    model = make_architecture("llama", attn_implementation="deaf")
    forward = choose(model, packing="dense")
    assert forward.kernel is None
    ((level, message),) = said(caplog)
    assert level == logging.WARNING
    assert "in a trial dense gives other log-probabilities than the model's own" in message
    assert furthest(model, Forward(0, "dense", implementation="deaf"), groups) > 0.1
    assert choose(model).kernel == "segments"  # which takes the place of that attention


def test_looking_at_other_tokens_outside_attention_is_caught(
    groups: list[EncodedGroup], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing in the config says that a layer mixes each token with the one before it."""

    def shift(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        before = torch.nn.functional.pad(output, (0, 0, 1, 0))[:, :-1]
        return output + 0.5 * before

    model = make_architecture("llama")
    model.model.layers[0].mlp.register_forward_hook(shift)
    assert packing_obstacle(model, LONGEST) is None
    forward = choose(model)
    assert forward.kernel is None
    assert furthest(model, forward, groups) < 1e-4
    ((_, message),) = said(caplog)
    assert message.count("gives other log-probabilities") == 2  # segments and dense


def test_weights_that_are_not_numbers_are_no_success() -> None:
    model = make_architecture("llama")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    assert choose(model).kernel is None


def test_the_trial_leaves_the_model_as_it_was() -> None:
    model = make_architecture("llama").train()
    implementation = model.config._attn_implementation
    choose(model)
    assert model.training
    assert model.config._attn_implementation == implementation
    assert "forward" not in vars(model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_logits_that_are_changed_in_an_unknown_way_are_all_computed(
    groups: list[EncodedGroup], caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import LlamaForCausalLM

    class Tempered(LlamaForCausalLM):
        def forward(self, *args: Any, **inputs: Any) -> Any:
            out = super().forward(*args, **inputs)
            out.logits = out.logits / 3
            return out

    model = make_architecture("llama")
    model.__class__ = Tempered
    forward = choose(model)
    assert not forward.chunked_head
    assert (
        logging.WARNING,
        "Tempered changes its logits in a way that is not known here: all logits are computed and "
        "kept, so training needs more memory than with other models",
    ) in said(caplog)
    assert furthest(model, forward, groups) < 1e-4


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "factor": 2.0},
        {
            "rope_type": "longrope",
            "factor": 4.0,
            "short_factor": [1.0] * 4,
            "long_factor": [2.0] * 4,
            "original_max_position_embeddings": 32,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_positions_that_change_with_the_length_of_others_are_warned_about(
    rope: dict[str, Any], groups: list[EncodedGroup], caplog: pytest.LogCaptureFixture
) -> None:
    model = make_architecture(
        "llama", rope_parameters={**rope, "rope_theta": 1e4}, max_position_embeddings=32
    )
    choose(model, longest=32)
    assert said(caplog) == []
    forward = choose(model)
    assert said(caplog) == [
        (
            logging.WARNING,
            f"the model's positions ({rope['rope_type']}) change with the longest sequence of a "
            "forward pass above 32 tokens, so log-probabilities depend on what goes through "
            "together. Set train.max_length: 32",
        )
    ]
    assert furthest(model, forward, groups) > 1e-2
    assert furthest(model, forward, groups[1:]) < 1e-4
