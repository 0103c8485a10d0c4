"""Checks whether a backend keeps its contract, with the real model that it runs.

One suite for every backend: what holds for `hf` must hold for an engine in another process and for
a server at the other end of a network.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spa.api import (
    Backend,
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    Request,
    RequestFailure,
    Result,
)
from spa.testing.report import Checks, Report, require

__all__ = ["check_backend"]

_QUESTIONS = (
    "What is the capital of France?",
    "Name a colour.",
    "How many legs does a spider have? Answer in one sentence, please, and say how you know it.",
    "Is ice cold?",
    "Wer schrieb den Faust?",
    "Give me three tips for sleeping well after a long day of work at a desk.",
)
_UNICODE = (
    "Naïve café \N{PILE OF POO} e\N{COMBINING ACUTE ACCENT} 你好 שלום "
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}?"
)
_SAME = 0.8  # rounding depends on what is computed together, so that a greedy answer may turn


def check_backend(
    backend: Backend,
    *,
    labels: Sequence[str] = tuple("123456789"),
    prefill: str = "Score: ",
    seeds: bool = True,
    ends_at_once: ChatRequest | None = None,
    logprobs: Callable[[LabelRequest], Sequence[float]] | None = None,
    tolerance: float = 0.05,
) -> Report:
    """Checks a backend: order, streaming, unicode, limits, seeds, failures, label probabilities.

    It asks a few dozen short questions, so a small model on a CPU takes seconds. It does not close
    the backend.

    Args:
        backend: What to check, with an instruction-tuned model.
        labels: Some that its tokenizer has as single tokens after ``prefill``.
        prefill: Beginning of the judge's answer; ``""`` for a server that does not go on with one.
        seeds: Whether the same seed must give the same answer.
        ends_at_once: A request that the model answers with nothing at all; None: not checked.
        logprobs: What a direct forward pass gives for a label request, one natural log-probability
            a label; None: not compared.
        tolerance: Largest difference to it in nats: 1e-3 in float32, 0.05 in bfloat16.
    """
    checks = Checks(backend)
    greedy = [_chat(text, temperature=0.0) for text in _QUESTIONS]
    judged = [LabelRequest(_user(text), tuple(labels), prefill) for text in _QUESTIONS]
    with checks.that("every request is answered once, with a result of its kind"):
        first = _ask(backend, [*greedy, *judged])
        _require_kinds([*greedy, *judged], first)
    if not checks.fine:
        return checks.report()
    chats, labelled = first[: len(greedy)], first[len(greedy) :]
    _check_order(checks, backend, greedy, judged, first)
    _check_streaming(checks, backend)
    with checks.that("text in any script goes in and comes out"):
        (result,) = _ask(backend, [_chat(_UNICODE, temperature=0.0)])
        require(isinstance(result, ChatResult), f"{result}")
        result.text.encode("utf-8")
    _check_ends(checks, backend, ends_at_once)
    _check_failures(checks, backend, greedy, chats)
    if seeds:
        _check_seeds(checks, backend)
    _check_labels(checks, backend, judged, labelled)
    if logprobs is not None:
        with checks.that(f"log-probabilities are those of a direct forward pass, to {tolerance:g}"):
            for request, result in zip(judged, labelled, strict=True):
                worst = _distance(result.logprobs, logprobs(request))
                require(worst <= tolerance, f"{worst:.2g} nats off for {request.messages[-1]}")
    with checks.that("the fingerprint stays the same"):
        require(backend.fingerprint() == backend.fingerprint(), "two calls differ")
    return checks.report()


def _check_order(
    checks: Checks,
    backend: Backend,
    greedy: Sequence[ChatRequest],
    judged: Sequence[LabelRequest],
    first: Sequence[Any],
) -> None:
    with checks.that("an answer belongs to its request, whatever the order"):
        both: list[Request] = [*judged, *greedy]
        turned = _ask(backend, both[::-1])[::-1]
        again = [*turned[len(judged) :], *turned[: len(judged)]]
        same = [a.text == b.text for a, b in zip(first, again, strict=True) if _is_chat(a)]
        require(sum(same) >= _SAME * len(same), f"{same.count(False)} of {len(same)} texts differ")
        pairs = [(a, b) for a, b in zip(first, again, strict=True) if not _is_chat(a)]
        worst = max(_distance(a.logprobs, b.logprobs) for a, b in pairs)
        require(worst <= 0.1, f"log-probabilities of labels differ by {worst:.2g} nats")
    with checks.that("questions get answers of their own"):
        texts = {result.text for result in first if _is_chat(result)}
        require(len(texts) > 1, f"all are {texts}")


def _check_streaming(checks: Checks, backend: Backend) -> None:
    with checks.that("a short answer does not wait for a long one"):
        requests = [
            _chat("Tell me a long story about a fox.", max_tokens=96, temperature=0.0),
            _chat("Say yes.", max_tokens=1, temperature=0.0),
        ]
        places = [place for place, _ in backend.answer(requests)]
        require(places == [1, 0], f"they came in the order {places}")
    stream = getattr(backend, "stream", None)
    if stream is None:
        return
    with checks.that("what is asked after an answer is taken while streaming"):
        waiting = _Waiting([_chat(text, temperature=0.0) for text in _QUESTIONS])
        seen: dict[int, Result | RequestFailure] = {}
        for number, result in stream(waiting):
            require(number not in seen, f"request {number} is answered twice")
            if len(seen) < len(_QUESTIONS):
                waiting.add(_chat("Name a colour.", temperature=0.0))
            seen[number] = result
        expected = 2 * len(_QUESTIONS)
        require(len(seen) == expected, f"{len(seen)} of {expected} were answered")


def _check_ends(checks: Checks, backend: Backend, ends_at_once: ChatRequest | None) -> None:
    with checks.that("an answer is cut at max_tokens"):
        (result,) = _ask(backend, [_chat("Count to a hundred in words.", max_tokens=5)])
        require(result.finish_reason == "length", f"finish_reason is {result.finish_reason}")
        require(result.generated == 5, f"{result.generated} tokens instead of 5")
        require(len(result.token_ids) in (0, 5), f"{len(result.token_ids)} token ids")
    if ends_at_once is None:
        return
    with checks.that("an empty answer is an answer"):
        (result,) = _ask(backend, [ends_at_once])
        require(isinstance(result, ChatResult), f"{result}")
        require(result.text == "", f"the text is {result.text!r}")
        require(result.finish_reason == "stop", f"finish_reason is {result.finish_reason}")
        require(result.generated <= 1, f"{result.generated} tokens")


def _check_failures(
    checks: Checks, backend: Backend, greedy: Sequence[ChatRequest], chats: Sequence[Any]
) -> None:
    with checks.that("a row that is too long fails alone"):
        long = _chat("word " * 200_000)
        results = _ask(backend, [greedy[0], long, greedy[1]])
        _require_failure(results[1], "too_long")
        _require_kinds([greedy[0], greedy[1]], [results[0], results[2]])
    with checks.that("a row that cannot be asked fails alone"):
        results = _ask(backend, [greedy[0], replace(greedy[1], messages=()), greedy[1]])
        require(isinstance(results[1], RequestFailure), f"{results[1]}")
        _require_kinds([greedy[0], greedy[1]], [results[0], results[2]])
    with checks.that("it goes on as before"):
        again = _ask(backend, greedy)
        same = [a.text == b.text for a, b in zip(chats, again, strict=True)]
        require(sum(same) >= _SAME * len(same), f"{same.count(False)} of {len(same)} texts differ")


def _check_seeds(checks: Checks, backend: Backend) -> None:
    with checks.that("a seed decides the answer"):
        requests = [
            _chat("Tell me about the sea.", seed=seed, temperature=1.0) for seed in (1, 1, 2, 3, 4)
        ]
        texts = [result.text for result in _ask(backend, requests)]
        require(texts[0] == texts[1], f"seed 1 gave {texts[0]!r} and {texts[1]!r}")
        require(len(set(texts)) > 2, "other seeds gave the same answers")


def _check_labels(
    checks: Checks,
    backend: Backend,
    judged: Sequence[LabelRequest],
    labelled: Sequence[LabelResult],
) -> None:
    with checks.that("mass is the probability of all labels together"):
        for result in labelled:
            total = math.fsum(map(math.exp, result.logprobs))
            require(math.isclose(result.mass, total, abs_tol=1e-6), f"{result.mass} and {total}")
            require(0 <= result.mass <= 1, f"it is {result.mass}")
    with checks.that("log-probabilities come in the order of the labels"):
        turned = [replace(request, labels=request.labels[::-1]) for request in judged]
        for before, after in zip(labelled, _ask(backend, turned), strict=True):
            worst = _distance(before.logprobs, after.logprobs[::-1])
            require(worst <= 0.1, f"they differ by {worst:.2g} nats")
    parts: Callable[[], Mapping[str, str]] | None = getattr(backend, "fingerprint_parts", None)
    if parts is not None:
        with checks.that("fingerprint_parts are texts by name, the same each time"):
            told = dict(parts())
            texts = all(isinstance(each, str) for part in told.items() for each in part)
            require(bool(told) and texts, f"{told}")
            require(told == dict(parts()), "they differ from call to call")
    check: Callable[[Sequence[Request]], Sequence[str]] | None = getattr(backend, "check", None)
    if check is not None:
        with checks.that("check has nothing against what was answered"):
            problems = list(check([_chat("Hi"), *judged[:1]]))
            require(not problems, f"{problems}")


class _Waiting:
    """Requests that wait, to which more can be added."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._waiting = deque(enumerate(requests))
        self._next = len(requests)

    def add(self, request: Request) -> None:
        self._waiting.append((self._next, request))
        self._next += 1

    def take(self, most: int) -> Sequence[tuple[int, Request]]:
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]


