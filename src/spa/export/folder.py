"""Writes a run's pairs into one folder with its card: complete, or not at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from spa.engine.stored_run import StoredRun
from spa.errors import RunError
from spa.export.card import dataset_card
from spa.export.formats import PairFormat
from spa.export.llamafactory import LlamaFactoryFormat
from spa.export.pairs import ExportedPair, PairData, read_pairs
from spa.export.parquet import ParquetFormat
from spa.export.trl import TrlFormat

__all__ = ["PAIR_FORMATS", "Exported", "check_free", "export_pairs"]

PAIR_FORMATS: dict[str, PairFormat] = {
    form.name: form for form in (TrlFormat(), LlamaFactoryFormat(), ParquetFormat())
}
"""The formats of preference pairs by name."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        data: The pairs in the folder, and what was left out.
        load: How to load the folder, in one line.
    """

    data: PairData
    load: str


def check_free(output: Path) -> None:
    """Makes sure that nothing is overwritten.

    Raises:
        RunError: If the folder holds something.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunError(f"{output} exists and is not empty. Choose another folder, or delete it.")


def export_pairs(
    run: StoredRun, output: Path, form: PairFormat, only: int | None = None
) -> Exported:
    """Writes pairs and card under a temporary name, then renames the folder.

    Args:
        run: The run; it may have failed after its pairs were made.
        output: The folder to write; it must not exist, or be empty.
        form: How to write them.
        only: The round to write; None: all.

    Raises:
        SpaError: If there is nothing to write, or it cannot be read or written.
    """
    from spa.training.saving import write_folder

    check_free(output)
    data = _fit(read_pairs(run, only), form)
    card = dataset_card(data, form)

    def write(folder: Path) -> None:
        form.write(folder, run.name, run.objectives, data.pairs)
        (folder / "README.md").write_text(card, encoding="utf-8")

    write_folder(output, write)
    return Exported(data, form.load(str(output), run.name))


def _fit(data: PairData, form: PairFormat) -> PairData:
    """Only the pairs that the format can hold; the others are counted.

    Raises:
        RunError: If none is left.
    """
    left_out = Counter(data.left_out)
    kept: list[ExportedPair] = []
    for pair in data.pairs:
        reason = form.obstacle(pair)
        if reason is None:
            kept.append(pair)
        else:
            left_out[reason] += 1
    if not kept:
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise RunError(
            f"{data.run.folder}: none of its {data.total} pairs can be written as {form.name}: "
            f"{lost}. The reasons are described under spa export in the reference of commands."
        )
    return replace(data, pairs=tuple(kept), left_out=dict(left_out))
