"""What people get wrong, as it is typed: the whole message on stderr, and the exit code."""

from __future__ import annotations

import errno
import importlib
import io
import json
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from spa.cli import console, main
from spa.engine.pipeline import default_run_name
from spa.plugins import catalogue, scanning
from spa.recipe import load_recipe

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe_file: Path) -> Iterator[None]:
    """In a folder with ``tiny.yaml``, and with plugins from that folder alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPA_PLUGINS", raising=False)
    monkeypatch.setattr(scanning, "distributions", lambda: distributions(path=[str(tmp_path)]))
    for cached in (catalogue._cached, console.out, console.err):
        cached.cache_clear()
    yield
    catalogue._cached.cache_clear()


def add(lines: str) -> None:
    """Appends to the recipe, which has 16 lines."""
    with Path("tiny.yaml").open("a", encoding="utf-8") as file:
        file.write(lines)


def failure(capsys: Captured, *options: str, code: int) -> str:
    """What ``spa run tiny.yaml`` says in the end, without log lines and what stands above them."""
    assert main(["run", "tiny.yaml", *options]) == code
    lines = capsys.readouterr().err.splitlines(keepends=True)
    logged = [number for number, line in enumerate(lines) if line[2:3] == ":" == line[5:6]]
    return "".join(lines[logged[-1] + 1 if logged else 0 :])


def test_unknown_key(capsys: Captured) -> None:
    add("traim: {}\n")
    assert failure(capsys, code=2) == (
        "tiny.yaml:17:1  traim: unknown key. Did you mean 'train'?\n"
    )


def test_wrong_type(capsys: Captured) -> None:
    add("iterations: two\n")
    assert failure(capsys, code=2) == (
        "tiny.yaml:17:13  iterations: expected a whole number, got 'two'\n"
    )


def test_duplicate_key(capsys: Captured) -> None:
    add("loss: {use: dpo}\n")
    assert failure(capsys, code=2) == (
        "tiny.yaml:17:1  loss: duplicate key, already on line 13. Keep one of them\n"
    )


def test_unknown_component(capsys: Captured) -> None:
    assert failure(capsys, "--swap", "refine=self-refin", code=2) == (
        "--swap refine=self-refin  refine.use: unknown refiner 'self-refin'. "
        "Did you mean 'self-refine'? Valid names: best-of-n, critique-refine, self-refine.\n"
    )


def test_a_plugin_that_fails_to_import_is_named_where_it_is_needed(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "spa_broken-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spa-broken\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[spa.plugins]\nbroken = spa_broken\n")
    (tmp_path / "spa_broken.py").write_text("import nothing_like_this\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert failure(capsys, "--swap", "refine=better", code=2) == (
        "--swap refine=better  refine.use: unknown refiner 'better'. Valid names: "
        "best-of-n, critique-refine, self-refine. "
        "Plugin 'broken' (spa-broken 0.1) failed to load: ModuleNotFoundError: "
        f"No module named 'nothing_like_this' (at {tmp_path}/spa_broken.py:1).\n"
    )
    assert main(["run", "tiny.yaml", "--dry-run"]) == 0


def test_missing_recipe(capsys: Captured) -> None:
    assert main(["run", "tinny.yaml"]) == 2
    assert capsys.readouterr().err == (
        "tinny.yaml  no such file. Recipes in that folder: tiny.yaml\n"
    )


def test_missing_files(capsys: Captured, tmp_path: Path) -> None:
    Path("prompts.jsonl").unlink()
    said = failure(capsys, "--set", "model.path=./none", code=2)
    assert said == (
        f"--set model.path=./none  model.path: model '{tmp_path}/none': no such file or folder. "
        "Give a folder with safetensors weights, a .gguf file, package:NAME/FILE.gguf, or a name "
        "of the Hugging Face hub (org/name).\n"
        f"tiny.yaml:7:23  prompts.path: {tmp_path}/prompts.jsonl does not exist. Paths in a recipe "
        "are relative to the recipe file: correct this one, or put the file there.\n"
    )
    assert not Path("runs").exists()
    assert main(["plan", "tiny.yaml", "--set", "model.path=./none"]) == 2
    assert capsys.readouterr().err == said


def test_rows_of_prompts(capsys: Captured, tmp_path: Path) -> None:
    file = Path("prompts.jsonl")
    file.write_text('{"prompt": "Hi"}\n{"prompt": " "}\n[]\n')
    said = failure(capsys, code=2)
    assert said == (
        f"tiny.yaml:7:1  prompts: prompt file {tmp_path}/{file}: 2 rows cannot be used:\n"
        f"  {tmp_path}/{file}:2: the prompt in column 'prompt' is empty. Fill in or remove it.\n"
        f"  {tmp_path}/{file}:3: every line must be a JSON object, like "
        '{"prompt": "..."}.\n'
    )
    assert main(["plan", "tiny.yaml"]) == 2
    assert capsys.readouterr().err == said


def test_empty_prompt_file(capsys: Captured, tmp_path: Path) -> None:
    Path("prompts.jsonl").write_text("")
    assert failure(capsys, code=2) == (
        f"tiny.yaml:7:1  prompts: prompt file {tmp_path}/prompts.jsonl holds no prompts: it is "
        "empty. Add at least one row.\n"
    )


def test_prompts_longer_than_the_context(capsys: Captured) -> None:
    prompts = [json.dumps({"id": f"p{i}", "prompt": "x" * 2000}) for i in range(2)]
    Path("prompts.jsonl").write_text("\n".join(prompts))
    assert failure(capsys, "--set", "prompts.split=null", code=1) == (
        "stage sample: none of 2 rows could be done. The first, p0: the prompt has 2,003 tokens "
        "and 8 are to be generated, but the model's context is 1,536. Shorten the prompt or lower "
        "max_tokens. (too_long)\n"
    )


def test_too_few_samples_for_informativeness(capsys: Captured) -> None:
    options = ("--swap", "denoise=informativeness", "--set", "generate.n=2")
    assert failure(capsys, *options, code=2) == (
        "--swap denoise=informativeness  denoise.0: needs at least 3 samples a prompt for 2 "
        "objectives, and the generator makes 2: with fewer, the determinant of the covariance of "
        "their scores says nothing or is always 0, and every group would be dropped. Set "
        "generate.n to 3 or more, or remove this denoiser\n"
    )


def test_labels_of_more_than_one_token(capsys: Captured, tiny_folder: Path) -> None:
    assert failure(capsys, "--set", "judge.labels=[1, 10]", code=2) == (
        "--set judge.labels=[1, 10]  judge: label '10' is not one token after 'Score: ' for the "
        f"tokenizer of '{tiny_folder}'. Use labels of one token each, for example the digits "
        "1 to 9 or the letters A to E, or a prefill that does not end in a space.\n"
    )
    assert not Path("runs").exists()


def test_labels_of_an_evaluator_are_checked_before_sampling(
    capsys: Captured, tiny_folder: Path
) -> None:
    options = ("--swap", "evaluate=pairwise", "--set", "evaluate.0.labels=[left, right]")
    assert failure(capsys, *options, code=2) == (
        "--swap evaluate=pairwise  evaluate.0: label 'left' is not one token after 'Better answer: "
        f"' for the tokenizer of '{tiny_folder}'. Use labels of one token each, for example the "
        "digits 1 to 9 or the letters A to E, or a prefill that does not end in a space.\n"
    )
    assert not Path("runs").exists()


def test_an_adapter_for_layers_that_are_not_there(capsys: Captured) -> None:
    setting = "train.lora.target_modules=[query, value]"
    assert failure(capsys, "--set", setting, code=2) == (
        f"--set {setting}  train.lora.target_modules: no layer of the model is among query, value. "
        "Valid: all-linear, or some of down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, "
        "v_proj\n"
    )
    assert not Path("runs").exists()


class FullDisk(io.FileIO):
    """A file on a disk without room."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def open_on_full_disk(self: Path, mode: str = "r", *rest: Any, **settings: Any) -> Any:
        if self.name == "part-00000.jsonl" and mode == "ab":
            return FullDisk(self, "ab")
        return opened(self, mode, *rest, **settings)

    monkeypatch.setattr(Path, "open", open_on_full_disk)
    said = failure(capsys, code=1)
    (part,) = Path("runs", "store").glob("prompts-*/part-00000.jsonl")
    assert said == (
        f"{part}: the disk is full. Free some space, or point --runs-dir at another disk, and run "
        "the same command again: rows that were finished are kept.\n"
    )


def test_no_permission_to_write(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, recipe_file: Path
) -> None:
    made = Path.mkdir
    name = default_run_name(load_recipe(recipe_file))

    def mkdir(self: Path, *rest: Any, **settings: Any) -> None:
        if self.is_relative_to("runs"):  # as chmod would do, which does not bind root
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        made(self, *rest, **settings)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert failure(capsys, code=1) == (
        f"runs/{name}: no permission to write. Make the folder writable, or choose another with "
        "--runs-dir.\n"
    )
