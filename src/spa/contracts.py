"""What each kind of component must do. Protocols only: nothing to inherit from.

A component never calls a model. It *asks* by yielding requests and gets the results where it
yielded. The engine drives many such generators at once, batches what they ask across rows, stores
every answer and replays stored answers on resume. So component code must be deterministic given
its answers. A component that asks nothing just returns its value.

Every class takes its validated config as the only argument of ``__init__``.
"""

from __future__ import annotations

from collections.abc import Generator as _Gen
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    runtime_checkable,
)

from spa.types import (
    ChatRequest,
    ChatResult,
    EvaluationItem,
    Group,
    JsonValue,
    LabelRequest,
    LabelResult,
    Metric,
    Objective,
    PreferencePair,
    Prompt,
    Request,
    RequestFailure,
    Response,
    Result,
    Score,
    Verdict,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "Asks",
    "Backend",
    "Combiner",
    "Denoiser",
    "Evaluator",
    "Generator",
    "Judge",
    "LoadedModel",
    "Loss",
    "ModelEvaluator",
    "PairBatch",
    "PairBuilder",
    "PairLosses",
    "PromptedEvaluator",
    "Refiner",
    "Returns",
    "Scale",
    "Source",
    "Waiting",
    "chat",
    "chat_all",
    "label",
    "label_all",
]

T = TypeVar("T")

Asks: TypeAlias = _Gen["Request | Sequence[Request]", "Result | Sequence[Result]", T]
"""A generator that yields a request, or several to be answered side by side, and is sent the
result, or the results in the same order."""

Scale: TypeAlias = "tuple[float, float] | None"
"""Lowest and highest possible score of a judge; None if there is no such bound."""

Returns: TypeAlias = "Asks[T] | T"
"""What a component method may be: one that asks, or one that just returns."""


def chat(request: ChatRequest) -> Asks[ChatResult]:
    """Asks for one answer: ``result = yield from chat(request)``."""
    return cast("ChatResult", (yield request))


def chat_all(requests: Sequence[ChatRequest]) -> Asks[Sequence[ChatResult]]:
    """Asks for several answers side by side; the results come in the order of the requests."""
    return cast("Sequence[ChatResult]", (yield requests))


def label(request: LabelRequest) -> Asks[LabelResult]:
    """Asks for one label distribution: ``result = yield from label(request)``."""
    return cast("LabelResult", (yield request))


def label_all(requests: Sequence[LabelRequest]) -> Asks[Sequence[LabelResult]]:
    """Asks for several label distributions side by side, in the order of the requests."""
    return cast("Sequence[LabelResult]", (yield requests))


@runtime_checkable
class Source(Protocol):
    """Where prompts come from."""

    def prompts(self) -> Iterator[Prompt]:
        """Yields the prompts in a stable order; ids are unique and stable between runs."""
        ...

    def fingerprint(self) -> str:
        """A hash of the content, so that a changed file is noticed and a moved one is not."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Samples the responses of a prompt.

    Whatever asks (generators, judges, refiners, evaluators) may also have a method
    ``will_ask() -> Sequence[Request]``. It returns examples of what will be asked, one for each
    combination of prefill and labels; what their messages say does not matter. Before a run's
    first stage the backend is asked whether it could answer them (see `Backend`).
    """

    def sample(self, prompt: Prompt) -> Returns[Sequence[Response]]:
        """Returns the samples y_1 .. y_n."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Scores a response on every objective."""

    @property
    def scale(self) -> tuple[float, float] | None:
        """Lowest and highest possible score; ``None`` if there is no such bound."""
        ...

    def score(
        self, prompt: Prompt, response: Response, objectives: Sequence[Objective]
    ) -> Returns[Mapping[str, Score]]:
        """Returns one score an objective, keyed by its name; `Score.value` None if unscored."""
        ...


