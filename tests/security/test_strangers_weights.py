"""Weights and tables from strangers are data: nothing in them is unpickled, no template escapes."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from spa.engine.stored_run import open_run, stage_rows
from spa.errors import RunError, SpaError
from spa.models.loading import load_model, load_policy, load_tokenizer
from spa.models.spec import ModelSpec
from spa.types import Prompt


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "PWNED"


def test_the_bait_works(mark: Path) -> None:
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()


def test_a_model_as_a_pickle_is_refused(tiny_folder: Path, tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    torch.save(Evil(mark), folder / "pytorch_model.bin")
    with pytest.raises(SpaError, match="cannot be loaded"):
        load_model(ModelSpec(path=str(folder), device="cpu"))
    assert not mark.exists()


def test_an_adapter_as_a_pickle_is_refused(tiny_folder: Path, tmp_path: Path, mark: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    torch.save(Evil(mark), adapter / "adapter_model.bin")
    with pytest.raises(SpaError, match="adapters are read as safetensors only"):
        load_policy(ModelSpec(path=str(tiny_folder), device="cpu", adapter=str(adapter)))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_what_checkpoints_hold_is_not_unpickled(tmp_path: Path, mark: Path, name: str) -> None:
    # As transformers reads them when a training goes on, which archives never bring.
    from transformers.trainer_pt_utils import safe_globals

    torch.save({"state": Evil(mark)}, tmp_path / name)
    with safe_globals(), pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / name, weights_only=True)
    assert not mark.exists()


def test_the_trainer_never_asks_for_whole_pickles() -> None:
    import inspect

    from transformers import trainer

    source = inspect.getsource(trainer)
    assert source.count("torch.load(") > 0
    assert "weights_only=False" not in source


def test_a_chat_template_cannot_reach_python(tiny_folder: Path, mark: Path) -> None:
    tokenizer = load_tokenizer(ModelSpec(path=str(tiny_folder), device="cpu"))
    tokenizer.chat_template = (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}"
        f"{{{{ cycler.__init__.__globals__.os.mkdir('{mark}') }}}}"
    )
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert not mark.exists()


def test_rows_with_pickled_types_stay_data(tmp_path: Path, mark: Path) -> None:
    """Arrow once unpickled types that a file's schema named (CVE-2023-47248)."""
    run = tmp_path / "runs" / "r"
    folder = tmp_path / "runs" / "store" / f"prompts-{1:016x}"
    folder.mkdir(parents=True)
    run.mkdir()
    (run / "run.json").write_text('{"name": "r"}')
    (folder / "stage.json").write_text("{}")
    evil = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Evil(mark)),
    }
    field = pa.field("id", pa.binary(), metadata=evil)
    pq.write_table(pa.table([pa.array([b"p"])], schema=pa.schema([field])), folder / "data.parquet")
    with pytest.raises(RunError, match="cannot be read"):
        list(stage_rows(open_run(run), {"name": "prompts", "folder": folder.name}, Prompt))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../../other", "/etc", "a/../../b", ""])
def test_a_manifest_cannot_read_rows_from_elsewhere(tmp_path: Path, name: str) -> None:
    run = tmp_path / "runs" / "r"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"name": "r"}')
    with pytest.raises(RunError, match="names no folder of the store"):
        list(stage_rows(open_run(run), {"name": "prompts", "folder": name}, Prompt))
