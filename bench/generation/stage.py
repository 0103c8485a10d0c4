"""spa's side, whatever the backend: the stage ``sample`` of a real recipe, rows on disk and all."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from generation.cases import Case, make_prompts
from generation.settings import Timing
from spa.engine.context import RunContext
from spa.engine.interrupt import Interrupt
from spa.engine.models import ModelPool
from spa.engine.policy import Policy
from spa.engine.stages.prompts import prompts_stage
from spa.engine.stages.sample import sample_stage
from spa.recipe import load_recipe

__all__ = ["SampleStage"]


class SampleStage:
    """Runs the stage as often as one likes, each time with a store of its own.

    Attributes:
        models: Holds the backend, started by the first run, or by whoever asks for it before.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        """Takes the recipe's section ``model``."""
        self.models = ModelPool()
        self._model = dict(model)
        self._folder = tempfile.TemporaryDirectory()
        self._runs = 0

    def __enter__(self) -> SampleStage:
        """Nothing is started yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the backend and removes what was written."""
        with self._folder, closing(self.models):
            pass

    def backend(self, case: Case) -> Any:
        """The backend, for a bare side that uses the same weights."""
        return self.models.get(self._context(case).recipe.model)

    def run(self, case: Case) -> Timing:
        """Samples all rows of a case."""
        context = self._context(case)
        policy = Policy("base", context.recipe.model)
        prompts = prompts_stage(context)
        context.models.fingerprint(policy.backend)  # hashing the weights is no part of sampling
        started = time.perf_counter()
        sampled = sample_stage(context, prompts, policy)
        seconds = time.perf_counter() - started
        if sampled.failures:
            raise RuntimeError(f"rows failed: {sampled.failures}")
        tokens = context.stages[-1].details["new_tokens"]
        return Timing(seconds, tokens, len(sampled.rows))

    def _context(self, case: Case) -> RunContext:
        self._runs += 1
        folder = Path(self._folder.name) / str(self._runs)
        folder.mkdir()
        rows = [{"id": p.id, "prompt": p.text} for p in make_prompts(case)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "prompts.jsonl").write_text(lines, encoding="utf-8")
        recipe = {
            "name": "bench",
            "seed": self._runs,  # other answers each time, as those of the bare side are
            "objectives": [
                {"name": "harmlessness", "definition": "-"},
                {"name": "helpfulness", "definition": "-"},
            ],
            "model": self._model,
            "prompts": {"use": "jsonl", "path": "prompts.jsonl"},
            "generate": {
                "use": "diverse",
                "n": case.samples,
                "temperature": case.temperature,
                "max_tokens": case.max_tokens,
                "system_prompts": [],
            },
            "judge": {"use": "constitution"},
            "refine": {"use": "self-refine"},
            "denoise": [],
            "pairs": {"use": "lexicographic"},
            "loss": {"use": "spa"},
            "train": {},
            "evaluate": [],
        }
        (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
        return RunContext(
            name="bench",
            recipe=load_recipe(folder / "recipe.yaml"),
            runs=folder / "runs",
            models=self.models,
            interrupt=Interrupt(),
            listen=lambda _: None,
        )
