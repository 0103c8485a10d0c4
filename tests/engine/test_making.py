"""What a maker makes is what the class makes, and as frozen."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import Any

import pytest

from spa.engine.making import maker
from spa.types import ChatRequest, Message, Response

REQUEST = ((Message("user", "Hi"),), 8, 0.5, 0.9, 3, "So")
RESPONSE = ("text", (1, 2), "length", {"seed": 1}, "p/s0", "p", "refined", 2)


@pytest.mark.parametrize(("cls", "values"), [(ChatRequest, REQUEST), (Response, RESPONSE)])
def test_makes_what_the_class_makes(cls: type[Any], values: tuple[Any, ...]) -> None:
    made = maker(cls)(*values)
    assert type(made) is cls
    assert made == cls(*values)
    assert repr(made) == repr(cls(*values))
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(cls)[0].name, "other")
    assert pickle.loads(pickle.dumps(made)) == made


def test_is_hashed_replaced_and_has_defaults_as_the_class() -> None:
    make_request, make_response = maker(ChatRequest), maker(Response)
    assert hash(make_request(*REQUEST)) == hash(ChatRequest(*REQUEST))
    assert replace(make_request(*REQUEST), seed=4) == replace(ChatRequest(*REQUEST), seed=4)
    first, second = make_response("a"), make_response(text="a")
    assert first == second == Response("a")
    assert first.details is not second.details


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'text'"):
        maker(Response)()  # type: ignore[call-arg]


@dataclass(frozen=True)
class WithoutSlots:
    """Holds its fields in a dictionary."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """Looks at its fields when it is made."""

    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("no name")


class Below(Response):
    """Has fields of a class above."""

    __slots__ = ()


@pytest.mark.parametrize("cls", [WithoutSlots, Checked, Below])
def test_other_classes_are_refused(cls: type[Any]) -> None:
    with pytest.raises(TypeError, match=f"{cls.__name__} is no plain dataclass with slots"):
        maker(cls)
