"""Templates are filled once, whatever braces the texts hold."""

from __future__ import annotations

from spa.api import Message
from spa.components.text import fill, missing_placeholders, transcript


def test_fill_leaves_braces_of_values_and_unknown_names_alone() -> None:
    values = {"prompt": "{response} and {0} and {", "response": "R"}
    assert fill('{prompt}|{response}|{"a": 1}|{other}', values) == (
        '{response} and {0} and {|R|{"a": 1}|{other}'
    )


def test_missing_placeholders_are_named() -> None:
    assert missing_placeholders("{prompt}", ("prompt", "response")) == ["{response}"]


def test_a_lone_user_turn_is_its_text_and_a_conversation_names_its_roles() -> None:
    assert transcript([Message("user", "Hello")]) == "Hello"
    turns = [Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Yes?")]
    assert transcript([*turns, Message("user", "Help")]) == (
        "System: Be kind.\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: Help"
    )
