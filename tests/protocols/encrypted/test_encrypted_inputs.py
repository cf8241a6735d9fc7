"""What clients and members send that is malformed or too long, and entries that are out of the promised range."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from protocols import (
    Adversary,
    InputError,
    MalformedMessage,
    OneShot,
    PaillierSum,
    ParameterError,
    ProtocolError,
    RemoteError,
    Server,
    simulate,
)
from protocols.crypto.paillier.encryptor import Exponents
from protocols.encrypted.messages import EncryptedInput, PartialOpening
from protocols.encrypted.protocol import EncryptedSum
from protocols.testing import exact_sum
from tests.conformance.cohorts import COMMITTEE, IDS, Setting, committee_of, setting
from tests.support.committee_harness import ENCRYPT, OPEN, CommitteeHarness, altered, field_positions
from tests.support.committee_keys import SAFE_P

MALICIOUS: Final = Adversary.MALICIOUS
CLIENTS: Final = IDS[:3]
SETTINGS: Final = tuple(
    setting(kind(adversary=adversary), CLIENTS, 2, length=7)
    for kind in (PaillierSum, OneShot)
    for adversary in (Adversary.CURIOUS, MALICIOUS)
)
each_setting: Final = pytest.mark.parametrize("where", SETTINGS, ids=lambda where: where.label)
CPU_S: Final = 2.0
"""What refusing one message may take at most: some hundred times what it takes."""


def refused(act: Callable[[], object], kind: type[ProtocolError] = RemoteError) -> None:
    """With a typed error, in bounded time."""
    begun = time.process_time()
    with pytest.raises(kind):
        act()
    assert time.process_time() - begun < CPU_S


# Malformed contributions and openings.


def malformed_inputs(run: CommitteeHarness, client: int) -> dict[str, EncryptedInput]:
    """Contributions of wrong lengths, and with numbers that are none."""
    right = run.sent[client]
    padded, sealed = bytes(right.padded), bytes(right.sealed)
    key = run.setup.key.public_key
    size = key.ciphertext_bytes // 2
    n = int(key.n).to_bytes(size, "big")
    p = SAFE_P.to_bytes(size, "big")
    found = {
        "nothing at all": altered(right, padded=b"", sealed=b""),
        "no ciphertexts": altered(right, sealed=b""),
        "a byte too few": altered(right, sealed=sealed[:-1]),
        "a byte too many": altered(right, sealed=sealed + b"\x00"),
        "twice": altered(right, sealed=sealed * 2),
        "padded a byte too long": altered(right, padded=padded + b"\x00"),
        "padded eight bytes too long": altered(right, padded=padded + bytes(8)),
        "swapped fields": altered(right, padded=sealed, sealed=padded),
        "zeros": altered(right, sealed=bytes(len(sealed))),
        "ones": altered(right, sealed=b"\xff" * len(sealed)),
        "residue 0": altered(right, sealed=bytes(size) + sealed[size:]),
        "residue n": altered(right, sealed=n + sealed[size:]),
        "residue p": altered(right, sealed=p + sealed[size:]),
        "logarithm n": altered(right, sealed=sealed[:size] + n + sealed[2 * size :]),
    }
    if padded:
        found["padded missing"] = altered(right, padded=b"")
        found["padded a byte too short"] = altered(right, padded=padded[:-1])
        found["padded a word too short"] = altered(right, padded=padded[:-8])
    return found


@each_setting
def test_contribution_of_wrong_lengths_or_numbers_is_refused_and_leaves_no_trace(where: Setting) -> None:
    """A client sends fields of wrong lengths, or numbers that are no ciphertexts; a server passes them on.

    Server and member must refuse them in bounded time, and the sum of the honest inputs stays exact.
    """
    run = CommitteeHarness(where)
    sender = CLIENTS[0]
    for label, message in malformed_inputs(run, sender).items():
        data = run.codec.encode(ENCRYPT, message)
        refused(lambda data=data: run.server.receive(sender, data))  # type: ignore[misc]  # bound at once
        assert sender in run.server.missing, label
        if message.padded == run.sent[sender].padded:
            contributions = run.honest_contributions() | {sender: run.contribution(sender)[:32] + bytes(message.sealed)}
            machine, request = run.member(COMMITTEE[0]), run.request(dict(sorted(contributions.items())))
            refused(lambda machine=machine, request=request: machine.handle(request))  # type: ignore[misc]  # bound at once
    assert run.is_exact(run.finish_with(run.sent))


@each_setting
def test_one_bit_of_every_part_of_a_contribution_is_noticed(where: Setting) -> None:
    """Somebody on the way flips one bit of a contribution: at both ends and in the middle of the padded vector, each
    ciphertext, the proof and the signature. The proof or the signature must stop each.
    """
    run = CommitteeHarness(where)
    sender = CLIENTS[0]
    right = run.sent[sender]
    size = run.setup.key.public_key.ciphertext_bytes // 2
    edges = {0, len(right.padded) // 2, len(right.padded) - 1} if right.padded else set[int]()
    flips = [altered(right, padded=flipped(right.padded, at)) for at in edges]
    proof, end = (each - 32 for each in field_positions(run.setup)["proof"])
    cuts = [*range(0, proof, size), proof, proof + size, proof + 2 * size, end, len(right.sealed)]
    for start, stop in itertools.pairwise(cuts):
        if start < stop:
            flips += [altered(right, sealed=flipped(right.sealed, at)) for at in {start, (start + stop) // 2, stop - 1}]
    for message in flips:
        with pytest.raises(RemoteError) as caught:
            run.server.receive(sender, run.codec.encode(ENCRYPT, message))
        assert caught.value.culprits == {sender}
    assert run.is_exact(run.finish_with(run.sent))


def flipped(data: memoryview, at: int) -> bytes:
    """With the lowest bit of one byte changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@each_setting
