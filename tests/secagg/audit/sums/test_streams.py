import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protocols import LightSecAgg, OneShot, SecAgg, SecureSum, Step
from protocols.crypto.counter_mode import VARIABLE, CounterMode, mode_of_long_streams
from protocols.crypto.keystream import LONG_BYTES, Keystream
from protocols.crypto.lattice import pad
from protocols.crypto.sealing import seal
from protocols.crypto.secret import Secret
from protocols.lightsecagg.derived import Derived
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.parties import Steps, with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums import streams
from secagg.audit.sums.streams import StreamsOnce
from secagg.audit.sums.subject import SumSubject

KEY = Secret(bytes(range(32)))


def _also(steps: Steps, done: dict[str, Callable[[], object]]) -> Steps:
    def also(row: Step[Any, Any, Any, Any]) -> Step[Any, Any, Any, Any]:
        def answer(party: Any, request: Any) -> Any:
            done[row.name]()
            return row.answer(party, request)

        return dataclasses.replace(row, answer=answer) if row.name in done else row

    return tuple(map(also, steps))


def _read() -> bytes:
    return Keystream(KEY).read(20)


def _read_elsewhere() -> bytes:
    return Keystream(KEY).read(20)


def _read_much() -> bytes:
    return Keystream(KEY, expected_bytes=LONG_BYTES).read(LONG_BYTES)


def _read_much_elsewhere() -> bytes:
    return Keystream(KEY, expected_bytes=LONG_BYTES).read(LONG_BYTES)


@pytest.fixture(params=list(CounterMode))
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CounterMode]:
    """The mode of long keystreams, for the time of a test."""
    mode: CounterMode = request.param
    monkeypatch.setenv(VARIABLE, mode)
    mode_of_long_streams.cache_clear()
    yield mode
    mode_of_long_streams.cache_clear()


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, OneShot])
def test_protocols_use_nothing_twice_in_long_keystreams(
    kind: type[SecureSum], mode: CounterMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LENGTH", LONG_BYTES)
    found = finding(SumSubject.suggested(kind), StreamsOnce(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (Verdict.NOT_REJECTED, "")


@pytest.mark.parametrize(
    ("done", "evidence"),
    [
        ({"share_keys": lambda: (_read_much(), _read_much())}, "is expanded again"),
        ({"share_keys": _read_much, "mask_input": _read_much_elsewhere}, "is expanded again"),
        ({"share_keys": lambda: (_read_much(), _read())}, "is expanded again"),
        ({"share_keys": lambda: (_read_much(), seal(KEY, b"text"))}, "also seals a text"),
        ({"share_keys": _read_much, "mask_input": _read_much}, ""),
    ],
)
def test_reuse_of_long_keystreams_is_rejected_in_both_modes(
    done: dict[str, Callable[[], object]], evidence: str, mode: CounterMode
) -> None:
    class Reusing(SecAgg):
        @property
        def steps(self) -> Steps:
            return _also(super().steps, done)

    found = finding(SumSubject.suggested(Reusing), StreamsOnce(), level=Level.QUICK, master=b"m")
    assert found.verdict is (Verdict.REJECTED if evidence else Verdict.NOT_REJECTED)
    assert evidence in found.evidence


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, OneShot])
def test_protocols_use_nothing_twice(kind: type[SecureSum]) -> None:
    found = finding(SumSubject.suggested(kind), StreamsOnce(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (Verdict.NOT_REJECTED, "")


@pytest.mark.parametrize(
    ("done", "evidence"),
    [
        ({"share_keys": lambda: (_read(), _read())}, "is expanded again"),
        ({"share_keys": _read, "mask_input": _read_elsewhere}, "is expanded again"),
        ({"share_keys": lambda: (_read(), seal(KEY, b"text"))}, "also seals a text"),
        ({"share_keys": lambda: (seal(KEY, b"text"), seal(KEY, b"other"))}, "encrypt a second plaintext"),
        ({"share_keys": _read, "mask_input": _read}, ""),
        ({"share_keys": lambda: seal(KEY, b"text"), "mask_input": lambda: seal(KEY, b"text")}, ""),
    ],
)
def test_reuse_is_rejected_and_recomputation_is_not(done: dict[str, Callable[[], object]], evidence: str) -> None:
    class Reusing(SecAgg):
        @property
        def steps(self) -> Steps:
            return _also(super().steps, done)

    found = finding(SumSubject.suggested(Reusing), StreamsOnce(), level=Level.QUICK, master=b"m")
    assert found.verdict is (Verdict.REJECTED if evidence else Verdict.NOT_REJECTED)
    assert evidence in found.evidence


def _without_directions(derived: Derived, purpose: bytes, one: int, other: int) -> bytes:
    return derived.digest + purpose + min(one, other).to_bytes(4, "big") + max(one, other).to_bytes(4, "big")


def test_one_key_for_both_directions_of_coded_shares_is_rejected() -> None:
    class Undirected(LightSecAgg):
        steps = with_clients(  # type: ignore[assignment]  # The same rows.
            LightSecAgg.steps, lambda: replaced(Derived, "info", _without_directions)
        )

    found = finding(SumSubject.suggested(Undirected), StreamsOnce(), level=Level.QUICK, master=b"m")
    assert "encrypt a second plaintext" in found.evidence


def test_key_and_errors_of_a_lattice_mask_from_one_seed_are_rejected() -> None:
    class OneSeed(OneShot):
        steps = with_clients(  # type: ignore[assignment]  # The same rows.
            OneShot.steps, lambda: replaced(pad, "draw", lambda entropy, size: bytes(size)), "encrypt_input"
        )

    found = finding(SumSubject.suggested(OneSeed), StreamsOnce(), level=Level.QUICK, master=b"m")
    assert "is expanded again" in found.evidence
