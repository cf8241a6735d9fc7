"""A party's state as bytes and back, and what seals it."""

import copy
import os
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from protocols import Adversary, Client, DamagedSnapshot, ParameterError, SecAgg, Secret, Server
from protocols.codec import Message
from protocols.crypto import sealing
from protocols.crypto.keystream import Words
from protocols.snapshot import _DOMAIN, State, read_state, seal, unseal, write_state
from protocols.testing import ProtocolRun, state_of
from tests.conformance.cohorts import IDS, SNAPSHOT_KEY, setting

DIGEST = b"d" * 32
KEY = Secret(b"k" * 32)
NONCE = b"n" * 12


class Note(Message, frozen=True):
    text: bytes
    view: memoryview


class Everything(State, kw_only=True):
    """One field of each kind that a party may have."""

    words: Words
    number: int = 0
    text: bytes = b""
    secret: Secret = Secret(b"")
    maybe: Secret | None = None
    secrets: tuple[Secret, ...] = ()
    by_id: dict[int, Secret] = msgspec.field(default_factory=dict)
    nested: dict[int, dict[int, bytes]] = msgspec.field(default_factory=dict)
    members: set[int] = msgspec.field(default_factory=set)
    frozen: dict[int, frozenset[int]] = msgspec.field(default_factory=dict)
    notes: dict[int, Note] = msgspec.field(default_factory=dict)
    arrays: dict[int, NDArray[np.uint32]] = msgspec.field(default_factory=dict)


def full(dtype: str = "<u8", length: int = 5) -> Everything:
    words = (np.arange(length) + 250).astype(dtype)
    return Everything(
        words=words,
        number=2**63,
        text=bytes(range(256)),
        secret=Secret(b"one secret"),
        maybe=Secret(b"perhaps"),
        secrets=(Secret(b"first"), Secret(b""), Secret(bytes(33))),
        by_id={0: Secret(b"zero"), 2**32 - 2: Secret(b"last")},
        nested={1: {2: b"three"}, 4: {}},
        members={5, 0, 2**32 - 2},
        frozen={3: frozenset({1, 2}), 4: frozenset()},
        notes={7: Note(b"text", memoryview(b"view"))},
        arrays={1: np.array([1, 2**32 - 1], dtype="<u4")},
    )


@pytest.mark.parametrize("length", [0, 1, 5, 1000])
@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
def test_state_survives_writing_and_reading(dtype: str, length: int) -> None:
    state = full(dtype, length)
    again = read_state(write_state(state), Everything)
    for name in Everything.__struct_fields__:
        one, other = getattr(state, name), getattr(again, name)
        assert type(one) is type(other), name
        if name == "words":
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist()
        elif name == "arrays":
            assert {key: value.tolist() for key, value in one.items()} == {k: v.tolist() for k, v in other.items()}
        else:
            assert one == other, name
    assert write_state(again) == write_state(state)


def test_arrays_that_were_read_can_be_written_to_and_are_nobody_elses() -> None:
    data = write_state(full())
    one, other = read_state(data, Everything), read_state(data, Everything)
    one.words += np.uint64(1)
    assert one.words.tolist() != other.words.tolist()
    assert read_state(data, Everything).words.tolist() == other.words.tolist()


def test_state_says_nothing_of_itself_and_refuses_pickling() -> None:
    state = full()
    assert repr(state) == str(state) == "Everything(...)"
    attempts: tuple[Callable[[object], object], ...] = (pickle.dumps, copy.deepcopy)
    for attempt in attempts:
        with pytest.raises(TypeError):
            attempt(state)


def test_state_that_holds_something_else_cannot_be_written() -> None:
    with pytest.raises(NotImplementedError, match="object"):
        write_state(Everything(words=np.zeros(1, dtype=np.uint8), text=object()))  # type: ignore[arg-type]  # that is the test


def sealed_machine(key: Secret = KEY, nonce: bytes = NONCE) -> bytes:
    return seal(7, 2, (1, 2, 3), (2,), full(), digest=DIGEST, key=key, nonce=nonce)


def test_seal_opens_under_the_same_key_and_for_the_same_session() -> None:
    sealed = sealed_machine()
    again = unseal(sealed, digest=DIGEST, key=KEY)
    assert (again.owner, again.number, again.asked, again.answered) == (7, 2, (1, 2, 3), (2,))
    assert bytes(again.state) == bytes(write_state(full()))
    assert sealed.startswith(NONCE)
    assert sealed_machine(nonce=b"m" * 12)[12:] != sealed[12:]


def test_seal_that_is_another_or_altered_is_refused() -> None:
    """Somebody alters or cuts a snapshot, or presents it for another session or key.

    Authenticated encryption must stop it (DamagedSnapshot).
    """
    sealed = sealed_machine()
    for digest, key in ((b"e" * 32, KEY), (b"", KEY), (DIGEST[:-1], KEY), (DIGEST, Secret(b"l" * 32))):
        with pytest.raises(DamagedSnapshot):
            unseal(sealed, digest=digest, key=key)
    for length in range(len(sealed)):
        with pytest.raises(DamagedSnapshot):
            unseal(sealed[:length], digest=DIGEST, key=KEY)
    for position in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[position] ^= 1 << position % 8
        with pytest.raises(DamagedSnapshot):
            unseal(bytes(flipped), digest=DIGEST, key=KEY)


