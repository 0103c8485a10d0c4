# ruff: noqa: E501 - lines of logs are quoted in full
from __future__ import annotations

from pathlib import Path

import pytest

from spa_vllm.log import advice, last_lines, new_log

CORE = "(EngineCore pid=7) ERROR 11-25 14:35:13 [core.py:1211] "


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB).", "lower gpu_memory_utilization"),
        ("ValueError: Available memory on node 0 (3.1/19.4 GiB) on startup is less than desired CPU memory utilization (0.4, 7.8 GiB).", "lower gpu_memory_utilization"),
        ("ValueError: To serve at least one request with the model's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (3.1 GiB).", "lower max_model_len"),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "lower max_model_len"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "tensor_parallel"),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.", "tensor_parallel"),
        ("ValueError: OddForCausalLM does not support LoRA yet.", "max_lora_rank to 0"),
        ("pydantic_core._pydantic_core.ValidationError: Model architectures ['OddModel'] are not supported for now. Supported architectures: ...", "use the backend hf"),
        ("RuntimeError: operator torchvision::nms does not exist", "pip uninstall torchvision"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", CORE])
def test_known_problems_come_with_advice(
    tmp_path: Path, line: str, expected: str, before: str
) -> None:
    log = tmp_path / "log"
    log.write_text(
        "INFO 11-25 14:35:01 [model.py:733] Resolved architecture: OddModel\n"
        f"{CORE}Traceback (most recent call last):\n{before}{line}\n"
        f"{CORE}Exception: WorkerProc initialization failed due to an exception.\n"
        "RuntimeError: Engine core initialization failed. See root cause above.\n",
        encoding="utf-8",
    )
    assert expected in str(advice(log))
    assert last_lines(log) == f"  {before}{line}"[:402]


def test_words_of_other_lines_are_no_problem(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("INFO [a.py:1] it will never run out of memory\nINFO end\n", encoding="utf-8")
    assert advice(log) is None
    assert advice(log, "RuntimeError: out of memory") is not None
    assert last_lines(log, most=1) == "  INFO end"


def test_old_logs_are_removed(cache: Path) -> None:
    logs = [new_log() for _ in range(25)]
    assert [log.exists() for log in logs] == [False] * 5 + [True] * 20
    assert logs[-1].parent == cache / "logs"


def test_a_cache_that_is_no_folder(cache: Path) -> None:
    cache.write_text("a file", encoding="utf-8")
    assert new_log().exists()
