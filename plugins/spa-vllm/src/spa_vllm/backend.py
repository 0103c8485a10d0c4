"""The backend ``vllm``: what spa calls. Engines start at the first request and end at `close`."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from spa.api import Request, RequestFailure, Result, SpaError, Waiting
from spa.models import identity
from spa.models.loading import pick_device, pick_dtype
from spa.models.location import model_source
from spa.models.spec import ModelSpec
from spa_vllm.adapters import rank_for, read_adapter
from spa_vllm.arguments import known_arguments, unknown_arguments
from spa_vllm.asking import Asking, Rendered
from spa_vllm.config import VLLMConfig
from spa_vllm.devices import gpu_groups
from spa_vllm.engines import Engines
from spa_vllm.log import new_log
from spa_vllm.plugin import INSTALL_HINT
from spa_vllm.process import COMMAND, EngineProcess, Inbox

__all__ = ["VLLMBackend"]

logger = logging.getLogger("spa.vllm")  # below spa's own, so that its notices are shown


class VLLMBackend:
    """Samples and judges with vLLM, in a process of its own for each engine.

    Engines are kept full: a request is taken as soon as there is room, and answers are given as
    they finish. A row that does not fit the context, or that vLLM refuses, is answered by a
    `RequestFailure`, and the others go on.
    """

    Config = VLLMConfig

    def __init__(self, config: VLLMConfig) -> None:
        """Keeps the settings; nothing is started yet."""
        self.config = config
        self.spec = _spec(config)
        self.asking = Asking(self.spec)
        self._engines: Engines | None = None
        self._rank = 0  # that the running engines have room for

    def fingerprint(self) -> str:
        """Hash of weights, adapter, tokenizer, chat template, dtype and quantization."""
        settings = {
            "model": identity.fingerprint(self.spec),
            "quantization": self.config.quantization,
            "engine_args": self.config.engine_args,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def tokenizer_fingerprint(self) -> str:
        """Hash of the tokenizer alone."""
        return identity.tokenizer_fingerprint(self.spec)

    def check(self, requests: Sequence[Request]) -> Sequence[str]:
        """Why requests like these cannot be answered; reads the tokenizer alone.

        Raises:
            SpaError: If vLLM is not installed or could not start with these settings, or the
                tokenizer cannot be loaded.
        """
        self._check_start()
        problems: list[str] = []
        for request in requests:
            try:
                self.asking.render(request)
            except SpaError as error:
                problems.append(str(error))
        return problems

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Yields (place, result) as they finish."""
        return self.stream(_Listed(requests))

    def stream(self, waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Keeps the engines full from what waits, and yields answers as they finish.

        Raises:
            SpaError: If an engine cannot be started or ends, or no request of a kind can be
                answered.
        """
        taken = waiting.take(1)
        if not taken:
            return
        engines = self._started()
        adapter = self._adapter(engines)
        under_way: dict[int, tuple[int, Rendered]] = {}
        try:
            while True:
                for number, request in taken:
                    rendered = self.asking.prepare(request, engines.max_model_len)
                    if isinstance(rendered, RequestFailure):
                        yield number, rendered
                        continue
                    message = self.asking.message(rendered, adapter, with_seed=engines.takes_seeds)
                    under_way[engines.add(message)] = (number, rendered)
                taken = waiting.take(engines.room) if engines.room else ()
                if taken:
                    continue
                if not under_way:
                    return
                answered, told = engines.next_answer()
                number, rendered = under_way.pop(answered)
                yield number, self.asking.result(rendered, told)
                taken = waiting.take(engines.room) if engines.room else ()
        finally:
            if under_way:
                engines.abort()

    def adopt(self, config: VLLMConfig) -> bool:
        """Goes on with another adapter on the same weights, if its rank fits the engines."""
        if config.model_copy(update={"adapter": None}) != self.config.model_copy(
            update={"adapter": None}
        ):
            return False
        if (
            self._engines is not None
            and config.adapter is not None
            and read_adapter(config.adapter).rank > self._rank
        ):
            return False
        self.config = config
        self.spec = self.asking.spec = _spec(config)
        return True

    def close(self) -> None:
        """Ends the engines; their memory is free afterwards."""
        engines, self._engines = self._engines, None
        if engines is not None:
            engines.close()

    def _check_start(self) -> list[str | None]:
        """The GPUs of each engine.

        Raises:
            SpaError: If engines could not be started.
        """
        if importlib.util.find_spec("vllm") is None:
            raise SpaError(f"the backend vllm needs vLLM, which is not installed: {INSTALL_HINT}.")
        known = known_arguments()
        if known and (problems := unknown_arguments(self.config.engine_args, known)):
            raise SpaError("\n".join(f"engine_args: {problem}" for problem in problems))
        return gpu_groups(self.spec, self.config.engines, self.config.tensor_parallel)

    def _started(self) -> Engines:
        if self._engines is not None:
            return self._engines
        groups = self._check_start()
        ranks = [self.config.max_lora_rank]
        if self.config.adapter is not None:
            ranks.append(read_adapter(self.config.adapter).rank)
        self._rank = rank_for(*ranks)
        arguments = self._arguments(self._rank)

        def start(inbox: Inbox) -> Iterator[EngineProcess]:
            for gpus in groups:
                log = new_log()
                logger.info("starting vLLM; its log: %s", log)
                yield EngineProcess(arguments, log, inbox, gpus=gpus, command=COMMAND)

        self._engines = Engines(start)
        if not self._engines.takes_seeds:
            logger.info(
                "vLLM takes no seed for a single request on a CPU: answers that are asked anew "
                "differ, those in the store stay"
            )
        return self._engines

    def _arguments(self, rank: int) -> dict[str, Any]:
        """Engine arguments: what the keys say, what spa needs, and the recipe's own."""
        config = self.config
        source = model_source(config.path)
        given: dict[str, Any] = {
            "model": source,
            "tokenizer": source,
            "dtype": _dtype(self.spec, source),
            "trust_remote_code": config.trust_remote_code,
            "generation_config": "vllm",  # none of the checkpoint's defaults for sampling
            "enable_prefix_caching": True,
            "block_size": _block(self.spec),
            "tensor_parallel_size": config.tensor_parallel,
            "gpu_memory_utilization": config.gpu_memory_utilization or _share(self.spec),
            "max_model_len": config.max_model_len,
            "max_num_seqs": config.max_num_seqs,
            "enforce_eager": config.enforce_eager,
            "quantization": config.quantization,
            "disable_log_stats": True,
        }
        if rank:
            given |= {"enable_lora": True, "max_lora_rank": rank}
        return {**{k: v for k, v in given.items() if v is not None}, **config.engine_args}

    def _adapter(self, engines: Engines) -> int | None:
        if self.config.adapter is None:
            return None
        return engines.load(read_adapter(self.config.adapter))


class _Listed:
    """A list of requests that waits, each under its place."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._rest = list(enumerate(requests))[::-1]

    def take(self, most: int) -> Sequence[tuple[int, Request]]:
        """The next requests."""
        return [self._rest.pop() for _ in range(min(most, len(self._rest)))]


def _spec(config: VLLMConfig) -> ModelSpec:
    return ModelSpec(
        path=config.path,
        dtype=config.dtype,
        adapter=config.adapter,
        trust_remote_code=config.trust_remote_code,
        chat_template_kwargs=config.chat_template_kwargs,
    )


def _share(spec: ModelSpec) -> float:
    """How much of the memory an engine may take: on a CPU it is everybody's."""
    return 0.4 if pick_device(spec).type == "cpu" else 0.9


def _block(spec: ModelSpec) -> int | None:
    """Tokens of a block of the prefix cache, which shares whole blocks only; None: vLLM's choice.

    On a CPU that is 128, more than the end of a judge's prompt.
    """
    return 32 if pick_device(spec).type == "cpu" else None


def _dtype(spec: ModelSpec, source: str) -> str:
    """The type that spa computes in, by name; vLLM's ``auto`` would shorten float32."""
    dtype = pick_dtype(spec)
    if dtype == "auto":
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
        dtype = config.get_text_config().dtype or config.dtype or "auto"
    return str(dtype).removeprefix("torch.")
