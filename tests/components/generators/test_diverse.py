"""Samples take temperatures and system prompts in turn, and keep the ids that were generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from spa.api import ChatResult, Generator, Message, Prompt
from spa.components.generators import configs
from spa.components.generators.configs import DiverseConfig
from spa.components.generators.diverse import DiverseGenerator

PROMPT = Prompt("p", (Message("user", "Hello"),))


def run(
    drive: Callable[..., tuple[list[Any], Any]], config: DiverseConfig, prompt: Prompt = PROMPT
) -> Any:
    generator = DiverseGenerator(config)
    assert isinstance(generator, Generator)
    results = [ChatResult(f" text {i} ", (i, 2), "stop", 9) for i in range(config.n)]
    (asked,), samples = drive(generator.sample(prompt), results)
    return asked, samples


def test_temperatures_and_system_prompts_take_turns(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    config = DiverseConfig(
        n=5, temperature=[0.5, 1], system_prompts=["A", "B"], max_tokens=7, top_p=0.9
    )
    asked, samples = run(drive, config)
    assert [request.temperature for request in asked] == [0.5, 1.0, 0.5, 1.0, 0.5]
    user = Message("user", "Hello")
    added = [None, "A", "B", None, "A"]
    assert [request.messages for request in asked] == [
        (user,) if text is None else (Message("system", text), user) for text in added
    ]
    assert {(r.max_tokens, r.top_p, r.seed, r.prefill) for r in asked} == {(7, 0.9, None, "")}
    assert [sample.details for sample in samples] == [
        {"temperature": request.temperature, "system_prompt": text}
        for request, text in zip(asked, added, strict=True)
    ]


def test_samples_are_kept_as_generated(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    _, samples = run(drive, DiverseConfig(n=2))
    assert [(s.text, s.token_ids, s.finish_reason) for s in samples] == [
        (" text 0 ", (0, 2), "stop"),
        (" text 1 ", (1, 2), "stop"),
    ]
    assert samples[0].id == "", "the engine stamps ids"


def test_a_system_message_of_the_prompt_is_kept_after_the_added_one(
    drive: Callable[..., tuple[list[Any], Any]],
) -> None:
    prompt = Prompt("p", (Message("system", "Task."), Message("user", "Hello")))
    asked, _ = run(drive, DiverseConfig(n=2, system_prompts=["Style."]), prompt)
    assert asked[0].messages == prompt.messages
    assert asked[1].messages == (Message("system", "Style.\n\nTask."), prompt.messages[1])


@pytest.fixture
def _shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "load_system_prompts", lambda: {"a": "S1", "b": "S2"})


@pytest.mark.usefixtures("_shipped")
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("S1", "S2")),
        ({"shipped": None}, ("S1", "S2")),
        ({"shipped": False}, ()),
        ({"system_prompts": ["A"]}, ("A",)),
        ({"system_prompts": ["A", "S1"], "shipped": True}, ("A", "S1", "S2")),
        ({"system_prompts": []}, ()),
    ],
)
def test_shipped_prompts_are_written_into_the_config(settings: Any, expected: Any) -> None:
    config = DiverseConfig.model_validate(settings)
    assert config.system_prompts == expected
    assert DiverseConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 0},
        {"temperature": []},
        {"temperature": -1},
        {"top_p": 0},
        {"system_prompts": [""]},
        {"k": 1},
    ],
)
def test_settings_that_are_wrong(settings: Any) -> None:
    with pytest.raises(ValidationError):
        DiverseConfig.model_validate(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 2, "temperature": 0},
        {"n": 3, "temperature": [0, 0.0], "system_prompts": ["A"]},
        {"n": 4, "temperature": 0, "system_prompts": ["A", "B", "A"]},
    ],
)
def test_greedy_samples_that_repeat_are_refused(settings: dict[str, Any]) -> None:
    settings = {"system_prompts": [], **settings}
    with pytest.raises(ValidationError) as caught:
        DiverseConfig(**settings)
    (error,) = caught.value.errors()
    different = len({None, *settings["system_prompts"]})
    assert error["msg"] == (
        f"Value error, n is {settings['n']} with temperature 0, which gives one sample a system "
        f"prompt, and there are {different} of them, none at all counted: the others would repeat "
        "these. Lower n, raise temperature, or add system_prompts"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 1, "temperature": 0, "system_prompts": []},
        {"n": 3, "temperature": 0, "system_prompts": ["A", "B"]},
        {"n": 4, "temperature": [0, 0.5], "system_prompts": []},
        {"n": 2, "temperature": 0},
    ],
)
def test_greedy_samples_that_differ_are_taken(settings: dict[str, Any]) -> None:
    assert DiverseConfig(**settings).n == settings["n"]


def test_reasoning_is_kept_beside_the_answer(drive: Callable[..., tuple[list[Any], Any]]) -> None:
    results = [
        ChatResult("Yes.", (1, 2), "stop", 9, reasoning="Hm."),
        ChatResult("", (2,), "stop", 9),
    ]
    _, samples = drive(
        DiverseGenerator(DiverseConfig(n=2, system_prompts=[])).sample(PROMPT), results
    )
    plain = {"temperature": 1.0, "system_prompt": None}
    assert [sample.details for sample in samples] == [{**plain, "reasoning": "Hm."}, plain]
    assert samples[0].text == "Yes."