def _ask(backend: Backend, requests: Sequence[Request]) -> list[Any]:
    """The answers in the order of the requests."""
    found: dict[int, Result | RequestFailure] = {}
    for place, result in _closing(backend.answer(requests)):
        require(place not in found, f"place {place} is answered twice")
        found[place] = result
    missing = sorted(set(range(len(requests))) - set(found))
    require(not missing, f"places {missing} have no answer")
    return [found[place] for place in range(len(requests))]


def _closing(answers: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from answers
    finally:
        getattr(answers, "close", lambda: None)()


def _require_kinds(requests: Sequence[Request], results: Sequence[Any]) -> None:
    kinds: Mapping[type[Any], type[Any]] = {ChatRequest: ChatResult, LabelRequest: LabelResult}
    for request, result in zip(requests, results, strict=True):
        wanted = kinds[type(request)]
        require(isinstance(result, wanted), f"{result!r} is no {wanted.__name__}")
        require(result.prompt_tokens > 0, "prompt_tokens is 0")


def _require_failure(result: object, reason: str) -> None:
    require(isinstance(result, RequestFailure), f"{result!r} is no RequestFailure")
    found = getattr(result, "reason", "")
    require(found == reason, f"its reason is {found!r} instead of {reason!r}")


def _is_chat(result: object) -> bool:
    return isinstance(result, ChatResult)


def _distance(left: Sequence[float], right: Sequence[float]) -> float:
    """Largest difference of log-probabilities, those of less than one in a million left out."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if max(a, b) > math.log(1e-6)]
    return max((abs(a - b) for a, b in pairs), default=0.0)


def _user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def _chat(
    text: str, *, max_tokens: int = 16, temperature: float = 1.0, seed: int | None = None
) -> ChatRequest:
    return ChatRequest(_user(text), max_tokens=max_tokens, temperature=temperature, seed=seed)
