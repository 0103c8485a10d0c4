"""The process that runs the stages: ``python -m rows.worker ROWS FOLDER``; prints one JSON line.

The stages are those of a run, in the engine that runs them, from the prompts to the pairs; then the
files of a stage that was killed at its end are opened as a run would that goes on with it.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from rows import plugin
from spa.engine.answers import AnswerLog
from spa.engine.context import RunContext
from spa.engine.interrupt import Interrupt
from spa.engine.models import ModelPool
from spa.engine.policy import Policy
from spa.engine.rounds import make_pairs
from spa.engine.stages.prompts import prompts_stage
from spa.engine.store import RowWriter, StageFolder
from spa.plugins.catalogue import Catalogue, build_catalogue
from spa.plugins.discovery import load_plugin
from spa.plugins.scanning import Found
from spa.recipe import Recipe, load_recipe
from spa.types import Response

__all__ = ["main"]

SAMPLES = 5
_MEGABYTE = 1 << 20
_LOOK_EVERY = 0.2
_RECIPE = """\
name: rows
objectives:
  - {name: harmlessness}
  - {name: helpfulness}
model: {use: instant}
prompts: {use: numbers, count: COUNT}
generate: {use: diverse, n: SAMPLES, system_prompts: []}
judge: {use: constitution}
denoise: [{use: informativeness, max_determinant: 100.0}]
pairs: {use: lexicographic, margin: 8.0}
loss: {use: spa}
"""


def main(rows: str, folder: str) -> None:
    """Runs everything and prints what was measured."""
    print(json.dumps(_measured(int(rows), Path(folder))), flush=True)


def _measured(rows: int, folder: Path) -> dict[str, Any]:
    recipe = _recipe(rows, folder)
    with closing(ModelPool()) as models:
        context = RunContext(
            name="rows",
            recipe=recipe,
            runs=folder,
            models=models,
            interrupt=Interrupt(),
            listen=lambda _: None,
        )
        with _Memory() as memory:
            prompts = prompts_stage(context)
            make_pairs(context, prompts, Policy("base", recipe.model))
    seconds = {stage.name: stage.seconds for stage in context.stages}
    count = {stage.name: stage.rows for stage in context.stages}
    return {
        "rows": count["sample"],
        "pairs": count["pairs"],
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "sample_rows_per_s": round(count["sample"] / seconds["sample"]),
        "peak_mb": round(memory.peak / _MEGABYTE),
        "resume_s": round(_resume(context, rows, folder), 2),
    }


class _Memory:
    """The most memory that this process and those that it starts held at one time.

    Attributes:
        peak: Bytes; what processes share counts for each of them.
    """

    def __enter__(self) -> _Memory:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        # What this one held between two looks.
        self.peak = max(self.peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)

    def _look(self) -> None:
        own = psutil.Process()
        while not self._done.wait(_LOOK_EVERY):
            held = 0
            for process in (own, *own.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    held += process.memory_info().rss
            self.peak = max(self.peak, held)


def _recipe(rows: int, folder: Path) -> Recipe:
    found = Found("rows", "rows.plugin", "spa-bench", "0")
    catalogue = Catalogue([*build_catalogue("none").plugins, load_plugin(found)])
    file = folder / "rows.yaml"
    text = _RECIPE.replace("COUNT", str(rows // SAMPLES)).replace("SAMPLES", str(SAMPLES))
    file.write_text(text, encoding="utf-8")
    return load_recipe(file, catalogue=catalogue)


def _resume(context: RunContext, rows: int, folder: Path) -> float:
    """Seconds to find out what is left of a stage that has all rows on disk, uncommitted."""
    stage = next(stage for stage in context.stages if stage.name == "sample")
    committed = StageFolder(folder / "store" / stage.folder, Response)
    killed = StageFolder(folder / "killed", Response)
    writer = RowWriter(killed)
    for place, row in enumerate(committed.read()):
        writer.rows(place, row.id, [row])
    writer.close()
    (answers,) = (folder / "store").glob("answers-sample-*/part-00000.jsonl")
    started = time.perf_counter()
    again = RowWriter(killed)
    log = AnswerLog(answers)
    left = sum(
        not again.has(SAMPLES * prompt + index, f"p{prompt}/s{index}")
        for prompt in range(rows // SAMPLES)
        for index in range(SAMPLES)
    )
    seconds = time.perf_counter() - started
    if left:
        raise RuntimeError(f"{left} rows are not found again")
    again.close()
    log.close()
    return seconds


if __name__ == "__main__":
    if plugin.__name__ != "rows.plugin":
        raise SystemExit("run it as python -m rows.worker")
    main(*sys.argv[1:])
