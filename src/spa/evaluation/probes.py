"""Probes: answers of which it is known which are better, read from JSON Lines.

The beginning of a judge check. A line is a pair, or one answer with its label; lines about one
prompt and objective make one probe together. Files may be written by anyone, so every line is
checked, and a mistake is named with its place.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast, get_args

from spa.data import load_probes
from spa.errors import UsageError
from spa.types import Message, Role

__all__ = ["Probe", "ProbeSet", "choose_probes", "read_probes"]

_FORMS: tuple[tuple[str, ...], ...] = (
    ("prompt", "better", "worse", "objective"),
    ("prompt", "response", "objective", "label"),
)
_VALID = (
    'A line is {"prompt": ..., "better": ..., "worse": ..., "objective": ...} or '
    '{"prompt": ..., "response": ..., "objective": ..., "label": 0 or 1}.'
)
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Probe:
    """One prompt with labelled answers, on one objective.

    Attributes:
        prompt_id: A hash of the conversation; the same in probes of other objectives.
        messages: The conversation, the last turn from the user.
        objective: Name of the objective that the labels are about.
        better: Answers labelled 1.
        worse: Answers labelled 0.
    """

    prompt_id: str
    messages: tuple[Message, ...]
    objective: str
    better: tuple[str, ...]
    worse: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """The probes of a check.

    Attributes:
        probes: Those that the recipe's judge can be asked about.
        skipped: Objectives that the recipe does not have, with how many probes they had.
        sources: Names of the files.
    """

    probes: tuple[Probe, ...]
    skipped: Mapping[str, int]
    sources: tuple[str, ...]


def read_probes(files: Sequence[Path] = ()) -> tuple[tuple[Probe, ...], tuple[str, ...]]:
    """Reads probes, and says from which files.

    Args:
        files: JSON Lines; without any, those that ship with spa.

    Raises:
        UsageError: If a file cannot be read or a line is wrong.
    """
    texts = {str(file): _text(file) for file in files} if files else load_probes()
    gathered: dict[tuple[tuple[Message, ...], str], tuple[dict[str, str], dict[str, str]]] = {}
    for name, text in texts.items():
        for place, row in _rows(name, text):
            messages, objective, answers = _line(row, place)
            known = gathered.setdefault((messages, objective), ({}, {}))  # text to its place
            for answer, label in answers:
                known[label].setdefault(answer, place)
                if answer in known[1 - label]:
                    raise UsageError(
                        f"{place}: the same answer to the same prompt is labelled both better and "
                        f"worse (the other time at {known[1 - label][answer]}). Remove one of them."
                    )
    probes = tuple(
        Probe(_id(messages), messages, objective, tuple(better), tuple(worse))
        for (messages, objective), (worse, better) in gathered.items()
    )
    return probes, tuple(texts)


def choose_probes(
    probes: Sequence[Probe],
    objectives: Sequence[str],
    *,
    limit: int | None = None,
    sources: Sequence[str] = (),
) -> ProbeSet:
    """The probes about a recipe's objectives, which take turns so that any first part is balanced.

    Args:
        probes: All of them.
        objectives: Names of the recipe's objectives.
        limit: Use so many at most; None: all.
        sources: Where they come from.

    Raises:
        UsageError: If none is about an objective of the recipe.
    """
    of = {name: [p for p in probes if p.objective == name] for name in objectives}
    turns = zip_longest(*of.values())
    chosen = [probe for turn in turns for probe in turn if probe is not None]
    skipped = Counter(p.objective for p in probes if p.objective not in of)
    if not chosen:
        raise UsageError(
            f"no probe is about an objective of this recipe ({', '.join(objectives)}). The "
            f"{len(probes)} probes are about: {', '.join(sorted(skipped)) or 'nothing'}. Write "
            "probes for your objectives and give their file with --probes FILE.jsonl.\n" + _VALID
        )
    return ProbeSet(tuple(chosen[:limit]), dict(skipped), tuple(sources))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}. Give the path of a file of probes."
        ) from None


def _rows(name: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{place}: not valid JSON: {error.msg} (column {error.colno}). {_VALID}"
            ) from None
        if not isinstance(row, dict):
            raise UsageError(f"{place}: not a JSON object. {_VALID}")
        yield place, row


def _line(
    row: Mapping[str, Any], place: str
) -> tuple[tuple[Message, ...], str, list[tuple[str, int]]]:
    form = _FORMS[0] if {"better", "worse"} & set(row) else _FORMS[1]
    missing = [key for key in form if key not in row]
    unknown = [key for key in row if key not in form]
    if missing or unknown:
        lacks = f"it lacks {', '.join(missing)}" if missing else ""
        odd = f"unknown key {', '.join(unknown)}" if unknown else ""
        raise UsageError(f"{place}: {'; '.join(filter(None, (lacks, odd)))}. {_VALID}")
    messages = _messages(row["prompt"], place)
    objective = _filled(row, "objective", place)
    if form is _FORMS[0]:
        return (
            messages,
            objective,
            [(_filled(row, key, place), 1 - at) for at, key in enumerate(form[1:3])],
        )
    label = row["label"]
    if isinstance(label, bool) or label not in (0, 1):
        raise UsageError(
            f"{place}: label must be 1 (better) or 0 (worse), not {json.dumps(label)}."
        )
    return messages, objective, [(_filled(row, "response", place), int(label))]


def _filled(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{place}: {key} must be a text that is not blank.")
    return value


def _messages(prompt: Any, place: str) -> tuple[Message, ...]:  # noqa: ANN401 - of any JSON type
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(turns, list) or not turns or not all(map(_is_turn, turns)):
        raise UsageError(
            f"{place}: prompt must be a text, or a list of messages such as "
            '{"role": "user", "content": "..."}, none of them blank.'
        )
    if turns[-1]["role"] != "user":
        raise UsageError(f"{place}: the last message of prompt must be from the user.")
    return tuple(Message(cast("Role", turn["role"]), turn["content"]) for turn in turns)


def _is_turn(turn: Any) -> bool:  # noqa: ANN401 - of any JSON type
    return (
        isinstance(turn, dict)
        and turn.get("role") in get_args(Role)
        and isinstance(turn.get("content"), str)
        and bool(turn["content"].strip())
    )


def _id(messages: Sequence[Message]) -> str:
    content = json.dumps([[m.role, m.content] for m in messages], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:_ID_LENGTH]
