"""Conversations as token ids: templates without a system role, and thinking models."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_llama import make_tokenizer

from spa.errors import SpaError
from spa.models.chat import render, render_text
from spa.models.reasoning import ReasoningTags, find_tags, part, part_text
from spa.types import Message

TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
PLAIN = TURNS + "<|assistant|>"
ALTERNATING = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}"
    "{% endif %}<|user|>{{ m.content }}<|end|>{% endfor %}<|assistant|>"
)
SILENT = (
    "{% for m in messages %}{% if m.role != 'system' %}<|user|>{{ m.content }}<|end|>{% endif %}"
    "{% endfor %}<|assistant|>"
)
THINKS_IF_ASKED = (
    TURNS + "<|assistant|>{% if enable_thinking is defined and not enable_thinking %}"
    "<think></think>{% endif %}"
)
ALWAYS_THINKS = TURNS + "<|assistant|><think>{# until </think> #}"


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.mark.parametrize("template", [ALTERNATING, SILENT])
def test_a_system_message_goes_into_the_first_user_turn(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    messages = [Message("system", "Be brief."), Message("user", "Hi"), Message("user", "Ho")]
    text = render_text(tokenizer, messages).text
    assert text == "<|user|>Be brief.\n\nHi<|end|><|user|>Ho<|end|><|assistant|>"


def test_a_system_role_that_is_there_is_used(tokenizer: Any) -> None:
    tokenizer.chat_template = PLAIN
    text = render_text(tokenizer, [Message("system", "Be brief."), Message("user", "Hi")]).text
    assert text == "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>"


def test_several_turns_keep_their_order(tokenizer: Any) -> None:
    tokenizer.chat_template = PLAIN
    turns = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    expected = "<|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>"
    assert render_text(tokenizer, turns).text == expected
    ids = tokenizer(expected, add_special_tokens=False)["input_ids"]
    assert render(tokenizer, turns) == ids


def test_without_turns_a_text_is_plain(tokenizer: Any) -> None:
    assert render_text(tokenizer, [], "Answer:").text == "Answer:"
    tokenizer.chat_template = None
    text = "A text. Answer:"
    assert render(tokenizer, [], text) == tokenizer(text)["input_ids"]
    with pytest.raises(SpaError, match="no chat template"):
        render_text(tokenizer, [])


def test_plain_text_begins_as_the_tokenizer_has_it(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.bos_token = tokenizer.eos_token
    own = type(tokenizer).__call__

    def beginning(self: Any, text: str, add_special_tokens: bool = True, **more: Any) -> Any:
        ids = own(self, text, add_special_tokens=False, **more)["input_ids"]
        return {"input_ids": [self.bos_token_id, *ids] if add_special_tokens else ids}

    monkeypatch.setattr(type(tokenizer), "__call__", beginning)
    assert render(tokenizer, [], "Answer:") == tokenizer("Answer:")["input_ids"]


def test_a_prefilled_answer_comes_after_the_reasoning(tokenizer: Any) -> None:
    user = [Message("user", "Hi")]
    tokenizer.chat_template = THINKS_IF_ASKED
    assert render_text(tokenizer, user).text.endswith("<|assistant|>")
    assert render_text(tokenizer, user, "Score: ").text.endswith("<think></think>Score: ")
    assert render_text(tokenizer, user, direct=True).text.endswith("<think></think>")
    tokenizer.chat_template = ALWAYS_THINKS
    assert render_text(tokenizer, user) == ("<|user|>Hi<|end|><|assistant|><think>", True)
    closed = render_text(tokenizer, user, "Score: ")
    assert closed == ("<|user|>Hi<|end|><|assistant|><think>\n\n</think>\n\nScore: ", False)


def test_the_users_variables_reach_the_template(tokenizer: Any) -> None:
    tokenizer.chat_template = THINKS_IF_ASKED
    text = render_text(tokenizer, [Message("user", "Hi")], options={"enable_thinking": False}).text
    assert text.endswith("<think></think>")


def test_tags_are_found_in_the_template(tokenizer: Any) -> None:
    tokenizer.chat_template = PLAIN
    assert find_tags(tokenizer) is None
    tokenizer.chat_template = ALWAYS_THINKS
    assert find_tags(tokenizer) == ReasoningTags("<think>", "</think>")


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize(
    ("text", "begun", "reasoning", "answer"),
    [
        ("<think> why </think> so", False, "why", "so"),
        ("why </think> so", True, "why", "so"),
        ("a </think> b </think> c", True, None, "c"),
        ("<think> why", False, "why", ""),
        ("why", True, "why", ""),
        ("so", False, "", "so"),
        ("", False, "", ""),
    ],
)
def test_reasoning_is_parted_from_the_answer(
    tokenizer: Any, special: bool, text: str, begun: bool, reasoning: str | None, answer: str
) -> None:
    if special:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = part(tokenizer, ids, ReasoningTags("<think>", "</think>"), begun=begun)
    assert found.answer == answer
    assert reasoning is None or found.reasoning == reasoning


def test_a_model_that_does_not_think_keeps_its_words(tokenizer: Any) -> None:
    ids = tokenizer("a </think> b", add_special_tokens=False)["input_ids"]
    assert part(tokenizer, ids, None) == ("", "a </think> b")


@pytest.mark.parametrize(
    ("text", "begun", "expected"),
    [
        ("The answer.", False, ("", "The answer.")),
        ("<think>\nWell.\n</think>\n\nThe answer.", False, ("Well.", "The answer.")),
        ("[THINK]Well.[/THINK]The answer.", False, ("Well.", "The answer.")),
        ("Well.\n</think>\n\nThe answer.", False, ("Well.", "The answer.")),
        ("<think>\nWell, if", False, ("Well, if", "")),
        ("Well, if", True, ("Well, if", "")),
        ("Well.</think>The answer.", True, ("Well.", "The answer.")),
        ("Write <think> before it, </think> after.", False,
         ("", "Write <think> before it, </think> after.")),
        ("<think></think>The answer.", False, ("", "The answer.")),
    ],
)  # fmt: skip
def test_text_without_token_ids_is_parted_by_its_tags(
    text: str, begun: bool, expected: tuple[str, str]
) -> None:
    assert part_text(text, begun=begun) == expected


def test_only_the_tags_of_the_model_part_text() -> None:
    text = "[THINK]Well.[/THINK]The answer."
    assert part_text(text, ReasoningTags("<think>", "</think>")) == ("", text)
