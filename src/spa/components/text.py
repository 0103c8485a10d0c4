"""Text that components put before a model: templates filled in once, conversations written out.

Used where a judge, a refiner or an evaluator makes its requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from spa.api import Message

__all__ = ["fill", "missing_placeholders", "transcript"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Puts values in place of ``{name}``.

    One pass over the template: braces within a value are left alone, and so are braces of the
    template around anything that is not a name in ``values``.
    """
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def missing_placeholders(template: str, required: Sequence[str]) -> list[str]:
    """The required names that ``template`` does not mention, as ``{name}``."""
    present = set(_PLACEHOLDER.findall(template))
    return [f"{{{name}}}" for name in required if name not in present]


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as plain text: a lone user turn as it is, else every turn under its role."""
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].content
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in messages)
