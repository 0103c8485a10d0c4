"""The tests' side: starts runs that are disturbed, and reads what lies on disk afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from faulty.injection import LAST_WORDS
from spa.engine.lines import unseal

__all__ = ["Asked", "Play", "Report", "Server", "answers_on_disk", "by_request", "rows_of"]

NAME = "run"


class Asked(NamedTuple):
    """A request that the model answered: by which process, when, and its key."""

    pid: int
    at: float
    key: str


@dataclass(frozen=True)
class Report:
    """How a process ended.

    Attributes:
        status: Its exit code; negative where it was killed.
        error: What an error said; None if there was none. A traceback if it was not meant to be.
        told: Its warnings.
        counts: Operations by stage.
        kinds: The same by stage and kind.
    """

    status: int
    error: str | None = None
    told: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    kinds: dict[tuple[str, str], int] = field(default_factory=dict)


class Server:
    """The process that forks."""

    def __init__(self, recipe: Path, scratch: Path) -> None:
        support = Path(__file__).resolve().parents[1]
        places = os.pathsep.join(filter(None, [str(support), os.environ.get("PYTHONPATH")]))
        self._log = (scratch / "server.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faulty.server", str(recipe), str(scratch / "warm")],
            env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Sends a command and returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(Path(self._log.name).read_text(encoding="utf-8")[-4000:])
        found: dict[str, Any] = json.loads(line)
        return found


class Play:
    """One folder of runs, and the processes that work in it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.runs = folder / "runs"
        self.log = folder / "asked.log"
        self._count = 0

    def start(self, name: str = NAME, **plan: Any) -> tuple[int, Path]:
        """Starts a process; returns its id and where it reports."""
        self._count += 1
        report = self._folder / f"report-{self._count}.json"
        command = {
            "runs": str(self.runs),
            "name": name,
            "report": str(report),
            "log": str(self.log),
            "plan": plan,
        }
        return int(self._server.ask(command)["pid"]), report

    def end(self, started: tuple[int, Path]) -> Report:
        """Waits for a process."""
        pid, path = started
        status = int(self._server.ask({"wait": pid})["status"])
        if not path.is_file():
            return Report(status)
        told = json.loads(path.read_text(encoding="utf-8"))
        counts: dict[str, int] = {}
        kinds = {(stage, kind): count for stage, kind, count in told["counts"]}
        for (stage, _), count in kinds.items():
            counts[stage] = counts.get(stage, 0) + count
        return Report(status, told["error"], tuple(told["told"]), counts, kinds)

    def run(self, **settings: Any) -> Report:
        """Starts a process and waits for it."""
        return self.end(self.start(**settings))

    def run_for(self, seconds: float, **settings: Any) -> Report:
        """Starts a process and kills it after some seconds, if it is not done."""
        started = self.start(**settings)
        time.sleep(seconds)
        os.kill(started[0], signal.SIGKILL)  # it is a zombie at least until it is waited for
        return self.end(started)

    def killed_in(self) -> str:
        """The stage in which the last process was killed at an operation."""
        return (self._folder / LAST_WORDS).read_text(encoding="utf-8")

    def asked(self) -> list[Asked]:
        """Every request that was answered, in order."""
        if not self.log.is_file():
            return []
        lines = (line.split() for line in self.log.read_text().splitlines())
        return [Asked(int(pid), float(at), key) for pid, at, _, key in lines]

    def manifest(self, name: str = NAME) -> dict[str, Any]:
        """What the run says of itself."""
        found: dict[str, Any] = json.loads((self.runs / name / "run.json").read_text())
        return found

    def files(self) -> set[str]:
        """All files below the folder of runs."""
        return {str(file.relative_to(self.runs)) for file in self.runs.rglob("*") if file.is_file()}


def answers_on_disk(runs: Path) -> Counter[tuple[str, str]]:
    """How often an answer lies whole on disk, by its folder and its request."""
    return Counter(
        (file.parent.name, json.loads(b"{" + body)["request"])
        for file in (runs / "store").glob("answers-*/part-00000.jsonl")
        for line in file.read_bytes().split(b"\n")
        if (body := unseal(line)) is not None
    )


def by_request(answers: Counter[tuple[str, str]]) -> Counter[str]:
    """The same, whatever stage it is for."""
    found: Counter[str] = Counter()
    for (_, request), count in answers.items():
        found[request] += count
    return found


def rows_of(play: Play, name: str = NAME) -> dict[str, Any]:
    """All that a run made: rows of every stage in order, weights, funnels and figures."""
    manifest = play.manifest(name)
    store = play.runs / "store"
    found: dict[str, Any] = {key: manifest[key] for key in ("status", "funnels", "metrics")}
    for stage in manifest["stages"]:
        folder = store / stage["folder"]
        title = f"{stage['round']}/{stage['name']}"
        if (folder / "data.parquet").is_file():
            found[title] = pq.read_table(folder / "data.parquet").to_pylist()
        else:
            found[title] = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return found
