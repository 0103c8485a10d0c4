"""What a stage is before it is carried out, and what it hands on after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from spa.engine.asking import Job
from spa.recipe import ComponentSpec
from spa.types import RequestFailure

__all__ = ["Stage", "StageRows"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Stage(Generic[T, R]):
    """What a stage is.

    Attributes:
        name: Its name, and the beginning of its folder's; part of its key.
        row_type: The dataclass of its rows.
        components: The components that it uses, in order.
        jobs: Its work, in the order of the prompts; ids are unique and stable.
        total: How many jobs there will be; None if that is not known.
        rows: Makes the rows of a finished job.
        reads: Keys of the stages that it reads.
        backend: The model that its components ask; None if they cannot ask.
        settings: What else changes its results.
        seed_name: Stages of the same seed name draw the same random numbers for the same job.
        unscored: Why a row counts as unscored, None if it does not; for stages that judge.
        title: How it is shown and what the manifest calls it; its name if empty. Stages of one
            name and key share their rows whatever their titles.
        details: What the manifest says of it besides.
    """

    name: str
    row_type: type[R]
    components: tuple[ComponentSpec, ...]
    jobs: Callable[[], Iterable[Job[T]]]
    total: int | None
    rows: Callable[[Job[T], T], Sequence[R]]
    reads: tuple[str, ...] = ()
    backend: ComponentSpec | None = None
    settings: Mapping[str, Any] | None = None
    seed_name: str = ""
    unscored: Callable[[R], str | None] | None = None
    title: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """How it is shown."""
        return self.title or self.name


@dataclass(frozen=True, slots=True)
class StageRows(Generic[R]):
    """A stage that is done.

    Attributes:
        key: Its cache key.
        rows: All its rows, in the order of its jobs. They are read from disk each time.
        failures: Jobs that could not be done, by id.
        jobs: How many jobs it had.
        planned: Whether nothing was carried out: the rows are then a few examples, made up where
            the stage is not in the store, and the key is empty where it cannot be known yet.
    """

    key: str
    rows: Collection[R]
    failures: Mapping[str, RequestFailure]
    jobs: int = 0
    planned: bool = False

    def column(self, name: str) -> Iterator[Any]:
        """One field of every row, in order."""
        stored: Callable[[str], Iterator[Any]] | None = getattr(self.rows, "column", None)
        if stored is not None:
            return stored(name)
        return (getattr(row, name) for row in self.rows)
