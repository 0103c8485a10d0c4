"""The commands and where they are. A command's module is imported when it is called, not before.

So ``spa --help`` stays fast however much a command needs. Help is plain text: formatting it with
rich would take longer than everything else together.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

__all__ = ["COMMANDS", "CommandPlace", "command"]


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """Where a command is, and what ``spa --help`` says of it.

    Attributes:
        name: What is typed.
        target: ``"module:attribute"``: a function, or a `typer.Typer` for a group of commands.
        summary: First line of its docstring, repeated here so that help imports nothing.
    """

    name: str
    target: str
    summary: str


COMMANDS = (
    CommandPlace("run", "spa.cli.run:run", "Align a model as a recipe says."),
    CommandPlace("plan", "spa.cli.plan:plan", "Say what a run would do and cost; load no model."),
    CommandPlace(
        "preview", "spa.cli.preview:preview", "Try a recipe on a few prompts; nothing is kept."
    ),
    CommandPlace(
        "ablate",
        "spa.cli.ablate:ablate",
        "Run every combination of recipes and settings, and compare them.",
    ),
    CommandPlace(
        "retry", "spa.cli.retry:retry", "Try the rows of a run again that failed, and no others."
    ),
    CommandPlace("show", "spa.cli.show:show", "Read the examples of a run."),
    CommandPlace(
        "compare", "spa.cli.compare:compare", "Compare finished runs, paired by held-out prompt."
    ),
    CommandPlace(
        "report",
        "spa.cli.report:report",
        "Write what runs did as one page: figures, charts and examples.",
    ),
    CommandPlace(
        "export",
        "spa.cli.export:export",
        "Write a run's result in a form that other programs load, or its recipe.",
    ),
    CommandPlace("validate", "spa.cli.validate:validate", "Check a recipe without running it."),
    CommandPlace(
        "judge-check",
        "spa.cli.judge_check:judge_check",
        "Find out whether a recipe's judge carries signal.",
    ),
    CommandPlace(
        "judge-agreement",
        "spa.cli.judge_agreement:judge_agreement",
        "See how far two judges agree as groups are admitted by rising det(S).",
    ),
    CommandPlace("schema", "spa.cli.schema:schema", "Write the JSON Schema of recipes."),
    CommandPlace("store", "spa.cli.store:app", "Keep house with what runs made and share."),
    CommandPlace(
        "components", "spa.cli.components:components", "List components, or describe one of them."
    ),
    CommandPlace("plugins", "spa.cli.plugins:app", "See which plugins are there and how they do."),
)
"""All commands, in the order of the help."""


class _LazyCommands(MutableMapping[str, Any]):
    """Name to command, imported when it is looked up."""

    def __init__(self) -> None:
        self._places = {place.name: place for place in COMMANDS}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - typer carries a click of its own
        if name not in self._loaded:
            self._loaded[name] = _load(self._places[name])
        return self._loaded[name]

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401 - as above
        self._loaded[name] = value

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Group(TyperGroup):
    """The top of the command line; its help comes from the table alone."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(**settings)
        self.commands = _LazyCommands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - click's
        """Writes the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(place.name, place.summary) for place in COMMANDS])


def command() -> Any:  # noqa: ANN401 - a click command, of the click that typer carries
    """The whole command line, ready to be called with ``main``."""
    app = typer.Typer(
        cls=_Group,
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_spa)
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from spa import __version__

        typer.echo(f"spa {__version__}")
        raise typer.Exit


def _disable(parts: list[str] | None) -> list[str]:
    if not parts:
        return []
    from spa.errors import PluginError
    from spa.plugins.disabling import disable

    try:
        disable(parts)
    except PluginError as error:
        raise typer.BadParameter(str(error)) from error
    return parts


def _spa(
    plugins: Annotated[
        list[str] | None,
        typer.Option(
            "-P",
            metavar="no:NAME|none",
            help="Leave out one plugin, or all but the built-in ones. Can be repeated.",
            callback=_disable,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Make a language model trustworthy first and helpful second, by its own judgement.

    Begin with: spa run recipes/quickstart.yaml
    """


def _load(place: CommandPlace) -> Any:  # noqa: ANN401 - a click command
    module, _, attribute = place.target.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    if isinstance(target, typer.Typer):
        target.info.name = place.name
        return typer.main.get_command(target)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(place.name, context_settings={"help_option_names": ["-h", "--help"]})(target)
    return typer.main.get_command(single)
