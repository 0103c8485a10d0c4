"""Puts values of strangers into a page so that they stay values.

A JSON text in a ``<script>`` element ends where ``</script`` stands, whatever JSON says of it. So
every ``<``, ``>`` and ``&`` is written as an escape of JSON's own, which reads back as the same
character. What would steer a terminal or the eye is written out first.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from spa.harmless import harmless
from spa.jsonable import finite

__all__ = ["embedded_json", "harmless_values", "script_hash"]

_ESCAPES = str.maketrans({each: f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})


def embedded_json(value: Any) -> str:  # noqa: ANN401 - JSON
    """A value as JSON that may stand in a ``<script type="application/json">``."""
    text = json.dumps(
        finite(harmless_values(value)), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.translate(_ESCAPES)


def harmless_values(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A value of JSON types with every text in it made harmless, those of keys as well."""
    match value:
        case str():
            return harmless(value)
        case Mapping():
            return {harmless(str(key)): harmless_values(inner) for key, inner in value.items()}
        case list() | tuple():
            return [harmless_values(inner) for inner in value]
        case _:
            return value


def script_hash(text: str) -> str:
    """How a Content-Security-Policy names a script that may run: by what is in it."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
