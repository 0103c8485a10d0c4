"""Nothing of the environment reaches what a run writes, says or fails with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CANARY = "canary-5f1d9c0e"
SECRETS = {
    "OPENAI_API_KEY": f"sk-{CANARY}-openai",
    "SPA_TEST_KEY": f"sk-{CANARY}-named",
    "HF_TOKEN": f"hf_{CANARY}",
    "AWS_SECRET_ACCESS_KEY": f"aws-{CANARY}",
    "DATABASE_URL": f"postgres://user:{CANARY}@db/x",
    "WANDB_API_KEY": f"wandb-{CANARY}",
}


def spa(folder: Path, *arguments: str, code: int) -> str:
    """What it wrote to both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "spa", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **SECRETS},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def leaks(folder: Path) -> Iterator[str]:
    """Files that hold the canary, in plain or with every byte compressed away."""
    import pyarrow.parquet as pq

    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        content = file.read_bytes()
        if file.suffix == ".parquet":
            content += repr(pq.read_table(file).to_pylist()).encode()
        if CANARY.encode() in content:
            yield str(file.relative_to(folder))


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [f"x{CANARY}y"] * 3}), tmp_path / "a.parquet")
    (tmp_path / "b.json").write_text(json.dumps({"env": SECRETS}))
    assert list(leaks(tmp_path)) == ["a.parquet", "b.json"]


def test_a_run_and_its_archive_hold_no_secret(recipe_file: Path, tmp_path: Path) -> None:
    said = spa(tmp_path, "run", recipe_file.name, "--name", "r", "--json", code=0)
    said += spa(tmp_path, "store", "export", "runs/r", "-o", "r.tar", code=0)
    said += spa(tmp_path, "export", "runs/r", code=0)
    assert CANARY not in said
    assert list(leaks(tmp_path)) == []


@pytest.mark.parametrize(
    "setting",
    [
        "model.path=no-such-folder/model",
        "prompts.path=no-such-file.jsonl",
        "generate.max_tokens=100000",
        "loss.alpha=${OPENAI_API_KEY}",
    ],
)
def test_failures_tell_no_secret(recipe_file: Path, tmp_path: Path, setting: str) -> None:
    arguments = ["run", recipe_file.name, "--name", "bad", "--set", setting]
    done = subprocess.run(
        [sys.executable, "-m", "spa", *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **SECRETS},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert list(leaks(tmp_path)) == []


def test_a_server_that_repeats_the_key_gives_nothing_away(
    recipe_file: Path, tmp_path: Path
) -> None:
    """Its error message goes into failures.jsonl, the manifest and the screen."""
    pytest.importorskip("spa_openai")
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    seen: list[str] = []

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(str(self.headers["Authorization"]))
            self.reply(400, {"error": {"message": f"bad request with {seen[-1]}"}})

        def reply(self, status: int, content: object) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    settings = f"model: m, base_url: '{url}', api_key_env: SPA_TEST_KEY, prefill: continue"
    backend = f"{{use: openai, {settings}}}"
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "spa",
                "run",
                recipe_file.name,
                "--set",
                f"judge.backend={backend}",
            ],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NO_PROXY": "*", **SECRETS},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode in (1, 2), done.stderr
    assert seen, done.stderr
    assert all(CANARY in each for each in seen)  # it did get the key
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert list(leaks(tmp_path)) == []
