"""A finished run with everything that a run leaves in the store, written without any model."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from made_run import make_run

from spa.engine.checksums import files_below, with_checksums
from spa.engine.lines import LineFile
from spa.engine.uses import UseLog

__all__ = ["ANSWERS", "REFERENCE", "TRAIN", "make_kept_run", "write_answers", "write_safetensors"]

TRAIN = f"train-{7:016x}"
ANSWERS = f"answers-sample-{8:016x}"
REFERENCE = f"reference-{9:016x}"


def make_kept_run(runs: Path) -> Path:
    """Writes the run, its stages, answers, adapter and reference; returns its folder."""
    outputs = {
        "kind": "adapter",
        "path": f"../store/{TRAIN}/adapter",
        "rounds": [f"../store/{TRAIN}/adapter"],
        "warnings": [],
    }
    folder = make_run(runs, status="done", recipe_file="made.yaml", outputs=outputs)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["stages"] = [stage for stage in manifest["stages"] if "folder" in stage]
    manifest["stages"].append({"name": "train", "round": 1, "folder": TRAIN})
    (folder / "run.json").write_text(json.dumps(manifest))
    store = runs / "store"
    write_answers(store / ANSWERS, {"r1": "one", "r2": "two"})
    write_safetensors(store / REFERENCE / "logprobs.safetensors")
    train = store / TRAIN
    write_safetensors(train / "adapter" / "adapter_model.safetensors")
    (train / "adapter" / "adapter_config.json").write_text("{}")
    (train / "result.json").write_text(json.dumps({"path": "adapter", "kind": "adapter"}))
    (train / "reference.json").write_text(json.dumps({"folder": REFERENCE}))
    (train / "stage.json").write_text(
        json.dumps(with_checksums(train, {"stage": "train"}, files_below(train, "adapter")))
    )
    log = UseLog(folder)
    for name in [*(stage["folder"] for stage in manifest["stages"]), ANSWERS]:
        log.add(name)
    return folder


def write_answers(folder: Path, answers: dict[str, str]) -> None:
    """Appends answers to requests."""
    with LineFile(folder / "part-00000.jsonl") as file:
        for request, text in answers.items():
            line = {"kind": "chat", "request": request, "result": text}
            file.append(json.dumps(line).encode())


def write_safetensors(file: Path, size: int = 8) -> None:
    """Writes one tensor of zeros."""
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
