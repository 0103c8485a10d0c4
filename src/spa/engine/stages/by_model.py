"""Responses of evaluators that run the policy's model themselves, all at once when one is missing.

Stands behind the stages ``respond-POLICY-NAME`` of such evaluators, whose jobs ask nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

from spa.contracts import LoadedModel, ModelEvaluator
from spa.engine.context import RunContext
from spa.engine.policy import Policy
from spa.errors import RunError, SpaError
from spa.models.loading import load_policy, load_tokenizer
from spa.types import Prompt, Response

__all__ = ["ResponsesByModel"]


class ResponsesByModel:
    """What an evaluator responds with a policy's model; nothing is loaded before it is wanted."""

    def __init__(
        self,
        context: RunContext,
        policy: Policy,
        evaluator: ModelEvaluator,
        prompts: Callable[[], Sequence[Prompt]],
        name: str,
    ) -> None:
        """Keeps what it takes.

        Args:
            context: The run.
            policy: Whose model it is.
            evaluator: Runs it.
            prompts: All prompts of the evaluator.
            name: What to call it in messages.
        """
        self._context, self._policy = context, policy
        self._evaluator, self._prompts, self._name = evaluator, prompts, name

    def of(self, prompt: Prompt) -> Sequence[Response]:
        """The responses to one prompt.

        Raises:
            LookupError: If there are none, or the run is only planned.
            SpaError: If the evaluator could not run the model.
        """
        if self._context.planner is not None:
            raise LookupError("nothing is run for a plan")
        if prompt.id not in self._all:
            raise LookupError("the evaluator gave no response to this prompt")
        return self._all[prompt.id]

    @cached_property
    def _all(self) -> Mapping[str, Sequence[Response]]:
        with _loaded(self._context, self._policy) as loaded:
            try:
                return self._evaluator.respond_with(loaded, self._prompts())
            except SpaError:
                raise
            except Exception as error:
                raise RunError(
                    f"evaluator '{self._name}' could not run the model of {self._policy.name}: "
                    f"{type(error).__name__}: {error}. What the stages before made is kept; run "
                    "again once that is mended."
                ) from error


@contextmanager
def _loaded(context: RunContext, policy: Policy) -> Iterator[LoadedModel]:
    """The model of the policy's backend, or its weights loaded anew where that gives none."""
    if hasattr(policy.backend.registered.load_class(), "loaded"):
        give: Callable[[], LoadedModel] = context.models.get(policy.backend).loaded  # type: ignore[attr-defined]
        yield give()
        return
    context.models.free()
    spec = policy.spec()
    yield LoadedModel(load_policy(spec), load_tokenizer(spec))
