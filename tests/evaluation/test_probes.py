"""Probe files: both forms of a line, what belongs together, and mistakes with their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spa.errors import UsageError
from spa.evaluation.probes import Probe, choose_probes, read_probes
from spa.types import Message

FORMS = (
    'A line is {"prompt": ..., "better": ..., "worse": ..., "objective": ...} or {"prompt": ..., '
    '"response": ..., "objective": ..., "label": 0 or 1}.'
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(*rows: Any, name: str = "mine.jsonl") -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    Path(name).write_text("\n".join(lines), encoding="utf-8")
    return Path(name)


def pair(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Why?", "better": "So.", "worse": "No.", "objective": "honesty", **changes}


def single(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Why?", "response": "So.", "objective": "honesty", "label": 1, **changes}


def test_both_forms_about_one_prompt_make_one_probe() -> None:
    file = write(pair(), "", single(response="Hm.", label=0), single(), pair(objective="use"))
    (honesty, use), sources = read_probes([file])
    assert honesty == Probe(
        honesty.prompt_id, (Message("user", "Why?"),), "honesty", ("So.",), ("No.", "Hm.")
    )
    assert (use.objective, use.prompt_id) == ("use", honesty.prompt_id)
    assert sources == ("mine.jsonl",)


def test_conversations() -> None:
    turns = [{"role": "system", "content": "Be."}, {"role": "user", "content": "Why?"}]
    ((probe,), _) = read_probes([write(pair(prompt=turns))])
    assert probe.messages == (Message("system", "Be."), Message("user", "Why?"))


def test_several_files_are_one_set() -> None:
    files = [
        write(single(), name="a.jsonl"),
        write(single(response="No.", label=0), name="b.jsonl"),
    ]
    (probe,), sources = read_probes(files)
    assert (probe.better, probe.worse, sources) == (("So.",), ("No.",), ("a.jsonl", "b.jsonl"))


def test_without_files_those_that_ship_are_read() -> None:
    probes, sources = read_probes()
    assert sources == ("harmlessness.jsonl", "helpfulness.jsonl", "honesty.jsonl")
    assert {p.objective for p in probes} == {"harmlessness", "helpfulness", "honesty"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("nul", f"not valid JSON: Expecting value (column 1). {FORMS}"),
        ("[]", f"not a JSON object. {FORMS}"),
        ({"prompt": "Why?"}, f"it lacks response, objective, label. {FORMS}"),
        (pair(label=1), f"unknown key label. {FORMS}"),
        (
            {"prompt": "Why?", "better": "So.", "wurse": 1},
            f"it lacks worse, objective; unknown key wurse. {FORMS}",
        ),
        (single(label=2), "label must be 1 (better) or 0 (worse), not 2."),
        (single(label=True), "label must be 1 (better) or 0 (worse), not true."),
        (single(label="1"), 'label must be 1 (better) or 0 (worse), not "1".'),
        (single(response=" "), "response must be a text that is not blank."),
        (pair(worse=None), "worse must be a text that is not blank."),
        (pair(objective=3), "objective must be a text that is not blank."),
        (
            pair(prompt=[{"role": "user"}]),
            'prompt must be a text, or a list of messages such as {"role": "user", "content": '
            '"..."}, none of them blank.',
        ),
        (
            pair(prompt=[{"role": "assistant", "content": "Hi"}]),
            "the last message of prompt must be from the user.",
        ),
        (
            pair(worse="So."),
            "the same answer to the same prompt is labelled both better and worse (the other time "
            "at mine.jsonl:2). Remove one of them.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_its_place(row: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_probes([write(pair(prompt="Another?"), row)])
    assert str(caught.value) == f"mine.jsonl:2: {message}"
    assert caught.value.exit_code == 2


def test_files_that_cannot_be_read() -> None:
    with pytest.raises(UsageError) as caught:
        read_probes([Path("nowhere.jsonl")])
    assert str(caught.value) == (
        "nowhere.jsonl cannot be read: No such file or directory. Give the path of a file of "
        "probes."
    )
    Path("odd.jsonl").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"odd\.jsonl is not UTF-8 text"):
        read_probes([Path("odd.jsonl")])


def probes(*names: str) -> list[Probe]:
    return [Probe(str(at), (), name, ("a",), ("b",)) for at, name in enumerate(names)]


def test_objectives_take_turns_and_others_are_counted() -> None:
    given = probes("a", "a", "a", "c", "b", "c")
    chosen = choose_probes(given, ["b", "a"], limit=3, sources=("x",))
    assert [p.objective for p in chosen.probes] == ["b", "a", "a"]
    assert (chosen.skipped, chosen.sources) == ({"c": 2}, ("x",))


def test_a_recipe_of_other_objectives() -> None:
    with pytest.raises(UsageError) as caught:
        choose_probes(probes("a", "b"), ["steps", "care"])
    assert str(caught.value) == (
        "no probe is about an objective of this recipe (steps, care). The 2 probes are about: "
        f"a, b. Write probes for your objectives and give their file with --probes "
        f"FILE.jsonl.\n{FORMS}"
    )