def test_message_longer_than_the_session_can_need_is_refused_unread(where: Setting) -> None:
    """A party sends ten million bytes or a million ids.

    The limit on a message's length must stop it before it is decoded (MalformedMessage).
    """
    run = CommitteeHarness(where)
    most = where.protocol.message_limit(where.session)
    first = CLIENTS[0]
    largest = max(len(run.codec.encode(ENCRYPT, each)) for each in run.sent.values())
    request = run.request(run.honest_contributions())
    assert max(largest, len(request)) <= most
    long = run.codec.encode(ENCRYPT, altered(run.sent[first], sealed=bytes(10**7)))
    refused(lambda: run.server.receive(first, long), MalformedMessage)
    huge = run.request(run.honest_contributions() | {max(CLIENTS): bytes(10**7)})
    machine = run.member(COMMITTEE[0])
    refused(lambda: machine.handle(huge), MalformedMessage)
    many = run.codec.encode(ENCRYPT, run.sent[first])[:37] + msgspec.msgpack.encode([[7] * 10**6, []])
    machine = run.member(COMMITTEE[0])
    refused(lambda: machine.handle(many), MalformedMessage)
    run.deliver({client: run.codec.encode(ENCRYPT, message) for client, message in run.sent.items()})
    opening = run.codec.encode(OPEN, PartialOpening(memoryview(bytes(10**7))))
    refused(lambda: run.server.receive(COMMITTEE[0], opening), MalformedMessage)
    assert run.is_exact(run.finish())