def test_state_with_other_fields_is_refused() -> None:
    written = write_state(full())

    class Later(State, kw_only=True):
        words: Words
        added: int

    with pytest.raises(DamagedSnapshot, match=r"snapshot: expected the fields that this version keeps, found others\."):
        read_state(written, Later)
    other = sealing.seal_with_nonce(KEY, msgspec.msgpack.encode(["other"]), nonce=NONCE, bound=_DOMAIN + DIGEST)
    with pytest.raises(DamagedSnapshot, match="Restore it with the version that sealed it"):
        unseal(other, digest=DIGEST, key=KEY)


def test_what_seals_is_32_secret_bytes() -> None:
    sealed = sealed_machine()
    for key in (
        Secret(b""),
        Secret(bytes(16)),
        Secret(bytes(24)),
        Secret(bytes(31)),
        Secret(bytes(64)),
        b"k" * 32,
        None,
    ):
        with pytest.raises(ParameterError, match="32 bytes"):
            sealed_machine(key)  # type: ignore[arg-type]  # that is the test
        with pytest.raises(ParameterError, match="32 bytes"):
            unseal(sealed, digest=DIGEST, key=key)  # type: ignore[arg-type]  # that is the test


def test_sealed_bytes_show_nothing_of_the_state() -> None:
    """Somebody reads a stored snapshot. No eight bytes of the state may be in it."""
    sealed = sealed_machine()
    clear = bytes(write_state(full()))
    assert len(NONCE) == sealing.NONCE_BYTES
    windows = {clear[start : start + 8] for start in range(len(clear) - 8)}
    assert not any(window in sealed for window in windows)


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
def test_parts_of_a_state_are_gone_with_the_round_that_needs_them_last(adversary: Adversary) -> None:
    """Read from what a snapshot holds, unsealed: after the masked input, neither the input nor what masks it."""
    run = ProtocolRun(setting(SecAgg(adversary=adversary), IDS[:4], 3))
    client = IDS[0]
    vector, spent = run.inputs[client].astype("<u2").tobytes(), dict[str, bytes]()
    for number in range(3):
        state = state_of(run.clients[client])
        assert vector in bytes(write_state(state))
        for name in ("masking", "sealing", "seed"):
            spent[name] = getattr(state, name).reveal() or spent.get(name, b"")
        for name in ("channels", "pairs"):
            spent |= {f"{name} {other}": secret.reveal() for other, secret in getattr(state, name).items()}
        run.deliver(run.replies())
        left = bytes(write_state(state_of(run.clients[client])))
        if number == 1:
            assert spent["masking"] not in left
            assert spent["sealing"] not in left
    assert vector not in left
    assert len(spent) == 3 + 2 * 3
    assert all(len(secret) == 32 and secret not in left for secret in spent.values())
    data = run.clients[client].snapshot(SNAPSHOT_KEY)
    kept_state = unseal(data, digest=run.scenario.protocol.digest(run.scenario.session), key=SNAPSHOT_KEY).state
    assert bytes(kept_state) == left
    assert run.is_exact(run.finish())


@pytest.mark.parametrize(
    "change",
    [
        {"number": 99},
        {"number": -1},
        {"number": 2**40},
        {"owner": 77},
        {"owner": -2},
        {"asked": (99,), "answered": (99,)},
        {"asked": (), "answered": IDS[:1]},
        {"state": msgspec.Raw(b"\x91" * 3000 + b"\x90")},
    ],
)
def test_snapshot_of_another_layout_is_refused(change: dict[str, Any]) -> None:
    """Another version of the protocol, with other steps or parties, sealed it under the right key and digest."""
    begun = ProtocolRun(setting(SecAgg(), IDS, 5)).to_step(1)
    server, client = begun.server, begun.clients[IDS[0]]
    digest = begun.scenario.protocol.digest(begun.scenario.session)
    snapshots = {
        "server": server.snapshot(SNAPSHOT_KEY, entropy=lambda count: NONCE[:count]),
        "client": client.snapshot(SNAPSHOT_KEY),
    }
    for kind, data in snapshots.items():
        if (kind == "client" and "answered" in change) or (kind == "server" and "owner" in change):
            continue
        kept = msgspec.structs.replace(unseal(data, digest=digest, key=SNAPSHOT_KEY), **change)
        data = msgspec.msgpack.encode(kept)
        forged = sealing.seal_with_nonce(SNAPSHOT_KEY, data, nonce=NONCE, bound=_DOMAIN + digest)
        protocol, session = begun.scenario.protocol, begun.scenario.session
        restore = Server.restore if kind == "server" else partial(Client.restore, entropy=os.urandom)
        with pytest.raises(DamagedSnapshot, match=r"that this version keeps, found others\. Restore it with"):
            restore(protocol, session, forged, key=SNAPSHOT_KEY)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_machine_of_a_server_cannot_be_copied(duplicate: Callable[[object], object]) -> None:
    """Two copies of one server could tell clients different survivor sets, and share the state of one party."""
    with pytest.raises(TypeError, match=r"cannot be pickled or copied\. Use `snapshot`"):
        duplicate(ProtocolRun(setting(SecAgg(), IDS, 5)).server)
