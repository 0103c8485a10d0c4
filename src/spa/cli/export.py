"""``spa export``: turns what a run trained into a form that other programs load."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spa.errors import SpaError

if TYPE_CHECKING:
    from spa.models.spec import ModelSpec

__all__ = ["export"]


class _UsageError(SpaError):
    exit_code = 2


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a finished run, for example runs/quickstart.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write; must not exist, or be empty.")
    ],
    format: Annotated[
        str, typer.Option("--format", "-f", help="What to write. Valid: merged.")
    ] = "merged",
) -> None:
    """Writes a run's result in a form that other programs load.

    merged: the model with its adapter merged in, loadable with plain transformers.
    """
    writers: dict[str, Callable[[Path, Mapping[str, Any], Path], None]] = {"merged": _merged}
    if format not in writers:
        raise _UsageError(f"unknown format {format!r}. Valid: {', '.join(sorted(writers))}.")
    manifest = _manifest(run)
    output = Path(os.path.abspath(output))  # noqa: PTH100  # keeps links as the user wrote them
    writers[format](run, manifest, output)
    typer.echo(f"Model:   {output}")
    typer.echo(f"Load:    transformers.AutoModelForCausalLM.from_pretrained({str(output)!r})")


def _merged(run: Path, manifest: Mapping[str, Any], output: Path) -> None:
    # Here, so that `spa --help` imports neither torch nor transformers.
    from spa.training.merge import merge_adapter
    from spa.training.saving import write_folder

    trained = _trained(run, manifest)
    if output.resolve().is_relative_to(trained.resolve()):
        raise SpaError(f"{output} lies inside {trained}, which is copied. Choose another folder.")
    if (trained / "adapter_config.json").is_file():
        merge_adapter(_base(manifest, run), trained, output)
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SpaError(f"{output} exists and is not empty. Choose another folder, or delete it.")
    write_folder(output, lambda folder: _copy(trained, folder))


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except shutil.Error as error:
        # Its own text is a list of tuples, one a file.
        raise OSError(str(error.args[0][0][2])) from error


def _manifest(run: Path) -> Mapping[str, Any]:
    path = run / "run.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _UsageError(
            f"{run} is no run folder: it holds no run.json. Runs lie in runs/NAME."
        ) from None
    except (OSError, ValueError) as error:
        raise SpaError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise SpaError(f"{path} is not a run manifest.")
    return manifest


def _trained(run: Path, manifest: Mapping[str, Any]) -> Path:
    """The folder of the adapter, or of the model where all weights were trained."""
    named = (manifest.get("outputs") or {}).get("path")
    if not named:
        raise SpaError(
            f"{run} has no trained adapter: it did not get through the stage train. "
            "Finish it first."
        )
    path = Path(os.path.normpath(run / str(named)))
    if not path.is_dir():
        raise SpaError(f"{run}: its adapter {path} is gone. Run the recipe again to train it anew.")
    return path


def _base(manifest: Mapping[str, Any], run: Path) -> ModelSpec:
    from spa.models.spec import ModelSpec
    from spa.recipe.validation import TRUST_VARIABLE

    section = (manifest.get("recipe") or {}).get("model") or {}
    if "path" not in section:
        raise SpaError(f"{run}/run.json does not say which model was trained (recipe.model.path).")
    # A run folder may come from a stranger, as a recipe may.
    trusted = {"trust_remote_code"} if os.environ.get(TRUST_VARIABLE) == "1" else set()
    known = {"path", "dtype", "device"} | trusted
    return ModelSpec(**{key: value for key, value in section.items() if key in known})
