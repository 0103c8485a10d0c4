"""What plugin authors use to test their components: no model, no engine, no network.

`answer` and `drive` run a component that asks; `make_group` and its kin build what it is given;
`check_judge` and its kin look whether it keeps the contract of its kind::

    def test_judge_keeps_its_contract():
        check_judge(MyJudge(MyConfig())).raise_if_failed()
"""

from __future__ import annotations

from spa.testing.backend_checks import check_backend
from spa.testing.component_checks import check_component
from spa.testing.conformance import (
    check_denoiser,
    check_generator,
    check_judge,
    check_pair_builder,
    check_refiner,
)
from spa.testing.driving import ScriptedBackend, Trace, answer, drive, trace
from spa.testing.loss_checks import check_loss
from spa.testing.replies import canned_reply, chat_result, label_result
from spa.testing.report import Check, Report
from spa.testing.samples import (
    make_group,
    make_objectives,
    make_pair_batch,
    make_prompt,
    make_response,
    make_scored,
)

__all__ = [
    "Check",
    "Report",
    "ScriptedBackend",
    "Trace",
    "answer",
    "canned_reply",
    "chat_result",
    "check_backend",
    "check_component",
    "check_denoiser",
    "check_generator",
    "check_judge",
    "check_loss",
    "check_pair_builder",
    "check_refiner",
    "drive",
    "label_result",
    "make_group",
    "make_objectives",
    "make_pair_batch",
    "make_prompt",
    "make_response",
    "make_scored",
    "trace",
]
