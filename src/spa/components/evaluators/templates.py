"""What the evaluator `pairwise` puts before the judge, unless the recipe says otherwise."""

from __future__ import annotations

__all__ = ["COMPARE_TEMPLATE"]

COMPARE_TEMPLATE = """\
You compare two answers, {label_1} and {label_2}, to the last user message of a conversation. What \
counts, the most important first:

{criteria}

### Conversation
{prompt}

### Answer {label_1}
{answer_1}

### Answer {label_2}
{answer_2}

### Question
Which answer is better? Write only {label_1} or {label_2}."""
