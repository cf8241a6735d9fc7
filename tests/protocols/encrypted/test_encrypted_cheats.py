"""Clients that encrypt, with a right proof, what is out of range: what of it is noticed, and what cannot be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from protocols import (
    Adversary,
    DamagedSum,
    OneShot,
    PaillierSum,
    RemoteError,
)
from protocols.encrypted.messages import EncryptedInput
from protocols.encrypted.oneshot import PaddedVector
from protocols.encrypted.paillier_sum import PackedVector
from protocols.session import Vector
from protocols.testing import exact_sum
from tests.conformance.cohorts import IDS, setting
from tests.support.committee_harness import CommitteeHarness, decrypted, setup_of
from tests.support.committee_keys import SAFE_P

CLIENTS: Final = IDS[:3]


def spoilt(run: CommitteeHarness, client: int, change: Callable[[list[int]], list[int]]) -> EncryptedInput:
    """What a client sends that encrypts other messages than its own."""
    padded, values = bytes(run.sent[client].padded), decrypted(run.pairs(client))
    n = int(run.setup.key.public_key.message_modulus)
    return run.forged_input(client, padded, [value % n for value in change(values)])


def spoils(run: CommitteeHarness, change: Callable[[list[int]], list[int]]) -> Vector | None:
    """What comes of a sum with such a client: a vector, or nothing, where the server says that rules were broken."""
    sent = run.sent | {CLIENTS[0]: spoilt(run, CLIENTS[0], change)}
    try:
        return run.finish_with(sent).total
    except RemoteError as error:
        raised = error
    assert "broke the rules" in str(raised)
    assert raised.culprits == frozenset()
    assert isinstance(raised.__context__, DamagedSum)
    assert run.server.step is None
    return None


def test_key_that_is_not_the_pads_or_out_of_range_spoils_the_sum_with_a_typed_error() -> None:
    """A client encrypts, with a right proof, another key than its pad's, or one out of range. The check of the opened
    words must stop it: the sum ends with DamagedSum, blaming nobody.

    This is so in vectors of more than a few words: under another key each word looks right with a chance, here of 1
    in 6.
    What looks right is a sum with another vector of the same client.
    """
    where = setting(OneShot(adversary=Adversary.MALICIOUS), CLIENTS, 2, length=60)
    payload = setup_of(where).payload
    assert isinstance(payload, PaddedVector)
    base = payload.digits.base
    changes: dict[str, Callable[[list[int]], list[int]]] = {
        "one coefficient larger by one": lambda keys: [keys[0] + 1, *keys[1:]],
        "a coefficient out of reach": lambda keys: [keys[0] + 127 * base, *keys[1:]],
        "twice the key": lambda keys: [2 * key for key in keys],
        "another key": lambda keys: [-1 for _ in keys],
        "half of the modulus": lambda keys: [SAFE_P**2 for _ in keys],
    }
    for label, change in changes.items():
        assert spoils(CommitteeHarness(where), change) is None, label


def test_slots_out_of_range_are_noticed_where_the_sum_leaves_the_range_of_sums() -> None:
    """A client encrypts entries beyond their bits. Where the sum leaves the range of sums, DamagedSum must stop it.
    Where it stays, nothing can: such a client could as well have sent another vector of larger entries.

    Three clients' sums of 8 bits go up to 765. A client that stores up to 765 less what the others store is not
    noticed,
    since nothing but the sum is opened.
    """
    where = setting(PaillierSum(value_bits=8), CLIENTS, 2, length=3)
    where = replace(where, session=replace(where.session, modulus=2**16))
    payload = setup_of(where).payload
    assert isinstance(payload, PackedVector)
    width = payload._slots.width
    zeros = dict.fromkeys(CLIENTS, np.zeros(3, dtype=np.uint64))

    def sum_with(extra: int, slot: int) -> Vector | None:
        return spoils(CommitteeHarness(where, vectors=zeros), lambda values: [values[0] + (extra << width * slot)])

    stored = 3 * 128
    for slot in range(3):
        for extra, found in ((1, [1]), (765 - stored, [381]), (-stored, [2**16 - stored])):
            total = [0, 0, 0]
            total[slot] = found[0]
            result = sum_with(extra, slot)
            assert result is not None
            assert result.tolist() == total
    for slot in range(2):
        for extra in (766 - stored, 1023 - stored):
            assert sum_with(extra, slot) is None
    assert sum_with(-stored - 1, 0) is None
    assert sum_with(1 << width * 3, 0) is None  # above the last slot
    assert sum_with(1 << 2000, 0) is None


def test_pad_that_does_not_belong_to_its_key_is_noticed_and_another_vector_under_it_is_not() -> None:
    """A client alters its own padded vector.

    A change beyond what errors may be must stop the sum; a smaller one is another vector of its own. The signature
    keeps others from making either.
    """
    where = setting(OneShot(), CLIENTS, 2, length=3)
    honest = CommitteeHarness(where)
    sender = CLIENTS[0]
    keys = decrypted(honest.pairs(sender))
    padded = np.frombuffer(honest.sent[sender].padded, dtype="<u8")
    payload = honest.setup.payload
    assert isinstance(payload, PaddedVector)
    noise_bits = payload._pad.noise_bits
    for change, noticed in (
        (np.uint64(1) << np.uint64(noise_bits), False),  # one more in the lowest slot
        (np.uint64(1), False),  # an error within what errors may be
        (np.uint64(1) << np.uint64(noise_bits - 2), True),
        (np.uint64(0x0123456789ABCDEF), True),
    ):
        run = CommitteeHarness(where)
        changed = padded.copy()
        changed[0] += change
        sent = run.sent | {sender: run.forged_input(sender, changed.tobytes(), keys)}
        if noticed:
            with pytest.raises(RemoteError, match="broke the rules"):
                run.finish_with(sent)
            continue
        total = run.finish_with(sent).total.tolist()
        right = exact_sum(run.inputs, tuple(CLIENTS), where.session.modulus)
        assert total[1:] == right[1:]
        assert total[0] - right[0] in (0, 1)
