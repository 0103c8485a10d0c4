"""``spa export``: what it prints, and that it overwrites and imports nothing it should not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_run import PAIRS, make_run

from spa.cli import main
from spa.cli.export import export
from spa.errors import SpaError

Captured = pytest.CaptureFixture[str]
LOST = {"trl": 1, "llamafactory": 2, "parquet": 0}


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
    assert {file.name for file in Path().iterdir()} == names | {"README.md"}
    assert "# Model aligned by the run run" in Path("README.md").read_text(encoding="utf-8")
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


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run with pairs of two rounds."""
    return make_run(tmp_path / "runs")


def test_pairs_end_with_their_number_and_how_to_load_them(
    made: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(made), "--format", "llamafactory", "--output", str(out)]) == 0
    assert capsys.readouterr().out == (
        "Pairs:   4 of 6, rounds 1, 2\n"
        "Skipped: 1 empty_response, 1 turns_do_not_alternate\n"
        f"Card:    {out}/README.md\n"
        f"Load:    LLaMA-Factory with stage: dpo, dataset_dir: {out}, dataset: spa-made-1\n"
    )


@pytest.mark.parametrize(
    ("form", "file", "load"),
    [
        ("trl", "train.parquet", "datasets.load_dataset('{out}', split='train')"),
        ("parquet", "pairs.parquet", "pyarrow.parquet.read_table('{out}/pairs.parquet')"),
    ],
)
def test_pairs_of_one_round(
    made: Path, tmp_path: Path, capsys: Captured, form: str, file: str, load: str
) -> None:
    out = tmp_path / "out"
    arguments = ["export", str(made), "-f", form, "-o", str(out), "--round", "2"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        f"Pairs:   1 of 1, round 2\nCard:    {out}/README.md\nLoad:    {load.format(out=out)}\n"
    )
    assert (out / file).is_file()


def test_pairs_as_a_record(made: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(["export", str(made), "-f", "trl", "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "kind": "export",
        "run": "made-1",
        "format": "trl",
        "folder": str(out),
        "rounds": [1, 2],
        "made": 6,
        "written": 5,
        "left_out": {"empty_response": 1},
        "load": f"datasets.load_dataset('{out}', split='train')",
    }


def test_a_model_as_a_record(run: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(["export", str(run), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "kind": "export",
        "run": "run",
        "format": "merged",
        "folder": str(out),
        "load": f"transformers.AutoModelForCausalLM.from_pretrained('{out}')",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--format", "gguf"],
            2,
            "unknown format 'gguf'. Valid: llamafactory, merged, parquet, recipe, trl.",
        ),
        (["--format", "trl", "--round", "3"], 2, "{run} has no round 3 with pairs. Valid: 1, 2."),
        (
            ["--format", "merged", "--round", "1"],
            2,
            "--round chooses among preference pairs, but the format merged writes a model. Leave "
            "--round out, or give --format llamafactory or parquet or trl.",
        ),
        (
            ["--format", "merged"],
            1,
            "{run} has no trained adapter: it did not get through the stage train. Finish it "
            "first.",
        ),
    ],
)
def test_mistakes_are_one_message_and_no_traceback(
    made: Path, tmp_path: Path, capsys: Captured, arguments: list[str], code: int, said: str
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(made), "--output", str(out), *arguments]) == code
    captured = capsys.readouterr()
    assert captured.err == said.format(run=made) + "\n"
    assert captured.out == ""
    assert not out.exists()


def test_a_run_that_failed_before_its_pairs(tmp_path: Path, capsys: Captured) -> None:
    early = make_run(tmp_path / "early", pairs={})
    out = tmp_path / "out"
    assert main(["export", str(early), "-f", "parquet", "-o", str(out)]) == 1
    assert capsys.readouterr().err == (
        f"{early} has no preference pairs: it did not get through the stage pairs. Finish it "
        "first.\n"
    )


def test_pairs_are_exported_without_torch(made: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from spa.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "heavy = {'accelerate', 'datasets', 'peft', 'scipy', 'torch', 'transformers'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    for form in ("trl", "llamafactory", "parquet"):
        out = str(tmp_path / form)
        arguments = ["export", str(made), "-f", form, "-o", out]
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith(f"Pairs:   {sum(map(len, PAIRS.values())) - LOST[form]} of 6")
