"""The suite for backends holds for a sound backend and fails for one with that very fault."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from spa.api import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    Request,
    RequestFailure,
    Result,
    Waiting,
)
from spa.testing import check_backend

LIMIT = 1000
EMPTY = ChatRequest((Message("user", "Say nothing."),), temperature=0.0)
LABELS = tuple("123")


def number(text: str, below: int = 1000) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % below


def logprobs(request: LabelRequest) -> list[float]:
    weights = [1 + number(label + request.messages[-1].content) for label in request.labels]
    total = sum(1 + number(label + request.messages[-1].content) for label in LABELS)
    return [math.log(0.9 * weight / total) for weight in weights]


class Sound:
    """A made-up model: what it says follows from the question, the seed and the limit."""

    def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
        while taken := waiting.take(4):
            for place, result in self.answer([request for _, request in taken]):
                yield taken[place][0], result

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        limits = [getattr(request, "max_tokens", 0) for request in requests]
        for place in sorted(range(len(requests)), key=limits.__getitem__):
            yield place, self.one(requests[place])

    def one(self, request: Request) -> Result | RequestFailure:
        if not request.messages:
            return RequestFailure("template", "no turns")
        text = request.messages[-1].content
        if len(text) > LIMIT:
            return RequestFailure("too_long", "too long")
        if isinstance(request, LabelRequest):
            return LabelResult(tuple(logprobs(request)), 0.9, 7)
        if text == "Say nothing.":
            return ChatResult("", (0,), "stop", 7)
        seed = request.seed if request.temperature else None
        ids = tuple(number(f"{text} {seed} {i}") for i in range(request.max_tokens))
        return ChatResult(" ".join(map(str, ids)), ids, "length", 7)

    def check(self, requests: Sequence[Request]) -> Sequence[str]:
        return []

    def fingerprint(self) -> str:
        return "sound"

    def close(self) -> None:
        pass


def found(backend: Any) -> list[str]:
    report = check_backend(backend, labels=LABELS, ends_at_once=EMPTY, logprobs=logprobs)
    return [check.name for check in report.failures]


def test_a_sound_backend_passes_every_check() -> None:
    report = check_backend(Sound(), labels=LABELS, ends_at_once=EMPTY, logprobs=logprobs)
    report.raise_if_failed()
    assert len(report.checks) == 17


class Swapped(Sound):
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        found = list(super().answer(requests))
        chats = [place for place, result in found if isinstance(result, ChatResult)]
        turned = dict(zip(chats, chats[1:] + chats[:1], strict=True))
        for place, result in found:
            yield turned.get(place, place), result


class AllAtOnce(Sound):
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        yield from sorted(super().answer(requests), key=lambda each: each[0])


class TakesOnce(Sound):
    def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
        for number, request in waiting.take(100):
            yield number, self.one(request)


class Forgets(Sound):
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        yield from list(super().answer(requests))[1:]


class AllFail(Sound):
    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        bad = any(
            not request.messages or len(request.messages[-1].content) > LIMIT
            for request in requests
        )
        for place, result in super().answer(requests):
            yield place, RequestFailure("too_long", "one is") if bad else result


class Altered(Sound):
    def __init__(self, alter: Callable[[Request, Any], Any]) -> None:
        self.alter = alter

    def one(self, request: Request) -> Result | RequestFailure:
        return self.alter(request, super().one(request))  # type: ignore[no-any-return]


class Changing(Sound):
    calls = 0

    def fingerprint(self) -> str:
        self.calls += 1
        return str(self.calls)


class Doubtful(Sound):
    def check(self, requests: Sequence[Request]) -> Sequence[str]:
        return ["no"]


def unseeded(request: Request, result: Any) -> Any:
    if isinstance(request, ChatRequest) and request.temperature and result.token_ids:
        return ChatResult("the same", result.token_ids, result.finish_reason, 7)
    return result


def endless(request: Request, result: Any) -> Any:
    if isinstance(result, ChatResult):
        return ChatResult(result.text, (*result.token_ids, 1), result.finish_reason, 7)
    return result


def massless(request: Request, result: Any) -> Any:
    return LabelResult(result.logprobs, 0.5, 7) if isinstance(result, LabelResult) else result


def sorted_labels(request: Request, result: Any) -> Any:
    if isinstance(result, LabelResult):
        return LabelResult(tuple(sorted(result.logprobs)), result.mass, 7)
    return result


def shifted(request: Request, result: Any) -> Any:
    if isinstance(result, LabelResult):
        moved = tuple(each - 0.1 for each in result.logprobs)
        return LabelResult(moved, math.fsum(map(math.exp, moved)), 7)
    return result


def surrogates(request: Request, result: Any) -> Any:
    if isinstance(result, ChatResult):
        return ChatResult(f"{result.text}\ud83d", result.token_ids, result.finish_reason, 7)
    return result


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (Swapped(), "an answer belongs to its request, whatever the order"),
        (AllAtOnce(), "a short answer does not wait for a long one"),
        (TakesOnce(), "what is asked after an answer is taken while streaming"),
        (Forgets(), "every request is answered once, with a result of its kind"),
        (AllFail(), "a row that is too long fails alone"),
        (AllFail(), "a row that cannot be asked fails alone"),
        (Altered(unseeded), "a seed decides the answer"),
        (Altered(endless), "an answer is cut at max_tokens"),
        (Altered(endless), "an empty answer is an answer"),
        (Altered(massless), "mass is the probability of all labels together"),
        (Altered(sorted_labels), "log-probabilities come in the order of the labels"),
        (Altered(shifted), "log-probabilities are those of a direct forward pass, to 0.05"),
        (Altered(surrogates), "text in any script goes in and comes out"),
        (Changing(), "the fingerprint stays the same"),
        (Doubtful(), "check has nothing against what was answered"),
    ],
)
def test_a_fault_is_found(backend: Any, expected: str) -> None:
    assert expected in found(backend)
