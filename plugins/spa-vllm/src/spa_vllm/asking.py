"""Turns requests into what an engine is told, and what it answers into results.

Prompts are rendered to token ids here, by the same function as for training, so that vLLM never
sees a text and generation, judging and training agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from typing import TYPE_CHECKING, Any

from spa.api import (
    ChatRequest,
    ChatResult,
    LabelRequest,
    LabelResult,
    Request,
    RequestFailure,
    Result,
    SpaError,
)
from spa.models.chat import render_text
from spa.models.labels import label_token_ids
from spa.models.loading import load_tokenizer
from spa.models.location import model_source
from spa.models.reasoning import find_tags, part
from spa.models.spec import ModelSpec
from spa_vllm.channel import Told

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["MOST_LABELS", "Asking", "Rendered"]

MOST_LABELS = 128  # what vLLM gives log-probabilities of, in one request


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request as token ids.

    Attributes:
        request: What is asked.
        prompt_ids: The conversation.
        label_ids: Of a label request, the token of every label.
        reasoning: Whether the prompt ends within the model's reasoning.
    """

    request: Request
    prompt_ids: list[int]
    label_ids: tuple[int, ...] = ()
    reasoning: bool = False

    @property
    def new_tokens(self) -> int:
        """How many tokens may be generated."""
        return self.request.max_tokens if isinstance(self.request, ChatRequest) else 1


class Asking:
    """Renders requests for one model and reads its answers; loads the tokenizer at first use."""

    def __init__(self, spec: ModelSpec) -> None:
        """Keeps the model's name."""
        self.spec = spec
        self._label_ids: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer."""
        return load_tokenizer(self.spec)

    @cached_property
    def end_tokens(self) -> list[int]:
        """Every token that ends an answer: the checkpoint's own list and the tokenizer's."""
        found = {*_configured_ends(self.spec), self.tokenizer.eos_token_id}
        return sorted(int(token) for token in found if token is not None)

    def render(self, request: Request) -> Rendered:
        """A request as token ids.

        Raises:
            SpaError: If the chat template refuses it, or a label is not one token.
        """
        return self._with_labels(self._prompt(request))

    def prepare(self, request: Request, context: int) -> Rendered | RequestFailure:
        """A request as token ids, or why it cannot be answered.

        Args:
            request: What is asked.
            context: Most tokens of prompt and answer together.

        Raises:
            SpaError: If no request of this kind can be answered: a label is not one token.
        """
        try:
            rendered = self._prompt(request)
        except SpaError as error:
            return RequestFailure("template", str(error))
        length, room = len(rendered.prompt_ids), rendered.new_tokens
        if length + room > context:
            return RequestFailure(
                "too_long",
                f"the prompt has {length:,} tokens and {room:,} are to be generated, but the "
                f"model's context is {context:,}. Shorten the prompt or lower max_tokens.",
            )
        return self._with_labels(rendered)

    def message(
        self, rendered: Rendered, adapter: int | None, *, with_seed: bool
    ) -> dict[str, Any]:
        """What the engine is told of a request."""
        request = rendered.request
        if isinstance(request, LabelRequest):
            return {
                "do": "labels",
                "prompt": rendered.prompt_ids,
                "labels": list(rendered.label_ids),
                "adapter": adapter,
            }
        return {
            "do": "chat",
            "prompt": rendered.prompt_ids,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed if with_seed else None,
            "stop_token_ids": self.end_tokens,
            "adapter": adapter,
        }

    def result(self, rendered: Rendered, told: Told) -> Result | RequestFailure:
        """The result that the engine's answer means."""
        if told["is"] == "refused":
            return RequestFailure("refused", f"vLLM does not answer this: {told['message']}")
        prompt_tokens = len(rendered.prompt_ids)
        if told["is"] == "labels":
            logprobs = tuple(float(each) for each in told["logprobs"])
            mass = min(sum(map(exp, logprobs)), 1.0)
            return LabelResult(logprobs=logprobs, mass=mass, prompt_tokens=prompt_tokens)
        token_ids = tuple(int(token) for token in told["tokens"])
        tags = find_tags(self.tokenizer)
        parted = part(self.tokenizer, token_ids, tags, begun=rendered.reasoning)
        return ChatResult(
            text=parted.answer,
            token_ids=token_ids,
            finish_reason=told["finish"],
            prompt_tokens=prompt_tokens,
            reasoning=parted.reasoning,
        )

    def _prompt(self, request: Request) -> Rendered:
        text, reasoning = render_text(
            self.tokenizer,
            request.messages,
            request.prefill,
            direct=isinstance(request, LabelRequest),
            options=self.spec.chat_template_kwargs,
        )
        # The template writes special tokens itself: adding them again doubles the first one.
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return Rendered(request, ids, reasoning=reasoning)

    def _with_labels(self, rendered: Rendered) -> Rendered:
        request = rendered.request
        if not isinstance(request, LabelRequest):
            return rendered
        kind = (request.prefill, request.labels)
        if kind not in self._label_ids:
            if len(request.labels) > MOST_LABELS:
                raise SpaError(
                    f"{len(request.labels)} labels are more than vLLM gives log-probabilities of "
                    f"at once, {MOST_LABELS}. Use fewer labels, or the backend hf."
                )
            options = self.spec.chat_template_kwargs
            self._label_ids[kind] = label_token_ids(
                self.tokenizer, request, rendered.prompt_ids, options
            )
        return replace(rendered, label_ids=self._label_ids[kind])


def _configured_ends(spec: ModelSpec) -> list[int | None]:
    """What the checkpoint says of end tokens: its ``generation_config``, else its ``config``."""
    from transformers import AutoConfig, GenerationConfig

    source = model_source(spec.path)
    config: Any
    try:
        config = GenerationConfig.from_pretrained(source)
    except OSError:
        config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
        config = config.get_text_config()
    ends = getattr(config, "eos_token_id", None)
    return list(ends) if isinstance(ends, list) else [ends]
