import gc
import signal
import threading

import pytest

from protocols.crypto.integers import fastest, is_probable_prime
from protocols.errors import ParameterError
from secagg.commands.prime_search import two_safe_primes
from tests.support.paillier_keys import stream


def test_search_finds_two_different_safe_primes_and_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    p, q = two_safe_primes(384, lambda tested, found: told.append((tested, found)))
    assert p != q
    for prime in (p, q):
        assert prime >> 382 == 3
        for number in (prime, prime >> 1):
            assert is_probable_prime(number, entropy=stream("bases"), arithmetic=fastest())
    assert told == sorted(told)
    assert told[-1][0] >= 2
    assert told[-1][1] == 2


def test_search_ends_all_its_threads_where_it_is_interrupted() -> None:
    before = threading.active_count()

    def observe(tested: int, found: int) -> None:
        if tested:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two_safe_primes(4096, observe)
    assert threading.active_count() == before


def test_another_error_of_what_observes_the_search_stays_what_it_is() -> None:
    def observe(tested: int, found: int) -> None:
        raise RuntimeError("The terminal is closed.")

    with pytest.raises(RuntimeError, match="terminal"):
        two_safe_primes(4096, observe)


@pytest.mark.parametrize("after_s", [0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016])
def test_search_ends_wherever_an_interrupt_arrives(after_s: float) -> None:
    """Also while its threads are being started; primes of 4096 bits would take minutes."""
    before = set(threading.enumerate())
    gc.disable()  # Python drops what is raised in a callback of the collector, and Hypothesis has put one there.
    handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGALRM: signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT)),
    }

    def search() -> None:  # On a busy machine the interrupt may arrive before the search begins.
        signal.setitimer(signal.ITIMER_REAL, after_s)
        two_safe_primes(4096, lambda tested, found: None)

    try:
        with pytest.raises(KeyboardInterrupt):
            search()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.enable()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("bits", [0, -1, 64, 10**6])
def test_search_for_what_is_out_of_range_is_refused(bits: int) -> None:
    with pytest.raises(ParameterError, match="bits"):
        two_safe_primes(bits, lambda tested, found: None)
