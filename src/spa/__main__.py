"""``python -m spa`` is the command ``spa``, for launchers that start a module."""

from __future__ import annotations

from spa.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
