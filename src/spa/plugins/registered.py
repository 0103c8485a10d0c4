"""Third step of discovery: imports the class and the config of a component that is used.

Every way in which that can fail has its own message: a module that is not there, a package that it
needs, a missing attribute, a class that does not follow its contract.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spa.errors import PluginError
from spa.fields import members_key
from spa.plugins.component import Component
from spa.plugins.discovery import cause, failure_place
from spa.plugins.kinds import KINDS, Kind

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Registered"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A component that can be used, and where it comes from.

    Attributes:
        component: The record that its plugin announced.
        kind: Name of its kind, see `spa.plugins.kinds`.
        plugin: Entry-point name of its plugin.
        distribution: Normalised name of the distribution that brings it.
        version: Of the distribution.
        builtin: Whether it is spa's own.
    """

    component: Component
    kind: str
    plugin: str
    distribution: str
    version: str
    builtin: bool = False

    @property
    def name(self) -> str:
        """The bare name, as recipes write it."""
        return self.component.name

    @property
    def qualified(self) -> str:
        """``distribution/name``: what manifests and cache keys hold."""
        return f"{self.distribution}/{self.component.name}"

    @property
    def label(self) -> str:
        """For messages: ``judge 'rubric' (spa-rubric 0.2)`` or ``loss 'spa' (built in)``."""
        origin = "built in" if self.builtin else f"{self.distribution} {self.version}"
        return f"{self._kind.title} {self.name!r} ({origin})"

    def load_config_class(self) -> type[BaseModel]:
        """Imports the class of its config.

        Raises:
            PluginError: If it cannot be imported, or is not a pydantic model that is frozen and
                forbids unknown keys.
        """
        from pydantic import BaseModel

        loaded = self._import(self.component.config, "config")
        path = self.component.config
        if not (isinstance(loaded, type) and issubclass(loaded, BaseModel)):
            raise self._error(f"its config {path} is not a pydantic model", derive=True)
        if loaded.model_config.get("extra") != "forbid":
            raise self._error(f"its config {path} must forbid unknown keys", derive=True)
        if not loaded.model_config.get("frozen"):
            raise self._error(f"its config {path} must be frozen", derive=True)
        if members_key(loaded) not in (None, "members"):
            raise self._error(f"the field of {path} that holds its members must be called members")
        return loaded

    def load_class(self) -> type[Any]:
        """Imports the class itself; call it with a config.

        Raises:
            PluginError: If it cannot be imported or lacks a method that its kind needs.
        """
        loaded = self._import(self.component.impl, "class")
        path = self.component.impl
        if not isinstance(loaded, type):
            raise self._error(f"{path} is not a class")
        missing = _missing(loaded, self._kind.methods)
        instead = self._kind.instead
        if missing and not (instead and not _missing(loaded, instead)):
            raise self._error(
                f"{path} has no method {', '.join(missing)}, which {self._kind.article} needs "
                f"(contract spa.api.{self._kind.protocol.__name__})"
            )
        return loaded

    @property
    def _kind(self) -> Kind:
        return KINDS[self.kind]

    def _import(self, path: str, what: str) -> object:
        module_name, _, attribute = path.partition(":")
        try:
            module = importlib.import_module(module_name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._import_error(error, module_name) from error
        try:
            found: object = getattr(module, attribute)
        except AttributeError:
            raise self._error(
                f"its {what} {path} does not exist: {module_name} has no {attribute!r}"
            ) from None
        return found

    def _import_error(self, error: BaseException, module_name: str) -> PluginError:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            return self._error(f"there is no module {module_name!r}")
        hint = self.component.install_hint
        if missing is not None:
            needs = f"it needs the package {missing.partition('.')[0]!r}, which is not installed"
            advice = hint or f"pip install {missing.partition('.')[0]}"
            return self._error(f"{needs}. Try: {advice}")
        place = failure_place(error)
        where = f" (at {place})" if place else ""
        advice = f". Try: {hint}" if hint and isinstance(error, ImportError) else ""
        return self._error(f"{module_name} cannot be imported: {cause(error)}{where}{advice}")

    def _error(self, problem: str, *, derive: bool = False) -> PluginError:
        advice = ". Derive it from spa.api.ComponentConfig" if derive else ""
        return PluginError(f"{self.label}: {problem}{advice}.")


def _missing(loaded: type[Any], methods: Sequence[str]) -> list[str]:
    return [name for name in methods if not callable(getattr(loaded, name, None))]
