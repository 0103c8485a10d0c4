"""What the refiners put before the model, unless the recipe says otherwise."""

from __future__ import annotations

__all__ = ["CRITIQUE_TEMPLATE", "HEED_TEMPLATE", "REFINE_TEMPLATE"]

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

# The two of `critique-refine` begin alike up to their task, so that backends compute that once.
_CASE = """\
You look at answers. These criteria count, the most important first:

{objectives}

### Conversation
{prompt}

### Earlier answers
{samples}

"""

CRITIQUE_TEMPLATE = (
    _CASE
    + """\
### Task
Say what is wrong with these answers, criterion by criterion, the most important first: what is \
false, risky, missing or beside the point, and how to mend it. Name what is good and must stay. Be \
short and concrete. Do not write a new answer."""
)

HEED_TEMPLATE = (
    _CASE
    + """\
### Critique
{critique}

### Task
Write one new answer to the last user message, better than all of these on every criterion: keep \
what is good in them and mend what the critique names. Speak to the person who asked. Do not \
mention the earlier answers, their scores, the critique or the criteria."""
)
