"""Raw answers survive the process that got them."""

from __future__ import annotations

import json
import math
from pathlib import Path

from spa.engine.answers import AnswerLog
from spa.types import ChatResult, LabelResult


def kept(path: Path, result: ChatResult | LabelResult) -> object:
    log = AnswerLog(path)
    log.keep("key", result)
    log.close()
    again = AnswerLog(path)
    found = again.find("key")
    again.close()
    return found


def test_a_chat_answer_is_found_again(tmp_path: Path) -> None:
    result = ChatResult("Hi", (5, 0), "stop", 3, reasoning="hm", new_tokens=4)
    assert kept(tmp_path / "answers.jsonl", result) == result


def test_a_label_without_any_probability_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    result = LabelResult((-0.25, -math.inf), 0.78, 3)
    assert kept(path, result) == result

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    json.loads(path.read_text(), parse_constant=no_constant)
