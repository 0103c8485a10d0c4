"""What comes back, against a server process with a made-up model."""

from __future__ import annotations

import logging
import math

import pytest

from spa.api import ChatRequest, ChatResult, LabelRequest, LabelResult, Message, SpaError
from spa.testing import check_backend

DIGITS = tuple("123456789")


def ask(text="Hello there", **settings) -> ChatRequest:
    return ChatRequest((Message("user", text),), **{"max_tokens": 16, **settings})


def judge(text="Score it", labels=DIGITS, prefill="") -> LabelRequest:
    return LabelRequest((Message("user", text),), labels=labels, prefill=prefill)


def test_a_chat_request_says_all_there_is_to_say(serve, connect):
    server = serve()
    messages = (Message("system", "Be kind."), Message("user", "Hello there"))
    request = ChatRequest(messages, max_tokens=7, temperature=0.5, top_p=0.9, seed=2**62 + 5)
    backend = connect(server, extra_body={"top_k": 20})
    assert list(backend.answer([request])) == [
        (0, ChatResult("there Hello", (), "stop", 10, "", 3))
    ]
    assert server.bodies == [
        {
            "model": "made-up",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hello there"},
            ],
            "top_k": 20,
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 5,
        }
    ]


def test_it_keeps_the_contract_of_backends(serve, connect):
    backend = connect(serve("--owner", "vllm", "--lifelike"))
    report = check_backend(backend, ends_at_once=ask("", max_tokens=8))
    report.raise_if_failed()
    assert len(report.checks) >= 14


def test_plain_text_is_refused_ahead_and_when_it_is_asked(serve, connect):
    server = serve("--owner", "vllm")
    backend = connect(server)
    plain = LabelRequest((), DIGITS, "A text. Answer:")
    (problem,) = backend.check([plain, plain])
    assert "cannot go on with plain text. Set format: chat in the evaluator" in problem
    with pytest.raises(SpaError, match="backend hf or vllm"):
        list(backend.answer([plain]))
    assert server.bodies == []


def test_seeds_can_be_left_out(serve, connect):
    server = serve()
    list(connect(server, send_seed=False).answer([ask(seed=3)]))
    assert "seed" not in server.bodies[0]


def test_every_place_is_answered_once(serve, connect):
    backend = connect(serve("--delay", "0.01"))
    answers = dict(backend.answer([ask(f"number {n}") for n in range(50)]))
    assert {place: result.text for place, result in answers.items()} == {
        n: f"{n} number" for n in range(50)
    }
    assert dict(backend.figures()) == {
        "requests": 50, "retries": 0, "busy": 0, "prompt_tokens": 500, "completion_tokens": 150,
    }  # fmt: skip


def test_vllm_tells_the_token_ids(serve, connect):
    server = serve("--owner", "vllm")
    ((_, result),) = connect(server).answer([ask()])
    assert result.token_ids == (1, 2, 0)
    assert server.bodies[0]["return_token_ids"] is True


@pytest.mark.parametrize(
    ("owner", "settings", "flags"),
    [
        ("vllm", {}, {"continue_final_message": True, "add_generation_prompt": False}),
        ("llamacpp", {}, {}),
        ("someone", {"prefill": "last-turn"}, {}),
        (
            "someone",
            {"prefill": "continue"},
            {"continue_final_message": True, "add_generation_prompt": False},
        ),
    ],
)
def test_a_begun_answer_is_continued_in_the_way_of_the_server(
    serve, connect, owner, settings, flags
):
    server = serve("--owner", owner)
    backend = connect(server, **settings)
    request = ask("Hello there", prefill="there ")
    assert backend.check([request]) == []
    ((_, result),) = backend.answer([request])
    assert result.text == "Hello"  # the server gave "there Hello" back
    body = server.bodies[0]
    assert body["messages"][-1] == {"role": "assistant", "content": "there "}
    keys = ("continue_final_message", "add_generation_prompt")
    assert {key: body[key] for key in keys if key in body} == flags
    thinks = {"enable_thinking": False} if owner in ("vllm", "llamacpp") else None
    assert body.get("chat_template_kwargs") == thinks


