"""The record by which a plugin announces a component: names and strings, no implementation."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Component"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Announces one component; returned in a list by the plugin's hook for its kind.

    Attributes:
        name: What recipes write after ``use:``; lower case, digits and hyphens.
        impl: ``"module:Class"``, imported only when a recipe uses the component.
        config: ``"module:Class"`` of its pydantic config, importable without torch.
        summary: One line for listings.
        api: Version of the kind's contract that the component is written for.
        revision: Raised by the author whenever behaviour changes; part of the cache key.
        install_hint: What to type when ``impl`` needs a package that may be missing.
    """

    name: str
    impl: str
    config: str
    summary: str
    api: int = 1
    revision: int = 1
    install_hint: str | None = None
