"""Layers for an adapter are looked for in an empty model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from spa.errors import SpaError
from spa.models.lora import no_layer_for_adapter
from spa.models.spec import ModelSpec

VALID = (
    "Valid: all-linear, or some of down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
)


@pytest.fixture
def spec(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """A model whose weights may not be read."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the weights were loaded")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    return ModelSpec(str(tiny_folder))


@pytest.mark.parametrize(
    "targets", ["all-linear", ("q_proj", "v_proj"), ("q_proj", "query"), r".*self_attn\.[qv]_proj"]
)
def test_layers_that_are_there(spec: ModelSpec, targets: str | Sequence[str]) -> None:
    assert no_layer_for_adapter(spec, targets) is None


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (("query", "value"), "no layer of the model is among query, value"),
        ("q_prj", "no layer of the model matches 'q_prj'"),
    ],
)
def test_layers_that_are_not(spec: ModelSpec, targets: str | Sequence[str], reason: str) -> None:
    assert no_layer_for_adapter(spec, targets) == f"{reason}. {VALID}"


def test_layers_that_take_no_adapter(spec: ModelSpec) -> None:
    problem = no_layer_for_adapter(spec, ("input_layernorm",))
    assert problem is not None
    assert problem.startswith("Target module LlamaRMSNorm((32,), eps=1e-06) is not supported.")
    assert problem.endswith(VALID)


def test_an_adapter_that_is_there_is_kept(spec: ModelSpec, tmp_path: Path) -> None:
    assert no_layer_for_adapter(replace(spec, adapter=str(tmp_path)), ("query",)) is None


def test_a_model_that_cannot_be_built_empty_is_passed_over(
    spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("Unrecognized configuration class")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_config", refuse)
    assert no_layer_for_adapter(spec, ("query",)) is None


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(SpaError, match="no such file or folder"):
        no_layer_for_adapter(ModelSpec("./nowhere"), ("query",))