@runtime_checkable
class Combiner(Protocol):
    """A judge that makes one score of those of other judges, its members.

    It is announced as a judge and needs no method ``score``. Its config has a field marked with
    `Members`. Every member judges in a stage of its own; a combiner asks nothing.
    """

    def combined_scale(self, scales: Sequence[Scale]) -> Scale:
        """Lowest and highest possible combined score.

        Args:
            scales: Those of the members, in order.

        Raises:
            ValueError: If scores on these scales cannot be combined; the recipe is then refused.
        """
        ...

    def combine(
        self,
        scores: Sequence[Mapping[str, Score]],
        scales: Sequence[Scale],
        objectives: Sequence[Objective],
    ) -> Mapping[str, Score]:
        """Returns one score an objective, keyed by its name; `Score.value` None if unscored.

        Args:
            scores: Of one response by each member, in order, with a score for every objective. A
                member that could not judge the response gave scores without a value.
            scales: Those of the members, in order.
            objectives: In the recipe's order, on the combined scale.
        """
        ...


@runtime_checkable
class Refiner(Protocol):
    """Writes one improved response from all samples and their scores."""

    def refine(self, group: Group, objectives: Sequence[Objective]) -> Returns[Response | None]:
        """Returns the refined response, or None where there is nothing to refine."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Decides whether the judgement of a group can be trusted. Every response is scored."""

    def verdict(self, group: Group, objectives: Sequence[Objective]) -> Verdict:
        """Returns whether the group stays, and under which reason it is counted."""
        ...


@runtime_checkable
class PairBuilder(Protocol):
    """Builds the preference pairs of a group. Every response is scored."""

    def pairs(self, group: Group, objectives: Sequence[Objective]) -> Sequence[PreferencePair]:
        """Returns the pairs, none twice."""
        ...


@runtime_checkable
class Evaluator(Protocol):
    """Measures models on held-out prompts. What it asks is answered by the judge's model."""

    def evaluate(
        self, item: EvaluationItem, objectives: Sequence[Objective]
    ) -> Returns[Mapping[str, JsonValue]]:
        """Returns what was seen for one prompt: a flat record, kept and given to `summary`."""
        ...

    def summary(
        self, rows: Sequence[Mapping[str, JsonValue]], objectives: Sequence[Objective]
    ) -> Sequence[Metric]:
        """Returns the figures over all rows, each with its number of prompts and interval."""
        ...


@runtime_checkable
class PromptedEvaluator(Evaluator, Protocol):
    """An evaluator with prompts of its own, which every policy of the run answers as it says.

    It is announced as an evaluator; that it has these methods makes it one with prompts of its own.
    The engine keeps its prompts, has each policy respond to each of them, and then calls `evaluate`
    with the responses of all policies, which no judge has scored: `Scored.scores` is empty. A
    policy that could not respond has none. `prompts` alone may read data: whoever reads a finished
    run makes the evaluator again for its `summary`.

    It may also have a method ``will_ask_policy() -> Sequence[Request]``: as ``will_ask``, which
    tells of `evaluate`, but for `respond`, and checked with the policy's backend. And it may have a
    method ``right(row) -> Mapping[str, float]``, by which ``spa show --evaluator`` finds
    regressions: of a row of `evaluate`, policy name to how right its response was, from 0 to 1.
    """

    def prompts(self) -> Iterator[Prompt]:
        """Yields the prompts in a stable order, with all that `evaluate` needs in their `meta`.

        Ids are unique and stable between runs; the engine puts the evaluator's name before them.
        """
        ...

    def respond(self, prompt: Prompt) -> Returns[Sequence[Response]]:
        """Returns what a policy answers to one of the prompts; it asks that policy.

        Several turns of a conversation are several responses, in their order. What is read out of
        a response belongs in `evaluate`, so that another reading asks nothing again.
        """
        ...


