from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from spa.cli.schema import schema
from spa.errors import SpaError

app = typer.Typer()
app.command()(schema)
runner = CliRunner()


def test_printed() -> None:
    result = runner.invoke(app, [])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "spa recipe"


def test_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["--output", "s.json"])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == (
        "Wrote s.json. Editors use it where a recipe begins with the line: "
        "# yaml-language-server: $schema=s.json\n"
    )
    assert json.loads(Path("s.json").read_text(encoding="utf-8"))["type"] == "object"


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SpaError, match=r"^cannot write .*s\.json: No such file or directory$"):
        schema(tmp_path / "gone" / "s.json")
