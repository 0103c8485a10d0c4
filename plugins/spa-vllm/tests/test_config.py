# ruff: noqa: E501 - messages are quoted in full
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from spa.engine.keys import key_config
from spa.testing import check_component
from spa_vllm.arguments import known_arguments, unknown_arguments
from spa_vllm.config import VLLMConfig
from spa_vllm.plugin import spa_backends


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine_args": {"dtype": "half"}}, "engine_args.dtype: this has a key of its own, dtype. Use that"),
        ({"engine_args": {"model": "x"}}, "engine_args.model: this has a key of its own, path. Use that"),
        ({"engine_args": {"hf_token": "x"}}, "engine_args.hf_token cannot be set: a secret has no place in a recipe: set the environment variable HF_TOKEN"),
        ({"chat_template_kwargs": {"tools": []}}, "tools cannot be set: spa says how conversations are rendered."),
        ({"adapter": "a", "max_lora_rank": 0}, "there is an adapter, but max_lora_rank is 0"),
        ({"engines": 0}, "greater than or equal to 1"),
        ({"gpu_memory_utilization": 1.5}, "less than or equal to 1"),
        ({"temperature": 1}, "Extra inputs are not permitted"),
        ({"path": ""}, "at least 1 character"),
    ],
)  # fmt: skip
def test_mistakes_in_a_recipe(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        VLLMConfig(**{"path": "org/model", **settings})
    assert message in str(caught.value)


def test_only_what_changes_results_is_in_the_key() -> None:
    assert sorted(key_config(VLLMConfig(path="org/model"))) == [
        "chat_template_kwargs",
        "dtype",
        "engine_args",
        "max_model_len",
        "quantization",
        "trust_remote_code",
    ]


def test_every_key_is_described() -> None:
    assert all(field.description for field in VLLMConfig.model_fields.values())


def test_listing_and_configuring_import_neither_torch_nor_vllm() -> None:
    code = (
        "import sys, spa_vllm.plugin, spa_vllm.config\n"
        "spa_vllm.config.VLLMConfig(path='org/model')\n"
        "print(sorted({'torch', 'transformers', 'vllm'} & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_backend_is_announced() -> None:
    (component,) = spa_backends()
    assert component.name == "vllm"
    assert "pip install vllm" in str(component.install_hint)
    check_component("backend", component).raise_if_failed()


def test_engine_arguments_are_read_without_importing_vllm(fake_vllm: None) -> None:
    assert known_arguments() == ["model", "kv_cache_dtype"]


def test_there_may_be_nothing_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert known_arguments() is None


def test_an_unknown_argument_gets_the_nearest_name() -> None:
    known = ["kv_cache_dtype", "block_size"]
    assert unknown_arguments({"kv_cache_dtyp": 1, "block_size": 2, "zzz": 3}, known) == [
        "vLLM has no engine argument 'kv_cache_dtyp'. Did you mean 'kv_cache_dtype'?",
        "vLLM has no engine argument 'zzz'. See: vllm serve --help",
    ]