class LoadedModel(NamedTuple):
    """A model in this process.

    Attributes:
        model: In evaluation mode, with its adapter; it may be a PEFT model.
        tokenizer: It has a padding token.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@runtime_checkable
class ModelEvaluator(Evaluator, Protocol):
    """An evaluator with prompts of its own that runs every policy's model itself.

    As a `PromptedEvaluator`, but for what cannot be asked by requests: another library that wants
    the model, for example. Its responses are kept; what it computed on the way is not, so that a
    stage which was interrupted begins anew.
    """

    def prompts(self) -> Iterator[Prompt]:
        """As of `PromptedEvaluator`."""
        ...

    def respond_with(
        self, loaded: LoadedModel, prompts: Sequence[Prompt]
    ) -> Mapping[str, Sequence[Response]]:
        """Returns what the model responds to all prompts, by their ids.

        Called once for every policy, with all its prompts, if any response is not in the store. A
        prompt that is left out is counted as failed. The model must be left as it is.
        """
        ...


class Waiting(Protocol):
    """Requests that wait for an answer, for `Backend` classes with a method ``stream``."""

    def take(self, most: int) -> Sequence[tuple[int, Request]]:
        """The next requests, each with the number to answer it under, in the order of asking.

        Work that is not begun yet is begun as it is taken, so that little is held in memory.

        Args:
            most: Take at most so many; at least 1.

        Returns:
            Nothing if none waits now. That changes only when an answer has been yielded: what a
            component asks next follows from it.
        """
        ...


@runtime_checkable
class Backend(Protocol):
    """Runs a model.

    What else a backend may have; one without is treated as said:

    - ``check(requests: Sequence[Request]) -> Sequence[str]`` is called before a run's first stage,
      with examples of what components will ask, and returns why requests of their kind could never
      be answered: what is wrong, what is valid, what to do; nothing if all is well. It must not
      load weights. Without: not asked.
    - ``stream(waiting: Waiting) -> Iterator[tuple[int, Result | RequestFailure]]`` takes requests
      when there is room for them and yields (number, result) as they finish, until nothing is under
      way and nothing waits. For engines that are kept full. Without: ``answer`` gets what waits,
      and what is asked meanwhile waits for its end.
    - ``remote: bool``, a class attribute: True if the model takes no memory of this machine, so
      that it may stay open beside another. Without: False.
    - ``tokenizer_fingerprint() -> str``: a hash of the tokenizer alone. Token ids of one model are
      kept for training another only if both have the same. Without: unknown, so they are dropped
      where the model is not the policy.
    - ``fingerprint_parts() -> Mapping[str, str]``: what the fingerprint covers, a hash of each by
      name (``weights``, ``tokenizer``, ``chat template``, ...), so that a plan can say which of it
      changed. One of them differs wherever the fingerprint does. It must not load weights.
      Without: a plan says that the model changed.
    - ``adopt(config) -> bool``: goes on as the backend of another config of its own class, if it
      can do so without starting anew (another adapter on the same weights), and says whether it
      does. Without: it is closed, and another one is started.
    - ``loaded() -> LoadedModel``: its model, for evaluators that run it themselves. Without: these
      load the weights once more, after this backend was closed.
    - ``figures() -> Mapping[str, float]``: what it counted since it was made, for the manifest
      (retries, cost); names are stable, values only grow. Without: nothing.
    """

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Result | RequestFailure]]:
        """Yields (place in ``requests``, result) as they finish, in any order, each place once."""
        ...

    def fingerprint(self) -> str:
        """The model's identity for cache keys: weights, adapter, tokenizer, chat template.

        Must not load weights: planning a run calls it.
        """
        ...

    def close(self) -> None:
        """Frees memory; called once, when no further request will come."""
        ...


@dataclass(frozen=True)
class PairBatch:
    """What a loss sees: R unique responses, P pairs among them, K objectives, T tokens.

    It holds whole prompt groups, so every pair's responses are in it. It may be a part of the
    optimizer batch; ``mean_gap_sum`` and ``mean_gap_l1`` are those of the whole optimizer batch.

    Attributes:
        logprobs: (R, T) natural log-probability of each response token under the policy, fp32,
            0 where ``mask`` is 0.
        mask: (R, T) 1 for response tokens, the end token included where the model produced it.
        chosen: (P,) row of the chosen response.
        rejected: (P,) row of the rejected response.
        scores: (R, K) judge scores, in the order of the objectives.
        gap_sum: (P,) ``|sum_k s_k(chosen) - sum_k s_k(rejected)|``.
        gap_l1: (P,) ``sum_k |s_k(chosen) - s_k(rejected)|``.
        mean_gap_sum: Mean of ``gap_sum`` over the optimizer batch.
        mean_gap_l1: Mean of ``gap_l1`` over the optimizer batch.
        reference_logprobs: (R, T) under the reference policy, the model at the start of the
            round; None unless the loss has ``needs_reference``.
        collision_logprobs: (R, T) natural log of the collision probability ``sum_v p(v)^2`` of the
            policy's distribution at each response token, 0 where ``mask`` is 0. It never carries
            a gradient; None unless the loss has ``needs_collision = True``.
    """

    logprobs: torch.Tensor
    mask: torch.Tensor
    chosen: torch.Tensor
    rejected: torch.Tensor
    scores: torch.Tensor
    gap_sum: torch.Tensor
    gap_l1: torch.Tensor
    mean_gap_sum: float
    mean_gap_l1: float
    reference_logprobs: torch.Tensor | None = None
    collision_logprobs: torch.Tensor | None = None

    @property
    def lengths(self) -> torch.Tensor:
        """(R,) response lengths |y| in tokens; at least 1."""
        return self.mask.sum(-1)

    @property
    def sums(self) -> torch.Tensor:
        """(R,) log p(y|x), summed over response tokens."""
        return (self.logprobs * self.mask).sum(-1)

    @property
    def averages(self) -> torch.Tensor:
        """(R,) log p(y|x) / |y|."""
        return self.sums / self.lengths

    @property
    def reference_sums(self) -> torch.Tensor:
        """(R,) log p_ref(y|x).

        Raises:
            ValueError: If the loss did not set ``needs_reference``.
        """
        if self.reference_logprobs is None:
            raise ValueError(
                "this batch has no reference log-probabilities: "
                "set needs_reference = True on the loss"
            )
        return (self.reference_logprobs * self.mask).sum(-1)

    @property
    def collision_sums(self) -> torch.Tensor:
        """(R,) sum over response tokens of ``log sum_v p(v)^2``.

        Raises:
            ValueError: If the loss did not set ``needs_collision``.
        """
        if self.collision_logprobs is None:
            raise ValueError(
                "this batch has no collision log-probabilities: "
                "set needs_collision = True on the loss"
            )
        return (self.collision_logprobs * self.mask).sum(-1)

    def gaps(self, kind: Literal["sum", "l1"] = "sum") -> torch.Tensor:
        """(P,) score gaps of one kind."""
        return self.gap_sum if kind == "sum" else self.gap_l1

    def mean_gap(self, kind: Literal["sum", "l1"] = "sum") -> float:
        """Mean gap of one kind over the optimizer batch."""
        return self.mean_gap_sum if kind == "sum" else self.mean_gap_l1


@dataclass(frozen=True)
class PairLosses:
    """What a loss returns.

    Attributes:
        losses: (P,) one loss a pair. The trainer divides their sum once, by the number of pairs
            of the optimizer batch.
        metrics: Name to (P,) values, averaged over the optimizer batch and logged.
    """

    losses: torch.Tensor
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)


@runtime_checkable
class Loss(Protocol):
    """Turns the log-probabilities of a batch of pairs into one loss a pair.

    A loss may also have an attribute ``needs_collision``: True asks for
    ``PairBatch.collision_logprobs``. It is read as ``getattr(loss, "needs_collision", False)``, so
    a loss that does without need not have it.
    """

    @property
    def needs_reference(self) -> bool:
        """Whether ``PairBatch.reference_logprobs`` is needed."""
        ...

    def __call__(self, batch: PairBatch) -> PairLosses:
        """Returns one loss a pair; must be differentiable in ``batch.logprobs``."""
        ...
