"""The process that starts runs: what comes out of them, and that they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import bare_cell_server
import pytest

from spa.ablation import server as module
from spa.ablation.server import CellServer
from spa.cli import cell_server

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")


@pytest.fixture(scope="module")
def server() -> Iterator[CellServer]:
    """One that imports nothing ahead: `tests/cli/test_ablate.py` has runs of the whole one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MODULE", bare_cell_server.__name__)
        places = [str(Path(bare_cell_server.__file__).parent), os.environ.get("PYTHONPATH")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
        with CellServer() as server:
            yield server


def test_commands_run_one_after_the_other_each_with_its_code(
    server: CellServer, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    assert list(server.run(["schema"], log)) == []  # JSON, but no record: it goes to the log
    assert server.code == 0
    assert '"$schema"' in log.read_text(encoding="utf-8")
    assert list(server.run(["validate", str(tmp_path / "none.yaml")], log)) == []
    assert server.code == 2
    assert "no such file" in log.read_text(encoding="utf-8")


def test_the_end_of_the_process_is_noticed_and_another_one_started(
    server: CellServer, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    assert list(server.run(["validate", "none.yaml"], log)) == []
    assert server.code == 2


def test_files_where_spa_is_called_are_not_taken_for_modules(
    server: CellServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "typer.py").write_text("raise SystemExit(7)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with CellServer() as another:
        assert list(another.run(["schema"], tmp_path / "run.log")) == []
        assert another.code == 0
    with monkeypatch.context() as patch:  # as where processes cannot be forked
        patch.setattr(cell_server, "_say", lambda *_: None)
        assert cell_server._spawned(["schema"], tmp_path / "run.log") == 0