# Entries that are out of the promised range.


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
@pytest.mark.parametrize("bits", [1, 2, 8, 15])
def test_entry_that_needs_more_than_its_bits_is_refused_before_anything_is_drawn(
    kind: type[EncryptedSum], bits: int
) -> None:
    """A caller gives a vector with entries beyond the promised bits, which would spoil the sum.

    The client must refuse (InputError) before it draws randomness or sends anything.
    """
    where = setting(kind(value_bits=bits), CLIENTS, 2, length=4)
    modulus, half = where.session.modulus, 2 ** (bits - 1)
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    for entry in (half, half + 1, modulus - half - 1, modulus // 2, modulus // 2 - 1):
        for position in (0, 3):
            vector = np.zeros(4, dtype=np.uint64)
            vector[position] = entry
            with pytest.raises(InputError, match=f"value_bits is {bits}"):
                where.client(CLIENTS[0], vector, entropy)
            inputs = dict.fromkeys(CLIENTS, np.zeros(4, dtype=np.uint64)) | {CLIENTS[-1]: vector}
            seen: list[object] = []
            with pytest.raises(InputError):
                simulate(
                    where.protocol,
                    where.session,
                    inputs,
                    keyholders=where.keyholders(),
                    tap=seen.append,
                    entropy=entropy,
                )
            assert (drawn, seen) == ([], [])


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
@pytest.mark.parametrize(
    ("bits", "modulus"),
    [
        (1, 2**16),
        (16, 2**16),
        (8, 2**61 - 1),
        *(pytest.param(*each, marks=pytest.mark.long) for each in ((8, 2**16), (20, 2**40))),
    ],
)
def test_sums_of_the_extremes_of_few_bits_are_exact(kind: type[EncryptedSum], bits: int, modulus: int) -> None:
    where = setting(kind(value_bits=bits), CLIENTS, 2, length=4)
    where = replace(where, session=replace(where.session, modulus=modulus))
    least, most = modulus - 2 ** (bits - 1), 2 ** (bits - 1) - 1
    rows = {"least": [least] * 4, "most": [most] * 4, "both": [least, most, 0, least]}
    for row in rows.values():
        inputs = {client: np.array(row, dtype=np.uint64) for client in CLIENTS}
        outcome = where.simulate(inputs)
        assert outcome.total.tolist() == exact_sum(inputs, tuple(CLIENTS), modulus)


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
@pytest.mark.parametrize("bits", [0, -1, 17, 64, 2**70, 8.0, True, "8"])
def test_number_of_bits_that_is_none_is_refused(kind: type[EncryptedSum], bits: object) -> None:
    session = SETTINGS[0].session
    with pytest.raises(ParameterError, match="value_bits"):
        Server(kind(value_bits=bits), replace(session, modulus=2**16))  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_sums_that_do_not_fit_are_refused_with_the_session(kind: type[EncryptedSum]) -> None:
    session = SETTINGS[0].session
    for modulus in (2**64, 2**63):
        with pytest.raises(ParameterError, match=r"bits"):
            Server(kind(), replace(session, modulus=modulus))
    Server(kind(value_bits=16), replace(session, modulus=2**64))


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_strict_exponents_sum_exactly_and_are_not_understood_by_others(kind: type[EncryptedSum]) -> None:
    strict = setting(kind(exponents=Exponents.STRICT), CLIENTS, 2, length=3)
    run, other = CommitteeHarness(strict), CommitteeHarness(setting(kind(), CLIENTS, 2, length=3))
    assert run.is_exact(run.finish_with(run.sent))
    with pytest.raises(MalformedMessage):
        other.server.receive(CLIENTS[0], run.codec.encode(ENCRYPT, run.sent[CLIENTS[0]]))


def test_sessions_with_a_larger_committee_or_more_clients_have_room_for_their_messages() -> None:
    """The limit of a message holds all contributions of the largest cohort."""
    for kind in (PaillierSum, OneShot):
        for clients, members in ((2, (8, 9)), (8, (21, 22, 23, 24, 25))):
            where = setting(kind(), IDS[:clients], 2, length=300, committee=members)
            assert where.session.committee == committee_of(members)
            run = CommitteeHarness(where)
            most = where.protocol.message_limit(where.session)
            assert len(run.request(run.honest_contributions())) <= most
            assert all(len(run.codec.encode(ENCRYPT, each)) <= most for each in run.sent.values())


@pytest.mark.parametrize("kind", [PaillierSum, OneShot])
def test_parameters_are_taken_by_their_names_and_others_refused(kind: type[EncryptedSum]) -> None:
    """An adversary whose name is a string is the same one: never one that is compared with it and is not."""
    names: dict[str, Any] = {"adversary": "malicious", "exponents": "strict"}
    named = kind(**names)
    assert named == kind(adversary=Adversary.MALICIOUS, exponents=Exponents.STRICT)
    assert named.adversary is Adversary.MALICIOUS
    assert named.exponents is Exponents.STRICT
    with pytest.raises(ParameterError, match="roster: expected the clients"):
        named.validate(SETTINGS[0].session)
    wrong: tuple[dict[str, Any], ...] = (
        {"adversary": "evil"}, {"adversary": None}, {"adversary": 3}, {"adversary": Adversary.SEMI_MALICIOUS},
        {"exponents": "long"}, {"exponents": 512}, {"headroom": 1}, {"headroom": None},
    )  # fmt: skip
    for bad in wrong:
        with pytest.raises(ParameterError):
            kind(**bad)
