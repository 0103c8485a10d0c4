"""Format ``llamafactory``: a ranking dataset in LLaMA-Factory's sharegpt form, with its entry.

LLaMA-Factory skips conversations whose turns do not alternate and trains on nothing in their
place, so such pairs are left out and counted here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.export.formats import FIGURES, figures, scores
from spa.export.pairs import ExportedPair, without_text
from spa.types import Message, Prompt

__all__ = ["TURNS", "LlamaFactoryFormat"]

TURNS = "turns_do_not_alternate"
"""A prompt that is not one optional system turn and then user and assistant in turn."""
_SPEAKERS = {"user": "human", "assistant": "gpt"}


class LlamaFactoryFormat:
    """A JSON file, and ``dataset_info.json`` with the entry that describes it."""

    name = "llamafactory"
    tags: tuple[str, ...] = ("llama-factory",)

    def file(self, run: str) -> str:
        """Named after the run, so that several can lie in one folder."""
        return f"{dataset_name(run)}.json"

    def obstacle(self, pair: ExportedPair) -> str | None:
        """Pairs without text, and prompts that LLaMA-Factory would skip."""
        _, turns = _divided(pair.prompt)
        roles = [turn.role for turn in turns]
        alternating = ["user" if place % 2 == 0 else "assistant" for place in range(len(turns))]
        if roles != alternating or len(turns) % 2 == 0:
            return TURNS
        return without_text(pair)

    def columns(self, objectives: Sequence[str]) -> Mapping[str, str]:
        """Every column with its meaning, in order."""
        names = ", ".join(objectives)
        return {
            "conversations": "turns to answer (`from`: `human` or `gpt`), the last of them human",
            "system": "the prompt's own system turn; empty where it has none",
            "chosen": "the preferred answer, one turn",
            "rejected": "the other answer, one turn",
            "prompt_id": "id of the prompt",
            "chosen_id": "id of the preferred response",
            "rejected_id": "id of the other response",
            "chosen_scores": f"scores of the preferred answer by objective ({names})",
            "rejected_scores": "scores of the other answer by objective",
            **FIGURES,
        }

    def write(
        self, folder: Path, run: str, objectives: Sequence[str], pairs: Sequence[ExportedPair]
    ) -> None:
        """Writes the data and ``dataset_info.json``.

        Raises:
            OSError: If the disk is full or the folder cannot be written.
        """
        with (folder / self.file(run)).open("w", encoding="utf-8") as file:
            for place, item in enumerate(pairs):
                row = json.dumps(_row(objectives, item), ensure_ascii=False, allow_nan=False)
                file.write(f"{',' if place else '['}\n{row}")
            file.write("\n]\n")
        entry = {
            "file_name": self.file(run),
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {
                "messages": "conversations",
                "system": "system",
                "chosen": "chosen",
                "rejected": "rejected",
            },
        }
        # Plain ASCII: LLaMA-Factory reads this file in whatever encoding the machine has.
        text = json.dumps({dataset_name(run): entry}, indent=2)
        (folder / "dataset_info.json").write_text(text + "\n", encoding="ascii")

    def load(self, folder: str, run: str) -> str:
        """How to load the folder, in one line."""
        return f"LLaMA-Factory with stage: dpo, dataset_dir: {folder}, dataset: {dataset_name(run)}"

    def example(self, folder: str, run: str) -> str:
        """The lines of a configuration that name the dataset."""
        return f"""In the configuration of a training:

```yaml
stage: dpo
dataset_dir: {folder}
dataset: {dataset_name(run)}
```

Or copy `{self.file(run)}` into LLaMA-Factory's folder `data`, and the entry in `dataset_info.json`
into the file of that name there."""


def dataset_name(run: str) -> str:
    """The name of the run's dataset: LLaMA-Factory divides lists of names at commas."""
    return "spa-" + re.sub(r"[^A-Za-z0-9._-]+", "-", run)


def _row(objectives: Sequence[str], item: ExportedPair) -> dict[str, Any]:
    system, turns = _divided(item.prompt)
    return {
        "conversations": [{"from": _SPEAKERS[t.role], "value": t.content} for t in turns],
        "system": system,
        "chosen": {"from": "gpt", "value": item.chosen.text},
        "rejected": {"from": "gpt", "value": item.rejected.text},
        "prompt_id": item.pair.prompt_id,
        "chosen_id": item.pair.chosen,
        "rejected_id": item.pair.rejected,
        "chosen_scores": scores(objectives, item.pair.chosen_scores),
        "rejected_scores": scores(objectives, item.pair.rejected_scores),
        **figures(item),
    }


def _divided(prompt: Prompt) -> tuple[str, Sequence[Message]]:
    """The system turn that a prompt begins with, ``""`` if it has none, and the other turns."""
    first, *rest = prompt.messages
    return (first.content, rest) if first.role == "system" else ("", prompt.messages)
