"""Format ``merged``: the trained model with its card, for programs that know no adapters."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from spa.engine.stored_run import StoredRun
from spa.errors import SpaError
from spa.export.folder import check_free
from spa.export.model_card import model_card

if TYPE_CHECKING:
    from spa.models.spec import ModelSpec

__all__ = ["export_merged"]


def export_merged(run: StoredRun, output: Path) -> None:
    """Writes the model with its adapter merged in, or copies it where all weights were trained.

    Raises:
        SpaError: If nothing was trained, what was is gone, or ``output`` cannot be written.
    """
    from spa.training.merge import merge_adapter
    from spa.training.saving import write_folder

    trained = _trained(run)
    if output.resolve().is_relative_to(trained.resolve()):
        raise SpaError(f"{output} lies inside {trained}, which is copied. Choose another folder.")
    if (trained / "adapter_config.json").is_file():
        merge_adapter(_base(run), trained, output, card=model_card(run))
        return
    check_free(output)
    card = model_card(run)

    def write(folder: Path) -> None:
        _copy(trained, folder)
        (folder / "README.md").write_text(card, encoding="utf-8")

    write_folder(output, write)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except shutil.Error as error:
        # Its own text is a list of tuples, one a file.
        raise OSError(str(error.args[0][0][2])) from error


def _trained(run: StoredRun) -> Path:
    """The folder of the adapter, or of the model where all weights were trained."""
    named = (run.manifest.get("outputs") or {}).get("path")
    if not named:
        raise SpaError(
            f"{run.folder} has no trained adapter: it did not get through the stage train. "
            "Finish it first."
        )
    path = Path(os.path.normpath(run.folder / str(named)))
    if not path.is_dir():
        raise SpaError(
            f"{run.folder}: its adapter {path} is gone. Run the recipe again to train it anew."
        )
    return path


def _base(run: StoredRun) -> ModelSpec:
    from spa.models.spec import ModelSpec
    from spa.recipe.validation import TRUST_VARIABLE

    section = run.recipe.get("model") or {}
    if "path" not in section:
        raise SpaError(
            f"{run.folder}/run.json does not say which model was trained (recipe.model.path)."
        )
    # A run folder may come from a stranger, as a recipe may.
    trusted = {"trust_remote_code"} if os.environ.get(TRUST_VARIABLE) == "1" else set()
    known = {"path", "dtype", "device"} | trusted
    return ModelSpec(**{key: value for key, value in section.items() if key in known})
