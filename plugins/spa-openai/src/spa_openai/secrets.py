"""Where the key comes from, and what keeps it out of every message."""

from __future__ import annotations

import os

from spa.api import SpaError
from spa_openai.config import OpenAIConfig

__all__ = ["NO_KEY", "read_key", "without_key"]

NO_KEY = "none"
"""Sent to servers that want no key: the client must send something, and would else take the key of
the hosted service from the environment and give it to a stranger."""


def read_key(config: OpenAIConfig) -> str:
    """The key for a server.

    Raises:
        SpaError: If its environment variable is not set, or does not hold a key.
    """
    name = config.api_key_env
    if name is None:
        return NO_KEY
    key = os.environ.get(name, "").strip()
    if not key:
        raise SpaError(
            f"the environment variable {name} is not set, and holds the key for {config.base_url}. "
            f"Type: export {name}=... or name another one with api_key_env. For a server that "
            "wants no key, set api_key_env: null."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SpaError(
            f"the environment variable {name} holds something that cannot be a key: a key has no "
            "spaces and no letters beyond ASCII. Set it again."
        )
    return key


def without_key(text: str, key: str) -> str:
    """A text of a server with the key crossed out, since servers may give back what they got."""
    return text if key == NO_KEY else text.replace(key, "[key]")
