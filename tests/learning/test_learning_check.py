"""The closed loop: after training on a judge with a real signal, held-out scores are higher.

Reads a finished run of ``recipes/learning-check.yaml``; ``nox -s learning-check`` makes one and
then runs this.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

DIFFERENCE = "round-1 - base"


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    folder = os.environ.get("SPA_LEARNING_RUN")
    if folder is None:
        pytest.skip("SPA_LEARNING_RUN is not set: run `nox -s learning-check`")
    content: dict[str, Any] = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    return content


def differences(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The paired difference to the untrained model, by objective."""
    objectives = [objective["name"] for objective in manifest["recipe"]["objectives"]]
    found = {
        metric["name"]: metric
        for metric in manifest["metrics"]
        if metric["model"] == DIFFERENCE and metric["name"] in objectives
    }
    assert list(found) == objectives, "every objective has a paired difference"
    return found


def test_run_is_done(manifest: dict[str, Any]) -> None:
    assert manifest["status"] == "done"
    assert len(manifest["recipe"]["objectives"]) == 2


def test_every_objective_rose_on_heldout_prompts(manifest: dict[str, Any]) -> None:
    for name, metric in differences(manifest).items():
        assert metric["low"] is not None, f"{name}: no interval"
        assert metric["low"] > 0, f"{name}: {metric}"


def test_heldout_prompts_are_enough_to_tell(manifest: dict[str, Any]) -> None:
    assert all(metric["n"] >= 20 for metric in differences(manifest).values())
