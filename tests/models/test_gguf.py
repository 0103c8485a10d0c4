"""Converting GGUF files: what stands in the way is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_llama import make_model, make_tokenizer

from spa.errors import SpaError
from spa.models import gguf


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bytes that are no GGUF, and a cache of its own."""
    monkeypatch.setenv("SPA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF, or so it says")
    return path


@pytest.fixture
def readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "_from_gguf", lambda file: (make_tokenizer(), make_model()))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"version https://git-lfs.github.com/spec/v1"])
def test_a_damaged_file_is_named(file: Path, tmp_path: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SpaError) as caught:
        gguf.converted_folder(file)
    assert str(caught.value).startswith(f"{file} cannot be read as GGUF: ")
    assert str(caught.value).endswith(". Is the file complete, and no git-lfs pointer?")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


@pytest.mark.usefixtures("readable")
def test_a_cache_that_cannot_be_written_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_CACHE", str(file))
    with pytest.raises(SpaError) as caught:
        gguf.converted_folder(file)
    assert str(caught.value).startswith(f"cannot write {file}/models/tiny-")
    assert str(caught.value).endswith(
        ": Not a directory. Set SPA_CACHE to a folder that can be written and has 1 GB free."
    )


@pytest.mark.usefixtures("readable")
def test_what_a_killed_process_left_is_not_in_the_way(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gguf.converted_folder(file)
    assert (first / "model.safetensors").is_file()
    left = first.rename(first.with_name(f"{first.name}.1.tmp"))
    assert gguf.converted_folder(file) == first
    assert left.is_dir()
    monkeypatch.setattr(gguf, "_from_gguf", lambda file: pytest.fail("converted twice"))
    assert gguf.converted_folder(file) == first
