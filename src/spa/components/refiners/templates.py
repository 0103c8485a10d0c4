"""What the refiner `self-refine` puts before the model, unless the recipe says otherwise."""

from __future__ import annotations

__all__ = ["REFINE_TEMPLATE"]

REFINE_TEMPLATE = """\
You improve answers. These criteria count, the most important first:

{objectives}

### Conversation
{prompt}

### Earlier answers
{samples}

### Task
Write one new answer to the last user message, better than all of these on every criterion: keep \
what is good in them and mend what is wrong. Speak to the person who asked. Do not mention the \
earlier answers, their scores or the criteria."""
