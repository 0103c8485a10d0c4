"""A whole run whose judge is behind a server, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_llama import save_tiny_llama
from tiny_recipe import write_tiny_recipe

from spa.cli import main

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from spa.cli import console

    monkeypatch.chdir(tmp_path)
    console.out.cache_clear()
    console.err.cache_clear()
    model = save_tiny_llama(tmp_path / "model", max_position_embeddings=1536)
    return write_tiny_recipe(tmp_path, model)


def judged_by(recipe: Path, **backend: object) -> str:
    """The recipe with a judge of its own; returns the file's name."""
    settings = json.dumps({"use": "openai", "model": "made-up", **backend})
    text = recipe.read_text().replace(
        "min_label_mass: 0.0", f"min_label_mass: 0.0, prefill: '', backend: {settings}"
    )
    recipe.write_text(text)
    return recipe.name


def test_a_judge_behind_a_server(recipe, serve, monkeypatch, capsys):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    server = serve("--key", KEY, "--opinions")
    file = judged_by(recipe, base_url=f"{server.address}/v1", api_key_env="JUDGE_KEY")
    assert main(["run", file, "--set", "evaluate=[]", "--set", "refine=null"]) == 0
    said = capsys.readouterr()
    asked = len(server.bodies)
    # Two objectives of: three samples for each of seven prompts to train on, and an answer before
    # and after to each of three that are held out.
    assert asked == 1 + 2 * (7 * 3 + 2 * 3)
    written = [path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in [*written, str(said).encode()])
    assert "JUDGE_KEY" in next(Path("runs").glob("tiny*/run.json")).read_text()

    assert main(["run", file, "--set", "evaluate=[]", "--set", "refine=null"]) == 0
    assert len(server.bodies) == asked


def test_what_stops_a_run_is_said_before_it_begins(recipe, monkeypatch, capsys):
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    file = judged_by(recipe, api_key_env="JUDGE_KEY")
    assert main(["run", file]) == 2
    assert "the environment variable JUDGE_KEY is not set" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not list(Path("runs").rglob("*.parquet"))


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_policy_without_weights_is_refused_where_it_is_written(recipe, capsys, command):
    assert main([command, recipe.name, "--set", "model={use: openai, model: made-up}"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(
        "--set model={use: openai, model: made-up} model.use: backend 'openai' serves a model "
        "without its weights, so it cannot be trained."
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": KEY},
        {"api_key_env": KEY},
        {"base_url": f"https://user:{KEY}@host/v1"},
        {"base_url": f"https://host/v1?key={KEY}"},
        {"extra_body": {"api_key": KEY}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_key_in_a_recipe_is_refused_and_not_repeated(recipe, capsys, wrong):
    file = judged_by(recipe, **wrong)
    assert main(["validate", file]) == 2
    said = capsys.readouterr()
    assert f"judge.backend.{next(iter(wrong))}" in said.err
    assert KEY not in said.out + said.err
