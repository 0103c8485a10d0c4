"""Format ``trl``: conversational preferences with an explicit prompt, as TRL's trainers take them.

Prompt and answers are lists of messages, so that TRL renders them with the chat template of the
model that it trains. Other columns are for filtering and for trainers that weigh pairs; TRL passes
them over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.export.formats import FIGURES, figures, messages, scores, write_parquet
from spa.export.pairs import ExportedPair, without_text
from spa.types import Response

__all__ = ["TrlFormat"]


class TrlFormat:
    """One parquet file, of which ``datasets.load_dataset`` makes the split ``train``."""

    name = "trl"
    tags: tuple[str, ...] = ("trl",)

    def file(self, run: str) -> str:
        """The same for every run."""
        del run
        return "train.parquet"

    def obstacle(self, pair: ExportedPair) -> str | None:
        """Pairs without text are left out: there is nothing to tokenise."""
        return without_text(pair)

    def columns(self, objectives: Sequence[str]) -> Mapping[str, str]:
        """Every column with its meaning, in order."""
        names = ", ".join(objectives)
        return {
            "prompt": "messages to answer, the last of them from the user",
            "chosen": "the preferred answer, a list of one message of the assistant",
            "rejected": "the other answer, likewise",
            "prompt_id": "id of the prompt",
            "chosen_id": "id of the preferred response",
            "rejected_id": "id of the other response",
            "chosen_scores": f"scores of the preferred answer by objective ({names})",
            "rejected_scores": "scores of the other answer by objective",
            "chosen_finish_reason": "`stop`: ended by itself; `length`: cut at the token limit",
            "rejected_finish_reason": "likewise",
            **FIGURES,
        }

    def write(
        self, folder: Path, run: str, objectives: Sequence[str], pairs: Sequence[ExportedPair]
    ) -> None:
        """Writes the parquet file.

        Raises:
            OSError: If the disk is full or the folder cannot be written.
        """
        import pyarrow as pa

        turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
        by_objective = pa.struct([(name, pa.float64()) for name in objectives])
        types = {
            **dict.fromkeys(("prompt", "chosen", "rejected"), turns),
            **dict.fromkeys(("chosen_scores", "rejected_scores"), by_objective),
            **{"margin": pa.float64(), "gap": pa.float64(), "round": pa.int64()},
        }
        columns = [(name, types.get(name, pa.string())) for name in self.columns(objectives)]
        write_parquet(folder / self.file(run), pa.schema(columns), _rows(objectives, pairs))

    def load(self, folder: str, run: str) -> str:
        """How to load the folder, in one line."""
        del run
        return f"datasets.load_dataset({folder!r}, split='train')"

    def example(self, folder: str, run: str) -> str:
        """A DPO training with TRL."""
        return f"""```python
from datasets import load_dataset
from trl import DPOConfig, DPOTrainer

pairs = {self.load(folder, run).removeprefix("datasets.")}
trainer = DPOTrainer("path/of/the/model", args=DPOConfig("output"), train_dataset=pairs)
trainer.train()
```"""


def _rows(objectives: Sequence[str], pairs: Sequence[ExportedPair]) -> Iterator[dict[str, Any]]:
    for item in pairs:
        yield {
            "prompt": messages(item.prompt),
            "chosen": _answer(item.chosen),
            "rejected": _answer(item.rejected),
            "prompt_id": item.pair.prompt_id,
            "chosen_id": item.pair.chosen,
            "rejected_id": item.pair.rejected,
            "chosen_scores": scores(objectives, item.pair.chosen_scores),
            "rejected_scores": scores(objectives, item.pair.rejected_scores),
            "chosen_finish_reason": item.chosen.finish_reason,
            "rejected_finish_reason": item.rejected.finish_reason,
            **figures(item),
        }


def _answer(response: Response) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": response.text}]
