import os
import signal
import threading
from collections.abc import Iterator

import pytest

from secagg.interruption import HeldInterrupts, Interrupted, raise_interrupted


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_waits_for_a_check() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), HeldInterrupts() as interrupts:  # noqa: PT012  # the order inside the block is the point
        interrupt()
        reached = True
        interrupts.check()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_takes_effect_at_the_blocks_end() -> None:
    with pytest.raises(KeyboardInterrupt), HeldInterrupts():
        interrupt()


def test_interrupt_does_not_hide_an_error_of_the_block() -> None:
    with pytest.raises(ValueError, match="its own"), HeldInterrupts():  # noqa: PT012  # the same
        interrupt()
        raise ValueError("its own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_before_an_error_of_the_block_takes_effect_at_a_later_check() -> None:
    interrupts = HeldInterrupts()
    with pytest.raises(ValueError, match="its own"), interrupts:  # noqa: PT012  # the same
        interrupt()
        raise ValueError("its own")
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_of_the_command_waits_too(number: signal.Signals) -> None:
    before = signal.signal(number, raise_interrupted)
    try:
        with pytest.raises(Interrupted) as raised, HeldInterrupts() as interrupts:  # noqa: PT012  # the same
            os.kill(os.getpid(), number)
            interrupts.check()
        assert raised.value.number == number
        assert signal.getsignal(number) is raise_interrupted
    finally:
        signal.signal(number, before)


def test_somebody_elses_handler_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with HeldInterrupts():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        interrupt()


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def block() -> None:
        with HeldInterrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
