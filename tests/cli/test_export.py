"""``spa export`` where the folder to write is unusual."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spa.cli.export import export
from spa.errors import SpaError


@pytest.fixture
def run(tiny_folder: Path, tmp_path: Path) -> Path:
    """A run in which all weights were trained."""
    folder = tmp_path / "run"
    folder.mkdir()
    manifest = {"outputs": {"path": str(tiny_folder)}, "recipe": {"model": {"path": "other"}}}
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


def test_it_ends_with_the_folder_and_how_to_load_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    export(run, out)
    assert capsys.readouterr().out == (
        f"Model:   {out}\n"
        f"Load:    transformers.AutoModelForCausalLM.from_pretrained({str(out)!r})\n"
    )


def test_the_working_directory_can_be_the_output(
    run: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(run, Path())
    names = {file.name for file in tiny_folder.iterdir()}
    assert {file.name for file in Path().iterdir()} == names
    assert {file.name for file in tmp_path.iterdir()} == {"run", "here"}
    with pytest.raises(SpaError, match=r"exists and is not empty\. Choose another folder"):
        export(run, Path())


def test_a_folder_that_cannot_be_written_is_no_traceback(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    with pytest.raises(SpaError) as caught:
        export(run, out)
    assert str(caught.value) == (
        f"{out} cannot be written: Not a directory. Free some space or choose another folder."
    )


def test_a_file_that_cannot_be_copied_is_no_traceback(tmp_path: Path) -> None:
    trained = tmp_path / "run" / "model"
    trained.mkdir(parents=True)
    (trained / "model.safetensors").symlink_to(tmp_path / "gone")
    (tmp_path / "run" / "run.json").write_text(json.dumps({"outputs": {"path": "model"}}))
    with pytest.raises(SpaError, match=r"^.*out cannot be written: .*No such file or directory"):
        export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_copied_into_itself(run: Path, tiny_folder: Path) -> None:
    with pytest.raises(SpaError, match=r"lies inside .*, which is copied\. Choose another folder"):
        export(run, tiny_folder / "inside")