@pytest.mark.parametrize("settings", [{}, {"prefill": "refuse"}])
def test_a_server_that_cannot_continue_is_found_out_ahead(serve, connect, settings):
    backend = connect(serve("--owner", "someone"), **settings)
    (problem,) = backend.check([ask(prefill="Score: "), judge(prefill="Score: ")])
    assert "does not continue a begun answer" in problem
    assert "Set judge.prefill (or that of the component that asks) to ''" in problem
    with pytest.raises(SpaError) as caught:
        list(backend.answer([ask(prefill="Score: ")]))
    assert str(caught.value) == problem
    assert backend.check([ask()]) == []


def test_labels_get_the_probability_of_their_tokens(serve, connect):
    server = serve()
    ((_, result),) = connect(server).answer([judge()])
    weights = [1, 2, 3, 4, 5, 6, 7, 8 + 2, 9]
    assert isinstance(result, LabelResult)
    assert [math.exp(p) for p in result.logprobs] == pytest.approx([w / 50 for w in weights])
    assert result.mass == pytest.approx(47 / 50)
    assert result.prompt_tokens == 10
    body = server.bodies[0]
    asked = {key: body[key] for key in ("max_tokens", "logprobs", "top_logprobs", "temperature")}
    assert asked == {"max_tokens": 1, "logprobs": True, "top_logprobs": 20, "temperature": 1.0}


def test_labels_out_of_sight_are_a_failure_of_their_row(serve, connect):
    backend = connect(serve(), top_logprobs=8)
    ((_, failure),) = backend.answer([judge()])
    assert failure.reason == "labels_not_covered"
    assert failure.message.startswith("'1', '2' not among the 8 likeliest tokens")
    assert "Use fewer labels, raise top_logprobs" in failure.message


def test_labels_out_of_sight_count_as_nothing_if_little_can_be_missed(serve, connect):
    ((_, result),) = connect(serve(), top_logprobs=8, max_missing_mass=0.11).answer([judge()])
    assert result.logprobs[:2] == (-math.inf, -math.inf)


def test_a_server_without_logprobs_is_never_worked_around(serve, connect):
    backend = connect(serve("--no-logprobs"))
    with pytest.raises(SpaError, match="gives no log-probabilities") as caught:
        list(backend.answer([judge()]))
    assert "Set judge.mode: generate" in str(caught.value)


def test_more_labels_than_are_listed_are_found_out_ahead(serve, connect):
    (problem,) = connect(serve(), top_logprobs=5).check([judge()])
    assert problem.startswith("9 labels cannot be among the 5 likeliest tokens")


def test_max_completion_tokens_is_found_out_once(serve, connect, caplog):
    server = serve("--no-max-tokens")
    with caplog.at_level(logging.INFO, logger="spa_openai"):
        answers = list(connect(server, max_concurrency=1).answer([ask("a"), ask("b"), judge()]))
    assert len(answers) == 3
    limits = [
        {key: value for key, value in body.items() if key.startswith("max_")}
        for body in server.bodies
    ]
    new = "max_completion_tokens"
    assert limits == [{"max_tokens": 16}, {new: 16}, {new: 16}, {new: 1}]
    assert [record.message for record in caplog.records] == [
        f"{server.address}/v1 takes max_completion_tokens, not max_tokens"
    ]


def test_reasoning_is_parted_from_the_answer(serve, connect):
    ((_, result),) = connect(serve("--think")).answer([ask("Hello there")])
    assert (result.reasoning, result.text) == ("hm", "there Hello")


def test_a_prompt_beyond_max_context_is_set_aside(serve, connect):
    ((_, failure),) = connect(serve(), max_context=25).answer([ask(max_tokens=16)])
    assert failure.reason == "too_long"
    assert "the prompt has 10 tokens and 16 are to be generated" in failure.message


def test_answers_without_usage_have_no_counts(serve, connect):
    ((_, result),) = connect(serve("--no-usage")).answer([ask()])
    assert (result.prompt_tokens, result.new_tokens, result.generated) == (0, None, 0)
