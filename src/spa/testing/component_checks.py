"""Checks what a hook announces: the record, and that its class and config can be imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from spa.api import Component
from spa.plugins.describe import describe_config
from spa.plugins.kinds import KINDS
from spa.plugins.registered import Registered
from spa.plugins.validation import incompatibility, record_problems
from spa.testing.report import Checks, Report, require

__all__ = ["check_component"]


def check_component(kind: str, record: Component) -> Report:
    """Checks what a hook announces: the record, its class and its config.

    Args:
        kind: Name of the kind, for example ``"judge"``.
        record: What the hook returns for it.
    """
    checks = Checks(f"{kind} {record.name}")
    registered = Registered(record, kind, "under-test", "under-test", "0")
    with checks.that("the record is well formed"):
        problems = list(record_problems(record, KINDS[kind]))
        require(not problems, "; ".join(problems))
    if not checks.fine:
        return checks.report()
    with checks.that("this spa supports its contract version"):
        reason = incompatibility(record, KINDS[kind], "under-test")
        require(reason is None, str(reason))
    with checks.that("its config is a frozen pydantic model that forbids unknown keys"):
        config: Any = registered.load_config_class()
        require("use" not in config.model_fields, "the key 'use' belongs to the recipe")
    if checks.fine:
        with checks.that("its config has a description for every key"):
            bare = [each.name for each in describe_config(config) if not each.description]
            require(not bare, f"none for {', '.join(bare)}")
    with checks.that("its config is imported without torch and transformers"):
        module = record.config.partition(":")[0]
        code = f"import sys, {module}; print(*({{'torch', 'transformers'}} & set(sys.modules)))"
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        require(ran.returncode == 0, ran.stderr.strip()[-500:])
        require(not ran.stdout.strip(), f"it imports {ran.stdout.strip()}")
    with checks.that("its class has the methods of its kind"):
        registered.load_class()
    return checks.report()
