"""The `hf` backend with templates of thinking models, and with variables for the template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny_llama import CHAT_TEMPLATE, make_tokenizer, save_tiny_llama

from spa.api import ChatRequest, ChatResult, LabelRequest, Message
from spa.components.backends import hf
from spa.components.backends.hf import HFBackend
from spa.components.backends.hf_chat import ChatRow, Ended
from spa.components.backends.hf_config import HFConfig
from spa.components.backends.hf_labels import LabelRow

torch.set_num_threads(1)
BEGUN = CHAT_TEMPLATE.replace(
    "<|assistant|>{%", "<|assistant|>{% if tone %}({{ tone }}){% endif %}<think>\n{%"
) + ("{# </think> #}")
USER = (Message("user", "Hi"),)


def backend(folder: Path, template: str = BEGUN, **settings: Any) -> HFBackend:
    save_tiny_llama(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return HFBackend(HFConfig(path=str(folder), **settings))


def prompts(found: HFBackend, monkeypatch: pytest.MonkeyPatch, text: str = "x") -> dict[int, str]:
    """The rendered prompts of a chat and of a label request; ``text`` is the answer."""
    seen: dict[int, str] = {}
    tokenizer = make_tokenizer()

    def generated(_: Any, rows: Any, *__: Any) -> Iterator[Ended]:
        for row in rows:
            assert isinstance(row, ChatRow)
            seen[row.place] = tokenizer.decode(list(row.prompt_ids))
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            yield Ended(row, (*ids, tokenizer.eos_token_id))

    def labelled(_: Any, __: Any, rows: Any, ___: Any) -> Iterator[Any]:
        for row in rows:
            assert isinstance(row, LabelRow)
            seen[row.place] = tokenizer.decode(list(row.prompt_ids))
        return iter(())

    monkeypatch.setattr(hf, "generate_in_slots", generated)
    monkeypatch.setattr(hf, "label_batches", labelled)
    asked = [ChatRequest(USER, max_tokens=40), LabelRequest(USER, ("1", "2"))]
    answers = dict(found.answer(asked))
    assert isinstance(answers[0], ChatResult)
    seen[-1] = f"{answers[0].reasoning}|{answers[0].text}"
    return seen


def test_reasoning_is_parted_and_labels_follow_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prompts(backend(tmp_path), monkeypatch, "Hm, so\n</think>\n\nYes.")
    assert found[0] == "<|user|>Hi<|end|><|assistant|><think>\n"
    assert found[1] == "<|user|>Hi<|end|><|assistant|><think>\n\n</think>\n\n"
    assert found[-1] == "Hm, so|Yes."


def test_reasoning_that_was_cut_off_has_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prompts(backend(tmp_path), monkeypatch, "Hm, so")[-1] == "Hm, so|"


def test_all_that_was_generated_is_kept_as_ids(tmp_path: Path) -> None:
    (result,) = dict(backend(tmp_path).answer([ChatRequest(USER, max_tokens=5, seed=1)])).values()
    assert isinstance(result, ChatResult)
    assert 0 < len(result.token_ids) <= 5
    assert result.text == "", "nothing ended the reasoning"


def test_template_variables_reach_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backend(tmp_path, chat_template_kwargs={"tone": "dry"})
    found = prompts(model, monkeypatch)
    assert found[0] == "<|user|>Hi<|end|><|assistant|>(dry)<think>\n"
    assert found[1] == "<|user|>Hi<|end|><|assistant|>(dry)<think>\n\n</think>\n\n"
    assert model.check([LabelRequest(USER, ("1", "2"))]) == []


@pytest.mark.parametrize("name", ["tokenize", "add_generation_prompt", "messages", "tools"])
def test_what_spa_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        HFConfig(path="a", chat_template_kwargs={"enable_thinking": False, name: True})
    assert f"{name} cannot be set: spa says how conversations are rendered" in str(caught.value)
