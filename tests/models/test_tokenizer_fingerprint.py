"""Which models exchange token ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_llama import make_model, save_tiny_llama

from spa.errors import SpaError
from spa.models.identity import checkpoint_dtype, fingerprint, tokenizer_fingerprint
from spa.models.spec import ModelSpec


def test_other_weights_have_the_same_tokenizer(tmp_path: Path) -> None:
    one = ModelSpec(str(save_tiny_llama(tmp_path / "one")))
    other = ModelSpec(str(save_tiny_llama(tmp_path / "other", seed=1)), dtype="bfloat16")
    assert tokenizer_fingerprint(one) == tokenizer_fingerprint(other)
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json"])
def test_another_template_or_vocabulary_is_another_tokenizer(tmp_path: Path, name: str) -> None:
    folder = save_tiny_llama(tmp_path)
    before = tokenizer_fingerprint(ModelSpec(str(folder)))
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(" ")
    assert tokenizer_fingerprint(ModelSpec(str(folder))) != before


def test_a_folder_without_tokenizer_says_so(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    with pytest.raises(SpaError, match="holds no tokenizer files"):
        tokenizer_fingerprint(ModelSpec(str(tmp_path)))


def test_the_checkpoints_own_type_is_read(tmp_path: Path) -> None:
    make_model().bfloat16().save_pretrained(tmp_path)
    assert checkpoint_dtype(ModelSpec(str(tmp_path))) == "bfloat16"
    (tmp_path / "config.json").write_text('{"torch_dtype": "float16"}', encoding="utf-8")
    assert checkpoint_dtype(ModelSpec(str(tmp_path))) == "float16"
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert checkpoint_dtype(ModelSpec(str(tmp_path))) is None
