"""Which backends are open when: at most one that takes memory, remote ones beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from spa.engine.models import ModelPool, same_model
from spa.errors import PluginError
from spa.fields import ComponentConfig
from spa.plugins.component import Component
from spa.plugins.registered import Registered
from spa.recipe import ComponentSpec


class Config(ComponentConfig):
    """Of all backends here."""

    path: str = "m"
    adapter: str | None = None


class Local:
    """Notes what happens to it."""

    said: ClassVar[list[str]] = []

    def __init__(self, config: Config) -> None:
        self.config = config
        self.said.append(f"opened {self.named}")

    @property
    def named(self) -> str:
        return "+".join(filter(None, (self.config.path, self.config.adapter)))

    def answer(self, requests: Sequence[Any]) -> Iterator[Any]:
        yield from ()

    def fingerprint(self) -> str:
        return f"print of {self.named}"

    def close(self) -> None:
        self.said.append(f"closed {self.named}")


class Adopting(Local):
    """Takes another adapter on the same weights."""

    def adopt(self, config: Config) -> bool:
        if config.path != self.config.path:
            return False
        self.said.append(f"adopted {config.adapter}")
        self.config = config
        return True


class Remote(Local):
    remote = True
    spent = 0.0

    def tokenizer_fingerprint(self) -> str:
        return f"tokens of {self.config.path}"

    def figures(self) -> dict[str, float]:
        return {"cost": self.spent}


class Broken(Remote):
    def close(self) -> None:
        super().close()
        raise OSError("no route")


class Tokenless(Remote):
    def tokenizer_fingerprint(self) -> str:
        raise KeyError("x")


def spec(kind: type[Local], **settings: Any) -> ComponentSpec:
    """A section, made anew each time."""
    name = kind.__name__.lower()
    component = Component(
        name=name, impl=f"{__name__}:{kind.__name__}", config=f"{__name__}:Config", summary="x"
    )
    registered = Registered(component, "backend", "tests", "tests", "1")
    return ComponentSpec("backend", name, registered, Config(**settings))


@pytest.fixture
def said() -> list[str]:
    Local.said.clear()
    return Local.said


def test_equal_sections_share_one_backend(said: list[str]) -> None:
    pool = ModelPool()
    assert same_model(spec(Local), spec(Local))
    assert pool.get(spec(Local)) is pool.get(spec(Local))
    assert said == ["opened m"]


def test_one_that_takes_memory_is_closed_before_another_is_opened(said: list[str]) -> None:
    pool = ModelPool()
    for path in ("a", "b", "a"):
        pool.get(spec(Local, path=path))
    pool.close()
    assert said == ["opened a", "closed a", "opened b", "closed b", "opened a", "closed a"]


def test_identities_close_nothing_that_is_open(said: list[str]) -> None:
    pool = ModelPool()
    running = pool.get(spec(Local, path="a"))
    said.clear()
    for _ in range(2):
        assert pool.fingerprint(spec(Local, path="b")) == "print of b"
        assert pool.tokenizer_fingerprint(spec(Local, path="b")) is None
    # Two that were never asked anything, and neither twice.
    assert said == ["opened b", "closed b"] * 2
    assert pool.get(spec(Local, path="a")) is running


def test_a_backend_may_go_on_as_another_of_its_kind(said: list[str]) -> None:
    pool = ModelPool()
    running = pool.get(spec(Adopting, path="a"))
    assert pool.get(spec(Adopting, path="a", adapter="x")) is running
    assert pool.get(spec(Adopting, path="a", adapter="x")) is running
    assert said == ["opened a", "adopted x"]
    pool.get(spec(Adopting, path="b"))
    assert said[2:] == ["closed a+x", "opened b"]
    pool.get(spec(Local, path="b", adapter="x"))  # another component is not asked
    assert said[4:] == ["closed b", "opened b+x"]


def test_remote_ones_stay_open_beside_others(said: list[str]) -> None:
    pool = ModelPool()
    far, near = pool.get(spec(Remote, path="far")), pool.get(spec(Local))
    other = pool.get(spec(Remote, path="further"))
    assert pool.get(spec(Local)) is near
    assert pool.get(spec(Remote, path="far")) is far
    assert pool.get(spec(Remote, path="further")) is other
    assert said == ["opened far", "opened m", "opened further"]
    pool.free()  # as training does
    assert said[3:] == ["closed m"]
    assert pool.get(spec(Remote, path="far")) is far
    pool.close()
    assert sorted(said[4:]) == ["closed far", "closed further"]
    pool.close()
    assert len(said) == 6


def test_all_are_closed_where_one_fails_to(said: list[str]) -> None:
    pool = ModelPool()
    for each in (spec(Remote, path="r"), spec(Broken, path="x"), spec(Local)):
        pool.get(each)
    with pytest.raises(OSError, match="no route"):
        pool.close()
    assert sorted(said[3:]) == ["closed m", "closed r", "closed x"]


def test_figures_are_those_of_what_is_open(said: list[str]) -> None:
    pool = ModelPool()
    assert pool.figures(spec(Remote)) == {}
    backend: Any = pool.get(spec(Remote))
    backend.spent = 1.5
    assert pool.figures(spec(Remote)) == {"cost": 1.5}
    assert pool.figures(spec(Local)) == {}
    assert said == ["opened m"]


def test_a_backend_that_breaks_is_named(said: list[str]) -> None:
    with pytest.raises(PluginError) as caught:
        ModelPool().tokenizer_fingerprint(spec(Tokenless))
    assert str(caught.value) == (
        "backend 'tests/tokenless': tokenizer_fingerprint raised KeyError: 'x'. "
        "This is a fault of its plugin."
    )
    assert said == ["opened m", "closed m"]
