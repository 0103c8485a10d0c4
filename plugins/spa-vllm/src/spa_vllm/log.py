"""The log of an engine: where it lies, and what in it a person should see when the engine ended."""

from __future__ import annotations

import os
import re
import tempfile
import time
from itertools import count
from pathlib import Path

from spa.models.cache import cache_folder

__all__ = ["advice", "last_lines", "new_log", "without_secrets"]

_KEPT = 20
_READ = 200_000
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_ERROR = re.compile(
    r"^\s*(?:\([^)]*\)\s*)?(?:ERROR [\d:. -]*\[[^]]*\]\s*)?([\w.]*(?:Error|Exception)): ?(.*)$"
)
_OUTER = ("Engine core initialization failed", "WorkerProc initialization failed")
_NUMBERS = count()

_ADVICE = (
    (
        r"maximum number of tokens that can be stored in KV cache|To serve at least one request"
        r"|No available memory for the cache blocks|KV cache (?:memory )?is needed",
        "There is too little memory for a context of this length: lower max_model_len, or raise "
        "gpu_memory_utilization",
    ),
    (
        r"(?:Free|Available) memory on (?:device|node) .* is less than",
        "Something else takes memory there: end it, or lower gpu_memory_utilization",
    ),
    (
        r"out of memory|OutOfMemory|can't allocate memory|Cannot allocate memory|MemoryError"
        r"|larger than the available|exceeds the available",
        "There is too little memory: lower max_num_seqs or max_model_len, spread the model with "
        "tensor_parallel, or use a smaller model",
    ),
    (
        r"\w does not support LoRA yet|LoRA is not supported for",
        "This model takes no adapters in vLLM: set max_lora_rank to 0, and sample from a trained "
        "model as a whole (train.lora: null)",
    ),
    (
        r"Model architectures .* are not supported for now",
        "vLLM does not know this architecture: use the backend hf",
    ),
    (
        r"operator torchvision::nms does not exist|libcudart|libcuda\.so|load libtorchcodec",
        "torchvision, torchaudio or torchcodec were built for another PyTorch. On a CPU: "
        "pip uninstall torchvision torchaudio torchcodec",
    ),
)


def new_log() -> Path:
    """A new empty file for one engine, in spa's cache folder, or among temporary files.

    The oldest ones in the cache folder are removed.
    """
    moment = time.strftime("%Y%m%d-%H%M%S")
    name = f"vllm-{moment}-{os.getpid()}-{next(_NUMBERS):04}.log"
    folder = cache_folder() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("vllm-*.log"))[: -_KEPT + 1]:
            old.unlink(missing_ok=True)
        log = folder / name
        log.touch(mode=0o600)
    except OSError:  # a cache folder that may not be written
        log = Path(tempfile.mkdtemp(prefix="spa-")) / name
        log.touch(mode=0o600)
    return log


def last_lines(log: Path, most: int = 12) -> str:
    """The lines that tell most: from the first error on, else the last ones; without secrets."""
    lines = [line.rstrip() for line in _text(log).splitlines() if line.strip()]
    shown = list(dict.fromkeys(filter(_is_cause, lines)))[-3:] or lines[-most:]
    return "\n".join(f"  {line[:400]}" for line in shown)


def advice(log: Path, said: str = "") -> str | None:
    """What to do about the problem that the log tells of, where it is a known one."""
    causes = "\n".join([said, *filter(_is_cause, _text(log).splitlines())])
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, causes)), None)


def _is_cause(line: str) -> bool:
    return _ERROR.match(line) is not None and not any(outer in line for outer in _OUTER)


def _text(log: Path) -> str:
    try:
        return without_secrets(log.read_bytes()[-_READ:].decode(errors="replace"))
    except OSError:
        return ""


def without_secrets(text: str) -> str:
    """A text with the values of secret environment variables crossed out."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET.search(name):
            text = text.replace(value, f"[{name}]")
    return text
