"""What goes wrong, against a server process that does wrong as it is told."""

from __future__ import annotations

import logging
import time

import pytest

from spa.api import ChatRequest, ChatResult, LabelRequest, Message, RequestFailure, SpaError

KEY = "sk-very-secret-0123456789"


def ask(text="Hello there", **settings) -> ChatRequest:
    return ChatRequest((Message("user", text),), **{"max_tokens": 16, **settings})


class Rows:
    """Requests of which some follow from answers, as the engine's do."""

    def __init__(self, texts):
        self.texts = list(texts)
        self.taken = 0

    def take(self, most):
        given = [(n, ask(self.texts[n])) for n in range(self.taken, len(self.texts))][:most]
        self.taken += len(given)
        return given


def until_stopped(stream):
    """What is answered before the stage is stopped, and what is said then."""
    answers = {}
    try:
        for number, result in stream:
            answers[number] = result
    except SpaError as error:
        return answers, str(error)
    raise AssertionError("it was not stopped")


@pytest.mark.parametrize(
    "fault",
    ["408", "409", "429", "500", "503", "drop", "truncated", "malformed", "no-choices", "null",
     "slow", "dribble"],
)  # fmt: skip
def test_a_passing_fault_is_not_seen(serve, connect, fault):
    backend = connect(serve(), timeout=2.0 if fault in ("slow", "dribble") else 60.0)
    ((_, result),) = backend.answer([ask(f"fault={fault}*2 Hello")])
    assert isinstance(result, ChatResult)
    assert result.text == f"Hello fault={fault}*2"
    figures = backend.figures()
    assert (figures["requests"], figures["retries"]) == (3, 2)


def test_retry_after_is_waited_for(serve, connect):
    server = serve()
    list(connect(server).answer([ask("fault=429*1 Hello")]))
    first, second = (each["time"] for each in server.seen()["requests"])
    assert second - first >= 1.0


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        ("429", "rate_limited", "the server was busy at every try: slow down"),
        ("500", "server_error", "the server failed at every try (500): out of order"),
        ("503", "server_error", "the server failed at every try (503): loading the model"),
        ("408", "timeout", "the server gave up at every try (408): took too long"),
        ("slow", "timeout", "no answer within 1.5 seconds at any try"),
        ("dribble", "timeout", "no answer within 1.5 seconds at any try"),
        ("drop", "server_error", "the connection broke at every try"),
        ("truncated", "server_error", "the connection broke at every try"),
        ("malformed", "malformed",
         "/chat/completions cannot be read: it is no JSON object, and begins '{\"choices\": [{'"),
        ("no-choices", "malformed", "choices: Tuple should have at least 1 item"),
        ("null", "malformed", "choices.0.message.content: there is none"),
        ("page", "malformed", "it is no JSON object, and begins '<html> <h1>Log in</h1>'"),
    ],
)  # fmt: skip
def test_a_lasting_fault_sets_its_row_aside_and_the_others_go_on(
    serve, connect, fault, reason, said
):
    timeout = 1.5 if fault in ("slow", "dribble") else 60.0
    backend = connect(serve(), timeout=timeout, max_retries=1)
    answers = dict(backend.answer([ask("one"), ask(f"fault={fault} two"), ask("three")]))
    assert (answers[0].text, answers[2].text) == ("one", "three")
    assert isinstance(answers[1], RequestFailure)
    assert answers[1].reason == reason
    assert said in answers[1].message
    assert backend.figures()["retries"] == 1


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        ("400", "bad_request", "the server refuses the request (400): n must be 1"),
        ("422", "bad_request", "(422): temperature: Input should be a number"),
        ("413", "too_long", "body too large. Shorten the prompt"),
        ("long", "too_long", "This model's maximum context length is 64 tokens"),
        ("filter", "refused", "The response was filtered"),
        ("flagged", "refused", "Your input was flagged"),
        ("withheld", "refused", "a content filter of the service withheld the answer"),
    ],
)
def test_what_is_wrong_with_a_row_is_not_tried_again(serve, connect, fault, reason, said):
    backend = connect(serve())
    answers = dict(backend.answer([ask("one"), ask(f"fault={fault} two")]))
    assert answers[0].text == "one"
    assert answers[1].reason == reason
    assert said in answers[1].message
    assert backend.figures()["retries"] == 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("401", "refuses access (401): no key was sent, as api_key_env is null"),
        ("402", "wants to be paid first (402): top up your account"),
        ("403", "refuses access (403)"),
        ("404", "does not know the model 'made-up' or the path (404): The model `other` does not"
                " exist. It serves: made-up. Set model to a name that it serves"),
        ("quota", "wants to be paid first (429): You exceeded your quota"),
        ("redirect", "sends requests on to https://elsewhere.test/v1/x (307). Set base_url"),
    ],
)  # fmt: skip
def test_what_no_row_escapes_ends_the_stage(serve, connect, fault, said):
    server = serve()
    backend = connect(server, max_concurrency=1, max_retries=0)
    stream = backend.answer([ask("one"), ask(f"fault={fault} two"), ask("three")])
    answers, error = until_stopped(stream)
    assert said in error
    assert list(answers) == [0]
    assert len(server.bodies) == 2


