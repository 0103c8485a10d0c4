"""vLLM's own settings: which there are, and which of them the backend sets itself."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

__all__ = ["SET_BY_KEYS", "SET_ELSEWHERE", "known_arguments", "unknown_arguments"]

SET_BY_KEYS = {
    "dtype": "dtype",
    "enforce_eager": "enforce_eager",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "max_lora_rank": "max_lora_rank",
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "model": "path",
    "quantization": "quantization",
    "tensor_parallel_size": "tensor_parallel",
    "trust_remote_code": "trust_remote_code",
}
"""Arguments with a key of their own in the recipe."""

SET_ELSEWHERE = {
    "data_parallel_size": "use the key engines: each is an engine of its own",
    "enable_lora": "use the key max_lora_rank: 0 is without adapters",
    "generation_config": "a request says all there is to say about sampling",
    "hf_token": "a secret has no place in a recipe: set the environment variable HF_TOKEN",
    "logprobs_mode": "judges need plain log-probabilities",
    "tokenizer": "it is the model's own",
}
"""Arguments that no recipe may set, and why."""


def known_arguments() -> list[str] | None:
    """Names of vLLM's engine arguments, read off its source: importing it takes many seconds.

    Returns:
        None where they cannot be read so; the engine refuses unknown ones when it starts.
    """
    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        return None
    source = Path(next(iter(found.submodule_search_locations))) / "engine" / "arg_utils.py"
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs":
            fields = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
            return [field.id for field in fields if isinstance(field, ast.Name)]
    return None


def unknown_arguments(given: Mapping[str, object], known: Iterable[str]) -> list[str]:
    """What is wrong with names that vLLM does not know, each with the nearest that it does."""
    names = sorted(known)
    problems = []
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else "See: vllm serve --help"
            problems.append(f"vLLM has no engine argument {name!r}. {advice}")
    return problems
