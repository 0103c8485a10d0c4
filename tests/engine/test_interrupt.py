"""Ctrl-C: an exception outside of training, a question inside, and at once the second time."""

from __future__ import annotations

import os
import signal

import pytest

from spa.engine.interrupt import Interrupt


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_outside_of_training_it_is_an_exception() -> None:
    with Interrupt() as interrupt:
        with pytest.raises(KeyboardInterrupt):
            press()
        assert interrupt.asked()


def test_inside_of_training_it_is_noted_and_the_second_time_it_is_an_exception() -> None:
    with Interrupt() as interrupt, interrupt.polite():
        press()
        assert interrupt.asked()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
