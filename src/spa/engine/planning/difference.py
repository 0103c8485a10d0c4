"""Says in words of the recipe what differs between two keys of one stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spa.engine.changes import Change, changes
from spa.plugins.kinds import KINDS

__all__ = ["key_changes"]

_SETTINGS = {"train": "train", "answer": "answer", "prompts": "prompts"}
_NAMES = {"prompts.heldout": "prompts.split.heldout"}


def key_changes(
    stage: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    kinds: Sequence[str],
    reads: Sequence[str],
    fingerprints: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> tuple[Change, ...]:
    """What differs between the parts of two keys.

    Args:
        stage: Name of the stage.
        old: Parts of the key of what is in the store.
        new: Parts of the key that the recipe asks for.
        kinds: Kind of each component of the stage, in order.
        reads: Title of each stage that it reads, in order.
        fingerprints: What the models' fingerprints are made of, of old and new; empty if not said.
    """
    return (
        *_components(old.get("components") or (), new.get("components") or (), kinds),
        *_model(old.get("model"), new.get("model"), fingerprints),
        *_reads(old.get("reads") or (), new.get("reads") or (), reads),
        *_settings(stage, old.get("settings") or {}, new.get("settings") or {}),
        *changes(old.get("seed"), new.get("seed"), "seed"),
    )


def _components(old: Sequence[Any], new: Sequence[Any], kinds: Sequence[str]) -> Iterator[Change]:
    if len(old) != len(new):
        path = _section(kinds[0]) if kinds else "components"
        yield Change(path, _listed(old), _listed(new))
        return
    several = len(new) > 1
    for place, (one, other) in enumerate(zip(old, new, strict=True)):
        section = _section(kinds[place]) if place < len(kinds) else "component"
        yield from _component(f"{section}.{place}" if several else section, one, other)


def _component(section: str, old: Any, new: Any) -> Iterator[Change]:  # noqa: ANN401  # any JSON
    if not isinstance(old, Mapping) or old.get("component") != new["component"]:
        yield Change(section, _name(old), _name(new))
        return
    if old.get("revision") != new["revision"]:
        before, after = old.get("revision"), new["revision"]
        words = f"revision of {section} {new['component']}: {before} -> {after}"
        yield Change(f"{section}.revision", before, after, words)
    yield from changes(old.get("config"), new["config"], section)


def _model(
    old: Any,  # noqa: ANN401  # any JSON
    new: Any,  # noqa: ANN401
    fingerprints: tuple[Mapping[str, str], Mapping[str, str]],
) -> Iterator[Change]:
    if old == new:
        return
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        yield Change("model", _name(old), _name(new))
        return
    yield from _component("model", old, new)
    if old.get("component") == new["component"] and old.get("fingerprint") != new["fingerprint"]:
        before, after = fingerprints
        parts = [name for name in after if before and before.get(name) != after[name]]
        what = " and ".join(parts) or "weights or other files"
        yield Change(
            "model.fingerprint", old.get("fingerprint"), new["fingerprint"],
            f"{what} of the model changed",
        )  # fmt: skip


def _reads(old: Sequence[Any], new: Sequence[str], titles: Sequence[str]) -> Iterator[Change]:
    if len(old) != len(new):
        yield Change("reads", len(old), len(new), f"reads {len(new)} stages, not {len(old)}")
        return
    changed = [place for place, key in enumerate(new) if old[place] != key]
    if changed:
        named = ", ".join(titles[place] or "an earlier stage" for place in changed)
        before, after = ([keys[place] for place in changed] for keys in (old, new))
        yield Change("reads", before, after, f"reads {named} (changed above)")


def _settings(stage: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    section = _SETTINGS.get(stage.partition("-")[0], "")
    before, after = (_named(stage, settings) for settings in (old, new))
    for change in changes(before, after, section):
        if change.path == "prompts.source":
            words = "the content of the prompts changed"
            yield Change(change.path, change.old, change.new, words)
        else:
            path = _NAMES.get(change.path, change.path)
            yield Change(path, change.old, change.new)


def _named(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with objectives as recipes write them; in keys they are lists of values."""
    named = dict(settings)
    second = "threshold" if stage in ("denoise", "pairs") else "definition"
    for key in ("objectives", "thresholds"):
        listed = named.pop(key, None)
        if listed is not None:
            fields = ("name", second, "threshold")
            named["objectives"] = [dict(zip(fields, each, strict=False)) for each in listed]
    return named


def _section(kind: str) -> str:
    return KINDS[kind].key


def _name(component: Any) -> str | None:  # noqa: ANN401  # any JSON
    return str(component.get("component")) if isinstance(component, Mapping) else None


def _listed(components: Sequence[Any]) -> list[str]:
    return [_name(each) or "?" for each in components]
