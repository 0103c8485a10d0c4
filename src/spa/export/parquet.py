"""Format ``parquet``: one flat table of everything that the run knows of its pairs.

Scores are a column each, and free-form details are JSON text, so that any reader of tables can use
it. Token ids are those that the model really produced, on which spa itself trains; so pairs without
text are in it, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spa.export.formats import FIGURES, figures, messages, write_parquet
from spa.export.pairs import ExportedPair
from spa.types import Response

__all__ = ["ParquetFormat"]

SIDES = ("chosen", "rejected")


class ParquetFormat:
    """One parquet file, ``pairs.parquet``."""

    name = "parquet"
    tags: tuple[str, ...] = ()

    def file(self, run: str) -> str:
        """The same for every run."""
        del run
        return "pairs.parquet"

    def obstacle(self, pair: ExportedPair) -> str | None:
        """Every pair can be written."""
        del pair
        return None

    def columns(self, objectives: Sequence[str]) -> Mapping[str, str]:
        """Every column with its meaning, in order."""
        found = {
            "prompt_id": "id of the prompt",
            "prompt": "messages to answer, the last of them from the user",
            "prompt_text": "content of the last message",
            "prompt_meta": "what else the source says of the prompt, as JSON",
        }
        for side in SIDES:
            which = "preferred" if side == "chosen" else "other"
            found |= {
                f"{side}_id": f"id of the {which} response",
                f"{side}_text": f"the {which} answer, decoded, without special tokens",
                f"{side}_token_ids": "what the model really produced, the end token included",
                f"{side}_finish_reason": "`stop`: ended by itself; `length`: cut at the limit",
                f"{side}_origin": "`sample`: sampled; `refined`: improved from the samples",
                f"{side}_details": "how it came about (system prompt, temperature), as JSON",
                **{f"{side}_score_{name}": f"its score for {name}" for name in objectives},
            }
        return {**found, **FIGURES}

    def write(
        self, folder: Path, run: str, objectives: Sequence[str], pairs: Sequence[ExportedPair]
    ) -> None:
        """Writes the parquet file.

        Raises:
            OSError: If the disk is full or the folder cannot be written.
        """
        import pyarrow as pa

        turn = pa.struct([("role", pa.string()), ("content", pa.string())])
        types = {
            "prompt": pa.list_(turn),
            **{f"{side}_token_ids": pa.list_(pa.int64()) for side in SIDES},
            **{f"{side}_score_{name}": pa.float64() for side in SIDES for name in objectives},
            **{"margin": pa.float64(), "gap": pa.float64(), "round": pa.int64()},
        }
        columns = [(name, types.get(name, pa.string())) for name in self.columns(objectives)]
        write_parquet(folder / self.file(run), pa.schema(columns), _rows(objectives, pairs))

    def load(self, folder: str, run: str) -> str:
        """How to load the folder, in one line."""
        return f"pyarrow.parquet.read_table({str(Path(folder) / self.file(run))!r})"

    def example(self, folder: str, run: str) -> str:
        """Reading it with pandas."""
        return f"""```python
import pandas

pairs = pandas.read_parquet({str(Path(folder) / self.file(run))!r})
```"""


def _rows(objectives: Sequence[str], pairs: Sequence[ExportedPair]) -> Iterator[dict[str, Any]]:
    for item in pairs:
        yield {
            "prompt_id": item.pair.prompt_id,
            "prompt": messages(item.prompt),
            "prompt_text": item.prompt.text,
            "prompt_meta": _json(item.prompt.meta),
            **_side("chosen", item.chosen, objectives, item.pair.chosen_scores),
            **_side("rejected", item.rejected, objectives, item.pair.rejected_scores),
            **figures(item),
        }


def _side(
    side: str, response: Response, objectives: Sequence[str], values: Sequence[float]
) -> dict[str, Any]:
    named = zip(objectives, values, strict=True)
    return {
        f"{side}_id": response.id,
        f"{side}_text": response.text,
        f"{side}_token_ids": list(response.token_ids),
        f"{side}_finish_reason": response.finish_reason,
        f"{side}_origin": response.origin,
        f"{side}_details": _json(response.details),
        **{f"{side}_score_{name}": value for name, value in named},
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
