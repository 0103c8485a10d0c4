"""A run whose engine is killed, with a real one: what was answered is kept, and it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.vllm

RECIPE = """
name: killed
objectives:
  - {name: harmlessness, definition: Is it safe?}
  - {name: helpfulness, definition: Does it help?}
model: MODEL
prompts: {use: jsonl, path: prompts.jsonl}
generate: {use: diverse, n: 2, max_tokens: 32, system_prompts: [Be kind.]}
judge: {use: constitution, min_label_mass: 0.0}
refine: {use: self-refine}
pairs: {use: lexicographic}
loss: {use: spa}
train: {lora: {r: 2}}
answer: {max_tokens: 8}
"""
PROMPTS = 12
PATIENCE = 300.0


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it takes too long"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def descendants(pid: int) -> dict[int, str]:
    """Ids of all processes below one, with their titles."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        found[int(folder.name)] = (parent, title)
    below = [pid]
    for each in below:
        below += [child for child, (parent, _) in found.items() if parent == each]
    return {each: found[each][1] for each in below[1:]}


def wait_until_gone(processes: dict[int, str]) -> None:
    """Waits until none of these runs; one that only waits to be collected has no memory map."""
    deadline = time.monotonic() + 30
    while left := [pid for pid in processes if running(pid)]:
        assert time.monotonic() < deadline, [processes[pid] for pid in left]
        time.sleep(0.1)


def running(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/maps").read_text())
    except OSError:
        return False


def test_a_run_goes_on_after_its_engine_was_killed(
    tmp_path: Path, smol_path: Path, engine_settings: dict[str, object]
) -> None:
    model = {"use": "vllm", "path": str(smol_path), **engine_settings, "max_num_seqs": 4}
    recipe = tmp_path / "killed.yaml"
    recipe.write_text(RECIPE.replace("MODEL", json.dumps(model)), encoding="utf-8")
    rows = [{"id": f"p{i}", "prompt": f"Tell me about the number {i}."} for i in range(PROMPTS)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "prompts.jsonl").write_text(lines, encoding="utf-8")
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "spa", "run", str(recipe), "--runs-dir", str(runs), "--json"]

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )

    def kept() -> int:
        files = (runs / "store").glob("answers-sample-*/*.jsonl")
        return sum(file.read_text(encoding="utf-8").count("\n") for file in files)

    first = started()
    wait_for(lambda: kept() >= 5, first)
    processes = descendants(first.pid)
    (core,) = [pid for pid, title in processes.items() if "EngineCore" in title]
    os.kill(core, signal.SIGKILL)
    killed = time.monotonic()
    _, shown = first.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert first.returncode == 1
    assert "Traceback" not in shown
    flat = " ".join(shown.split())
    assert "the vLLM engine ended: its process EngineCore was killed by SIGKILL." in flat
    assert "What was answered is kept: run the same command again to go on." in flat
    before = kept()
    assert 5 <= before < 2 * PROMPTS
    wait_until_gone(processes)

    second = started()
    try:
        wait_for(lambda: list((runs / "store").glob("sample-*/stage.json")), second)
        processes = descendants(second.pid)
    finally:
        second.kill()
        second.communicate(timeout=60)
    assert [title for title in processes.values() if "EngineCore" in title]
    wait_until_gone(processes)
    (stage,) = (runs / "store").glob("sample-*/stage.json")
    info = json.loads(stage.read_text(encoding="utf-8"))
    assert info["jobs"] == PROMPTS
    assert info["failed"] == 0
    # What was answered is not asked again: whole rows were kept, answers of others replayed.
    assert info["asked"] == 2 * PROMPTS - before
    assert info["replayed"] < before
