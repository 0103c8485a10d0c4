"""Holds the models that stages ask, and says which model is which.

At most one model that takes memory of this machine is held: asking for another closes it first, or
has it go on as the other where it can. So a machine needs room for one model only, and training
finds the memory free. Backends of remote models take none, and stay open until the run's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from spa.contracts import Backend
from spa.engine.components import create
from spa.errors import PluginError, SpaError
from spa.recipe import ComponentSpec

__all__ = ["ModelPool", "same_model"]

T = TypeVar("T")


def same_model(one: ComponentSpec, other: ComponentSpec) -> bool:
    """Whether two sections name one backend with the same settings, wherever they stand."""
    return _name(one) == _name(other)


@dataclass(slots=True)
class _Held:
    """A backend that is open, and the section that it runs for."""

    spec: ComponentSpec
    backend: Backend


class ModelPool:
    """Opens backends as stages need them; equal sections share one."""

    def __init__(self) -> None:
        """Opens nothing yet."""
        self._local: _Held | None = None
        self._remote: dict[str, _Held] = {}
        self._fingerprints: dict[str, str] = {}
        self._tokenizers: dict[str, str | None] = {}
        self._told: dict[str, Mapping[str, str]] = {}

    def get(self, spec: ComponentSpec) -> Backend:
        """The backend of a section; what it leaves no room for is closed.

        Raises:
            PluginError: If it cannot be made.
        """
        held = self._find(spec)
        if held is not None:
            return held.backend
        if getattr(spec.registered.load_class(), "remote", False):
            held = self._remote[_name(spec)] = _Held(spec, _open(spec))
            return held.backend
        if self._local is not None and not self._adopted(self._local, spec):
            self.free()
        if self._local is None:
            self._local = _Held(spec, _open(spec))
        return self._local.backend

    def fingerprint(self, spec: ComponentSpec) -> str:
        """The identity of a section's model. Loads no weights, and closes nothing that is open."""
        name = _name(spec)
        if name not in self._fingerprints:
            with _unstarted(spec) as backend:
                self._fingerprints[name] = backend.fingerprint()
        return self._fingerprints[name]

    def told(self, spec: ComponentSpec) -> Mapping[str, str]:
        """What a model's fingerprint is made of; nothing if its backend does not say.

        Raises:
            PluginError: If the backend breaks on it.
        """
        name = _name(spec)
        if name not in self._told:
            with _unstarted(spec) as backend:
                ask: Callable[[], Mapping[str, str]] | None = getattr(
                    backend, "fingerprint_parts", None
                )
                told = {} if ask is None else dict(_call(spec, "fingerprint_parts", ask))
                self._told[name] = told
        return self._told[name]

    def tokenizer_fingerprint(self, spec: ComponentSpec) -> str | None:
        """The identity of the tokenizer of a section's model, None where its backend says none.

        Raises:
            PluginError: If the backend breaks on it.
        """
        name = _name(spec)
        if name not in self._tokenizers:
            with _unstarted(spec) as backend:
                ask = getattr(backend, "tokenizer_fingerprint", None)
                told = None if ask is None else _call(spec, "tokenizer_fingerprint", ask)
                self._tokenizers[name] = told
        return self._tokenizers[name]

    def figures(self, spec: ComponentSpec) -> Mapping[str, float]:
        """What the backend of a section counted since it was opened; nothing if it is not open.

        Raises:
            PluginError: If the backend breaks on it.
        """
        held = self._find(spec)
        ask: Callable[[], Mapping[str, float]] | None = getattr(
            None if held is None else held.backend, "figures", None
        )
        return {} if ask is None else dict(_call(spec, "figures", ask))

    def free(self) -> None:
        """Closes what takes memory of this machine."""
        held, self._local = self._local, None
        if held is not None:
            held.backend.close()

    def close(self) -> None:
        """Closes all that is open, the rest also where one fails to."""
        remote, self._remote = self._remote, {}
        with ExitStack() as stack:
            for held in remote.values():
                stack.callback(held.backend.close)
            stack.callback(self.free)

    def _find(self, spec: ComponentSpec) -> _Held | None:
        if self._local is not None and same_model(self._local.spec, spec):
            return self._local
        return self._remote.get(_name(spec))

    @staticmethod
    def _adopted(held: _Held, spec: ComponentSpec) -> bool:
        """Whether the backend that is open goes on as that of another section."""
        if held.spec.registered.qualified != spec.registered.qualified:
            return False
        adopt: Callable[[Any], bool] | None = getattr(held.backend, "adopt", None)
        if adopt is None or not _call(spec, "adopt", partial(adopt, spec.config)):
            return False
        held.spec = spec
        return True


def _name(spec: ComponentSpec) -> str:
    return f"{spec.registered.qualified} {spec.config.model_dump_json()}"


def _open(spec: ComponentSpec) -> Backend:
    return cast("Backend", create(spec))


@contextmanager
def _unstarted(spec: ComponentSpec) -> Iterator[Backend]:
    """A backend that says who it is and is never asked anything else."""
    with closing(_open(spec)) as backend:
        yield backend


def _call(spec: ComponentSpec, method: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except SpaError:
        raise
    except Exception as error:
        raise PluginError(
            f"backend '{spec.registered.qualified}': {method} raised {type(error).__name__}: "
            f"{error}. This is a fault of its plugin."
        ) from error
