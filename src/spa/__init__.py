"""Self-Priority Alignment: trustworthy first, helpful second, judged by the model itself."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
