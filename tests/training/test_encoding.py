"""Token ids: what the model produced, each pair kept whole or dropped with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spa.training.encoding import EMPTY_RESPONSE, TOO_LONG, encode
from spa.types import Message, Response, Scored

END = 256


def test_prompt_is_rendered_once_with_the_assistant_turn_open(
    make: SimpleNamespace, tokenizer: Any
) -> None:
    (group,) = encode(make.random_groups(1), make.objectives, tokenizer).groups
    text = make.random_groups(1)[0].prompt.text
    assert tokenizer.decode(list(group.prompt)) == f"<|user|>{text}<|end|><|assistant|>"


def test_trap_06_the_beginning_of_sequence_token_is_not_doubled(make: SimpleNamespace) -> None:
    """A tokenizer that adds one by itself, with a template that writes one too."""
    from tokenizers.processors import TemplateProcessing

    doubling = make.tokenizer()
    doubling.bos_token = "<|system|>"
    doubling.chat_template = "<|system|>" + doubling.chat_template
    doubling._tokenizer.post_processor = TemplateProcessing(
        single="<|system|> $A", special_tokens=[("<|system|>", doubling.bos_token_id)]
    )
    assert doubling("a")["input_ids"][0] == doubling.bos_token_id
    (group,) = encode(make.random_groups(1), make.objectives, doubling).groups
    assert group.prompt.count(doubling.bos_token_id) == 1


def test_trap_06_training_sees_the_prompt_that_generation_and_evaluation_saw(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    """What the backend feeds the model for a prompt is what is trained on, token by token."""
    from spa.components.backends.hf import HFBackend
    from spa.components.backends.hf_config import HFConfig
    from spa.types import ChatRequest

    make.model().save_pretrained(tmp_path)
    tokenizer = make.tokenizer()
    tokenizer.bos_token = "<|system|>"
    tokenizer.chat_template = "<|system|>" + tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path)
    backend = HFBackend(HFConfig(path=str(tmp_path), dtype="float32", device="cpu"))
    seen: list[list[int]] = []

    def note(_module: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        mask = kwargs.get("attention_mask")
        seen.append(
            ids[0].tolist() if mask is None else ids[0, mask[0, -ids.shape[1] :] == 1].tolist()
        )

    backend.model.register_forward_pre_hook(note, with_kwargs=True)
    (group,) = groups = make.random_groups(1)
    list(backend.answer([ChatRequest(group.prompt.messages, max_tokens=1)]))
    (encoded,) = encode(groups, make.objectives, backend.tokenizer).groups
    fed = [token for call in seen for token in call]
    assert tuple(fed[: len(encoded.prompt)]) == encoded.prompt
    assert encoded.prompt.count(tokenizer.bos_token_id) == 1


def test_trap_04_stored_ids_are_used_even_where_tokenising_again_would_differ(
    make: SimpleNamespace, tokenizer: Any
) -> None:
    stored = Scored(
        Response(text="abc", token_ids=(9, 9, 9, END), id="p/0"), make.scored("", [], (2, 2)).scores
    )
    other = make.scored("p/1", [1], (1, 1))
    encoding = encode([make.group("p", "hi", [stored, other])], make.objectives, tokenizer)
    assert encoding.groups[0].responses == ((9, 9, 9, END), (1,))
    assert encoding.retokenised == 0


@pytest.mark.parametrize(("reason", "end"), [("stop", (END,)), ("length", ())])
def test_trap_05_a_response_of_text_alone_gets_the_end_token_once_if_it_ended(
    make: SimpleNamespace, tokenizer: Any, reason: Any, end: tuple[int, ...]
) -> None:
    scores = make.scored("", [], (2, 2)).scores
    plain = Scored(Response(text="abc", finish_reason=reason, id="p/0"), scores)
    other = make.scored("p/1", [1, END], (1, 1))
    encoding = encode([make.group("p", "hi", [plain, other])], make.objectives, tokenizer)
    ids = tokenizer("abc", add_special_tokens=False)["input_ids"]
    assert encoding.groups[0].responses == ((*ids, *end), (1, END))
    assert encoding.retokenised == 1


@pytest.mark.parametrize("stored", [True, False])
def test_an_answer_without_reasoning_ends_what_the_template_began(
    make: SimpleNamespace, stored: bool
) -> None:
    """Otherwise it would be trained as if it were reasoning."""
    thinking = make.tokenizer()
    thinking.chat_template += "<think>{# until </think> #}"

    def ids(text: str) -> tuple[int, ...]:
        return tuple(thinking(text, add_special_tokens=False)["input_ids"])

    scores = make.scored("", [], (2, 2)).scores
    direct = Response("so", (*ids("so"), END) if stored else (), id="p/0")
    thought = Response("c", (*ids("why</think>c"), END), id="p/1")
    cut = Response("", ids("why"), finish_reason="length", id="p/2")
    group = make.group(
        "p",
        "hi",
        [
            Scored(direct, scores),
            Scored(thought, make.scored("", [], (1, 1)).scores),
            Scored(cut, make.scored("", [], (0, 0)).scores),
        ],
    )
    (encoded,) = encode([group], make.objectives, thinking).groups
    assert thinking.decode(list(encoded.prompt)).endswith("<think>")
    assert encoded.responses == (
        (*ids("\n\n</think>\n\n"), *ids("so"), END),
        thought.token_ids,
        cut.token_ids,
    )


def test_trap_01_pairs_with_an_empty_response_are_dropped_and_counted(
    make: SimpleNamespace, tokenizer: Any
) -> None:
    items = [
        make.scored("a", [5], (3, 3)),
        make.scored("b", [], (2, 2)),
        make.scored("c", [6], (1, 1)),
    ]
    encoding = encode([make.group("p", "hi", items)], make.objectives, tokenizer)
    (group,) = encoding.groups
    assert encoding.dropped == {EMPTY_RESPONSE: 2}
    assert group.response_ids == ("a", "c")
    assert (group.chosen, group.rejected) == ((0,), (1,))
    empty = [make.scored("a", [], (3, 3)), make.scored("b", [], (2, 2))]
    nothing = encode([make.group("p", "hi", empty)], make.objectives, tokenizer)
    assert nothing.groups == ()
    assert nothing.dropped == {EMPTY_RESPONSE: 1}


def test_long_responses_are_left_out_and_never_cut(make: SimpleNamespace, tokenizer: Any) -> None:
    items = [
        make.scored("a", [5] * 9, (3, 3)),
        make.scored("b", [6] * 3, (2, 2)),
        make.scored("c", [7] * 4, (1, 1)),
    ]
    group = make.group("p", "hi", items)
    prompt = len(encode([group], make.objectives, tokenizer).groups[0].prompt)
    whole = encode([group], make.objectives, tokenizer, max_length=prompt + 9)
    assert whole.dropped == {}
    cut = encode([group], make.objectives, tokenizer, max_length=prompt + 8)
    assert cut.dropped == {TOO_LONG: 2}
    assert cut.groups[0].responses == ((6,) * 3, (7,) * 4)
    assert encode([group], make.objectives, tokenizer, max_length=prompt).dropped == {TOO_LONG: 3}


def test_responses_in_no_pair_are_left_out(make: SimpleNamespace, tokenizer: Any) -> None:
    items = [make.scored(name, [5], (s, s)) for name, s in (("a", 3), ("b", 2), ("c", 1))]
    group = make.group("p", "hi", items)
    only = replace(group, pairs=tuple(p for p in group.pairs if "b" not in (p.chosen, p.rejected)))
    assert encode([only], make.objectives, tokenizer).groups[0].response_ids == ("a", "c")


def test_scores_and_gaps_follow_the_order_of_the_objectives(
    make: SimpleNamespace, tokenizer: Any
) -> None:
    items = [make.scored("a", [5], (7, 1)), make.scored("b", [6], (4, 3))]
    group = make.group("p", "hi", items)
    (forward,) = encode([group], make.objectives, tokenizer).groups
    (backward,) = encode([group], make.objectives[::-1], tokenizer).groups
    assert forward.scores == ((7, 1), (4, 3))
    assert backward.scores == ((1, 7), (3, 4))
    assert (forward.gap_sum, forward.gap_l1) == ((1,), (5,))


def test_groups_come_out_in_the_order_of_their_ids(make: SimpleNamespace, tokenizer: Any) -> None:
    groups = make.random_groups(5)
    assert encode(groups, make.objectives, tokenizer) == encode(
        groups[::-1], make.objectives, tokenizer
    )


def test_a_pair_with_an_unknown_response_is_a_bug(make: SimpleNamespace, tokenizer: Any) -> None:
    group = make.random_groups(1)[0]
    broken = replace(group, responses=group.responses[:1])
    with pytest.raises(ValueError, match="prompt 'p0': pairs name unknown responses"):
        encode([broken], make.objectives, tokenizer)


def test_system_turns_of_the_prompt_are_kept(make: SimpleNamespace, tokenizer: Any) -> None:
    group = make.random_groups(1)[0]
    turns = (Message("system", "be kind"), *group.prompt.messages)
    with_system = replace(group, prompt=replace(group.prompt, messages=turns))
    (encoded,) = encode([with_system], make.objectives, tokenizer).groups
    assert tokenizer.decode(list(encoded.prompt)).startswith("<|system|>be kind<|end|><|user|>")


def test_pairs_of_an_empty_prompt_are_dropped_and_counted(
    make: SimpleNamespace, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat template that renders nothing: the first token would have nothing to follow."""
    monkeypatch.setattr(tokenizer, "chat_template", "{{ '' }}")
    found = encode(make.random_groups(1), make.objectives, tokenizer)
    assert found.groups == ()
    assert found.dropped == {"empty_prompt": 3}
