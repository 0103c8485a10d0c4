"""``spa schema``: writes the JSON Schema of recipes, by which editors complete and check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["schema"]


def schema(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write. Default: print it.", dir_okay=False),
    ] = None,
) -> None:
    """Write the JSON Schema of recipes.

    It knows the components that are installed here; editors complete and check recipes by it.
    """
    from spa.errors import SpaError
    from spa.plugins.catalogue import load_catalogue
    from spa.recipe import recipe_schema

    text = json.dumps(recipe_schema(load_catalogue()), indent=2, ensure_ascii=False)
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SpaError(f"cannot write {output}: {error.strerror or error}") from error
    typer.echo(
        f"Wrote {output}. Editors use it where a recipe begins with the line: "
        f"# yaml-language-server: $schema={output}",
        err=True,
    )
