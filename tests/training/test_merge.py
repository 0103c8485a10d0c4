"""Merged weights give the adapter's logits, in plain transformers and through ``spa export``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner

from spa.cli.export import export
from spa.errors import RunError, SpaError
from spa.models.loading import load_policy
from spa.models.spec import ModelSpec
from spa.recipe.sections import TrainConfig
from spa.training.merge import merge_adapter
from spa.training.policy import load_trainable

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


@pytest.fixture
def adapter(spec: ModelSpec, tmp_path: Path) -> Path:
    """An adapter whose two matrices are both random, as after training."""
    from peft import LoraConfig, get_peft_model

    from spa.models.loading import load_model

    torch.manual_seed(0)
    config = LoraConfig(
        r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
    )
    get_peft_model(load_model(spec), config).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(torch.arange(2, 40)[None]).logits


def adapter_logits(spec: ModelSpec, adapter: Path) -> torch.Tensor:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return logits(
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(spec.path), adapter)
    )


def test_trap_16_merged_weights_give_the_adapters_logits(
    spec: ModelSpec, adapter: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = merge_adapter(spec, adapter, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(out)
    torch.testing.assert_close(logits(merged), adapter_logits(spec, adapter), rtol=1e-4, atol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(spec.path)
    assert (logits(merged) - logits(plain)).abs().max() > 1e-2
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert {f.suffix for f in out.iterdir()} <= {".safetensors", ".json", ".jinja", ".md"}
    assert not (tmp_path / "merged.partial").exists()


def test_tied_embeddings_stay_tied_after_merging(
    make: Any, tokenizer: Any, adapter: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "tied"
    make.model(tie_word_embeddings=True).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tied = ModelSpec(str(folder), "float32", device="cpu")
    merged = AutoModelForCausalLM.from_pretrained(merge_adapter(tied, adapter, tmp_path / "m"))
    torch.testing.assert_close(logits(merged), adapter_logits(tied, adapter), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_merged(spec: ModelSpec, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        merge_adapter(spec, adapter, adapter)
    assert str(error.value) == (
        f"{adapter} exists and is not empty. Choose another folder, or delete it."
    )
    with pytest.raises(RunError) as error:
        merge_adapter(spec, Path(spec.path), tmp_path / "merged")
    assert str(error.value) == (f"{spec.path} is no adapter: it holds no adapter_config.json.")


def test_a_pickled_adapter_is_refused(spec: ModelSpec, adapter: Path, tmp_path: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    torch.save(load_file(file), adapter / "adapter_model.bin")
    file.unlink()
    trained = replace(spec, adapter=str(adapter))
    refusal = (
        f"adapter {str(adapter)!r} cannot be loaded: there is no adapter_model.safetensors in "
        "that folder, and adapters are read as safetensors only. Is the path right? "
        "An adapter in another format must be saved anew with safe_serialization=True."
    )
    with pytest.raises(SpaError) as error:
        merge_adapter(spec, adapter, tmp_path / "merged")
    assert str(error.value) == refusal
    with pytest.raises(SpaError) as error:
        load_policy(trained)
    assert str(error.value) == refusal
    with pytest.raises(RunError) as error:
        load_trainable(trained, TrainConfig(), 0)
    assert str(error.value) == f"the round before: {refusal}"


@pytest.fixture
def finished_run(spec: ModelSpec, adapter: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    adapter.rename(folder / "adapter")
    model = {"use": "hf", "path": spec.path, "dtype": "float32", "batch_size": 4}
    manifest = {"outputs": {"path": "adapter"}, "recipe": {"model": model}}
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def test_export_writes_the_merged_model(
    spec: ModelSpec, finished_run: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    app = typer.Typer()
    app.command()(export)
    out = tmp_path / "exported"
    result = CliRunner().invoke(
        app, [str(finished_run), "--format", "merged", "--output", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert str(out) in result.stdout
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(out)),
        adapter_logits(spec, finished_run / "adapter"),
        rtol=1e-4,
        atol=1e-4,
    )


def test_export_of_a_fully_trained_model_copies_it(spec: ModelSpec, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    manifest = {"outputs": {"path": spec.path}, "recipe": {"model": {"path": "other"}}}
    (folder / "run.json").write_text(json.dumps(manifest))
    export(folder, tmp_path / "copy")
    assert {f.name for f in (tmp_path / "copy").iterdir()} == {
        "README.md",
        *(f.name for f in Path(spec.path).iterdir()),
    }


def test_export_mistakes(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SpaError) as error:
        export(finished_run, out, format="gguf")
    valid = "llamafactory, merged, parquet, recipe, trl"
    assert str(error.value) == f"unknown format 'gguf'. Valid: {valid}."
    assert error.value.exit_code == 2
    with pytest.raises(SpaError) as error:
        export(tmp_path, out)
    assert str(error.value).startswith(f"{tmp_path} is no run: ")
    (finished_run / "adapter").rename(finished_run / "moved")
    with pytest.raises(SpaError) as error:
        export(finished_run, out)
    assert str(error.value) == (
        f"{finished_run}: its adapter {finished_run / 'adapter'} is gone. "
        "Run the recipe again to train it anew."
    )
    (finished_run / "run.json").write_text('{"outputs": {}}')
    with pytest.raises(SpaError) as error:
        export(finished_run, out)
    assert str(error.value) == (
        f"{finished_run} has no trained adapter: it did not get through the stage train. "
        "Finish it first."
    )
    assert not out.exists()


def test_importing_the_command_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, spa.cli.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