def test_a_wrong_key_is_named_by_its_variable_and_nothing_else_is_blamed(
    serve, connect, monkeypatch
):
    server = serve("--key", KEY)
    monkeypatch.setenv("MY_KEY", "sk-wrong")
    backend = connect(server, api_key_env="MY_KEY")
    (problem,) = backend.check([ask(), ask(prefill="x")])
    assert problem == (
        f"the server at {server.address}/v1 refuses the key in MY_KEY (401). Set api_key_env to "
        "the environment variable that holds a key which it takes."
    )
    with pytest.raises(SpaError, match="the key in MY_KEY is wrong, or may not use 'made-up'"):
        list(backend.answer([ask()]))


def test_an_answer_that_gives_headers_back_betrays_no_key(serve, connect, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    backend = connect(serve(), api_key_env="MY_KEY", max_retries=0)
    ((_, failure),) = backend.answer([ask("fault=echo-page x")])
    assert failure.message.endswith("begins 'You sent, among other things, this: Bearer [key]'")


def test_a_server_without_log_probabilities_is_found_out_ahead(serve, connect):
    server = serve("--no-logprobs")
    labels = LabelRequest((Message("user", "Good?"),), labels=("1", "2"))
    backend = connect(server)
    assert backend.check([ask()]) == []
    assert server.bodies == []
    (problem,) = backend.check([labels, labels])
    assert "gives no log-probabilities for 'made-up'" in problem
    assert len(server.bodies) == 1


def test_labels_are_tried_once(serve, connect):
    server = serve()
    labels = LabelRequest((Message("user", "Good?"),), labels=("1", "2"))
    backend = connect(server)
    assert backend.check([labels]) == backend.check([labels]) == []
    assert len(server.bodies) == 1


def test_the_right_key_opens(serve, connect, monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    backend = connect(serve("--key", KEY), api_key_env="MY_KEY")
    assert backend.check([ask()]) == []
    assert len(list(backend.answer([ask()]))) == 1


def test_a_missing_key_is_said_ahead(connect, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (problem,) = connect("http://127.0.0.1:9/v1", api_key_env="OPENAI_API_KEY").check([ask()])
    assert problem == (
        "the environment variable OPENAI_API_KEY is not set, and holds the key for "
        "http://127.0.0.1:9/v1. Type: export OPENAI_API_KEY=... or name another one with "
        "api_key_env. For a server that wants no key, set api_key_env: null."
    )


def test_a_server_of_ones_own_does_not_get_the_key_of_the_hosted_one(serve, connect, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", f"org-{KEY}")
    monkeypatch.setenv("OPENAI_PROJECT_ID", f"proj-{KEY}")
    server = serve()
    list(connect(server).answer([ask()]))
    assert KEY not in str(server.seen())


def test_a_page_in_place_of_the_protocol(serve, connect):
    server = serve("--page")
    (problem,) = connect(server).check([ask(prefill="x")])
    assert problem.startswith(
        f"cannot reach the server at {server.address}/v1: it answers text/html, not JSON, at "
        "/models. Look whether it runs and whether base_url is right"
    )


def test_nobody_there(connect):
    backend = connect("http://127.0.0.1:9/v1", max_retries=1)
    (problem,) = backend.check([ask(prefill="x")])
    assert problem.startswith("cannot reach the server at http://127.0.0.1:9/v1: ")
    assert "vllm serve made-up" in problem
    answers, error = until_stopped(backend.answer([ask(str(n)) for n in range(100)]))
    assert error.startswith("cannot reach the server at http://127.0.0.1:9/v1: no connection")
    assert not answers
    assert backend.figures()["requests"] <= 2 * 32


def test_a_server_that_dies_costs_no_row_at_the_end_of_a_stage(serve, connect):
    """Rows that began before another one's answer tell of the server, too."""
    backend = connect(serve(), max_retries=1)
    rows = ["Hello", "fault=slow a", "fault=slow b", "fault=die c"]
    answers, error = until_stopped(backend.answer([ask(row) for row in rows]))
    assert set(answers) == {0}
    assert error.startswith("cannot reach the server at ")


def test_a_silent_server_does_not_hold_up_the_check(serve, connect):
    backend = connect(serve("--silent"))
    start = time.monotonic()
    (problem,) = backend.check([ask()])
    assert time.monotonic() - start < 15
    assert "no answer within 5 seconds" in problem


def test_a_server_that_only_fails_ends_the_stage(serve, connect):
    server = serve()
    backend = connect(server, max_retries=0)
    failed, error = until_stopped(backend.answer([ask(f"fault=500 {n}") for n in range(200)]))
    assert len(failed) == 19
    assert len(server.bodies) < 60
    assert "20 rows failed in a row, the last one as server_error" in error


def test_a_success_between_failures_keeps_the_stage_going(serve, connect):
    backend = connect(serve(), max_retries=0, max_concurrency=1)
    texts = [f"fault=500 {n}" if n % 10 else f"{n}" for n in range(60)]
    assert len(list(backend.answer([ask(text) for text in texts]))) == 60


def test_rows_that_a_filter_refuses_say_nothing_against_the_server(serve, connect):
    backend = connect(serve())
    answers = list(backend.answer([ask(f"fault=filter {n}") for n in range(60)]))
    assert {failure.reason for _, failure in answers} == {"refused"}
    assert len(answers) == 60


@pytest.mark.parametrize("fault", ["echo", "echo-text"])
def test_a_server_that_gives_headers_back_betrays_no_key(
    serve, connect, monkeypatch, caplog, fault
):
    monkeypatch.setenv("MY_KEY", KEY)
    server = serve()
    backend = connect(server, api_key_env="MY_KEY", max_retries=1)
    with caplog.at_level(logging.DEBUG):
        ((_, failure),) = backend.answer([ask(f"fault={fault} x")])
    assert server.seen()["requests"][0]["headers"]["authorization"] == f"Bearer {KEY}"
    assert "[key]" in failure.message
    assert KEY not in failure.message
    assert KEY not in caplog.text
    assert KEY not in repr(backend.config) + str(backend.figures()) + backend.fingerprint()


def test_requests_are_taken_as_there_is_room(serve, connect):
    backend = connect(serve("--delay", "0.05"), max_concurrency=3)
    rows = Rows(str(n) for n in range(12))
    stream = backend.stream(rows)
    next(stream)
    assert rows.taken <= 4
    assert len(list(stream)) == 11


def test_closing_cancels_what_is_under_way(serve, connect):
    server = serve()
    backend = connect(server, max_concurrency=4)
    stream = backend.stream(Rows(["one", *(f"fault=slow {n}" for n in range(20))]))
    assert next(stream)[0] == 0
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 2.5
    time.sleep(0.3)
    sent = len(server.bodies)
    assert sent <= 6
    ((_, result),) = backend.answer([ask("again")])
    assert result.text == "again"
    assert len(server.bodies) == sent + 1


def test_many_at_once_but_no_more_than_allowed(serve, connect):
    server = serve("--delay", "0.3")
    list(connect(server, max_concurrency=24).answer([ask(str(n)) for n in range(120)]))
    assert 8 < server.seen()["most"] <= 24


def test_a_busy_server_is_given_less(serve, connect):
    server = serve("--delay", "0.02", "--capacity", "6")
    backend = connect(server, max_retries=20)
    answers = list(backend.answer([ask(str(n)) for n in range(300)]))
    assert all(isinstance(result, ChatResult) for _, result in answers)
    assert len(answers) == 300
    assert backend.figures()["busy"] > 0
    # Left alone, 64 at once would ask in vain most of the time.
    assert backend.figures()["requests"] < 2 * 300


def test_requests_per_minute(serve, connect):
    server = serve()
    list(connect(server, requests_per_minute=600).answer([ask(str(n)) for n in range(75)]))
    times = [each["time"] for each in server.seen()["requests"]]
    # 60 at once are a tenth of a minute's worth; the other 15 come ten a second.
    assert 1.3 <= times[-1] - times[0] <= 15.0


def test_tokens_per_minute(serve, connect):
    server = serve()
    requests = [ask(str(n), max_tokens=1000) for n in range(8)]
    list(connect(server, tokens_per_minute=60_000).answer(requests))
    times = [each["time"] for each in server.seen()["requests"]]
    # 6,000 at once are a tenth of a minute's worth; the other 2,000 come 1,000 a second.
    assert 1.8 <= times[-1] - times[0] <= 15.0


def test_the_cost_limit(serve, connect):
    price = {"input": 1e6, "output": 0.0}  # 10 a request
    server = serve("--delay", "0.02")
    backend = connect(server, price=price, max_cost=200.0, max_concurrency=4)
    answered, error = until_stopped(backend.answer([ask(str(n)) for n in range(100)]))
    assert len(server.bodies) == len(answered)
    assert 20 <= len(answered) <= 23
    assert backend.figures()["cost"] == 10 * len(answered)
    assert (
        "has reached max_cost (200). Nothing more is sent, and what was answered is kept" in error
    )


def test_a_cost_limit_that_is_met_with_the_last_answer_ends_well(serve, connect):
    price = {"input": 1e6, "output": 0.0}
    backend = connect(serve(), price=price, max_cost=20.0, max_concurrency=1)
    assert len(list(backend.answer([ask("a"), ask("b")]))) == 2


def test_a_cost_limit_needs_a_server_that_counts(serve, connect):
    backend = connect(serve("--no-usage"), price={"input": 1.0, "output": 1.0}, max_cost=1.0)
    with pytest.raises(SpaError, match="so max_cost cannot be kept"):
        list(backend.answer([ask()]))
