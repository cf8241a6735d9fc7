"""Masked vectors: computed again from the paper's formula by other means, uniform, and exact for every modulus."""

import hashlib
import hmac
import os
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols import SecAgg, SecAggPlus, SecureSum, Session, Transmission, packing, simulate
from protocols.codec import Codec
from protocols.errors import ParameterError
from protocols.pairwise.messages import MaskedInput
from protocols.session import Vector
from protocols.testing import ProtocolRun, repeatable_entropy
from tests.conformance.cohorts import Setting


def session_of(clients: tuple[int, ...], length: int, modulus: int, threshold: int = 2) -> Session:
    return Session(session_id=os.urandom(16), clients=clients, threshold=threshold, length=length, modulus=modulus)


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def expand(seed: bytes, length: int, size: int) -> list[int]:
    """Words of `size` bytes, little-endian, of the AES-256 blocks of 0, 1, 2, ..."""
    block = Cipher(algorithms.AES256(seed), modes.ECB()).encryptor()
    data = b"".join(block.update(index.to_bytes(16, "big")) for index in range(-(-length * size // 16)))
    return [int.from_bytes(data[size * i : size * (i + 1)], "little") for i in range(length)]


def joined(entries: list[int], lanes: int, modulus: int) -> list[int]:
    """The words of the integers nearest to 0 that the entries represent: v0 + v1 * m + v2 * m^2 + ..."""
    integers = [entry - modulus if 2 * entry >= modulus else entry for entry in entries]
    groups = [integers[start : start + lanes] for start in range(0, len(integers), lanes)]
    return [sum(integer * modulus**lane for lane, integer in enumerate(group)) for group in groups]


@pytest.mark.parametrize(
    ("modulus", "size", "lanes", "headroom"),
    [
        (2**3, 1, 1, False),
        (2**16, 2, 1, False),
        (2**20, 4, 1, False),
        (2**64, 8, 1, False),
        (2**16, 2, 1, True),
        (2**10, 8, 6, True),
        (2**21, 8, 3, True),
    ],
)
def test_masked_input_is_the_input_plus_its_masks(modulus: int, size: int, lanes: int, headroom: bool) -> None:
    """y_u = x_u + PRG(b_u) + sum over v > u of PRG(s_uv) - sum over v < u of PRG(s_uv), from the raw entropy."""
    clients, length = (4, 9, 2), 20
    protocol = SecAgg(headroom=headroom)
    session = Session(session_id=b"masks once more.", clients=clients, threshold=2, length=length, modulus=modulus)
    run = ProtocolRun(Setting(label="masks", protocol=protocol, session=session), seed=b"masks")
    prefix = b"secagg pairwise v2" + protocol.digest(session)
    drawn = {client: repeatable_entropy(b"masks%d" % client) for client in clients}
    sealing, masking = (
        {client: X25519PrivateKey.from_private_bytes(drawn[client](32)) for client in clients} for _ in range(2)
    )
    seeds = {client: drawn[client](32) for client in clients}
    leaves = b"".join(
        hashlib.sha256(
            prefix
            + b"leaf."
            + client.to_bytes(4, "big")
            + sealing[client].public_key().public_bytes_raw()
            + masking[client].public_key().public_bytes_raw()
        ).digest()
        for client in clients
    )
    root = hashlib.sha256(prefix + b"root." + leaves).digest()

    def info(purpose: bytes, one: int, other: int) -> bytes:
        return prefix + root + purpose + one.to_bytes(4, "big") + other.to_bytes(4, "big")

    run.to_step(2)
    replies = run.replies()
    codec = Codec(protocol.digest(session), 10_000)
    for client in clients:
        masked = joined([int(entry) for entry in run.inputs[client]], lanes, modulus)
        masks = [(1, expand(hkdf(seeds[client], info(b"alone", client, client)), len(masked), size))]
        for other in clients:
            if other != client:
                shared = masking[client].exchange(masking[other].public_key())
                pair = hkdf(shared, info(b"pairs", min(client, other), max(client, other)))
                masks.append((1 if client < other else -1, expand(pair, len(masked), size)))
        for sign, mask in masks:
            masked = [entry + sign * word for entry, word in zip(masked, mask, strict=True)]
        packed = codec.decode(2, MaskedInput, replies[client]).packed
        entries = [word // modulus**lane % modulus for word in masked for lane in range(lanes)][:length]
        assert packing.unpack(packed, length, modulus).tolist() == entries


@pytest.mark.parametrize("bits", [1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64])
@pytest.mark.parametrize("protocol", [SecAgg(), SecAggPlus(neighbours=4, share_threshold=3)])
def test_sums_are_exact_for_every_power_of_two(protocol: SecureSum, bits: int) -> None:
    generator = np.random.default_rng(bits)
    for length in (1, 63, 65):
        session = session_of((0, 1, 2, 3, 4, 5), length, 2**bits)
        inputs = {c: generator.integers(0, 2**bits - 1, length, np.uint64, endpoint=True) for c in session.clients}
        outcome = simulate(protocol, session, inputs, drops={"mask_input": [2], "reveal_shares": [0]})
        assert outcome.contributors == (0, 1, 3, 4, 5)
        left = [inputs[client].tolist() for client in outcome.contributors]
        assert outcome.total.tolist() == [sum(column) % 2**bits for column in zip(*left, strict=True)]


@pytest.mark.parametrize("bits", [2, 9, 12, 17, 21, 24, 64])
@pytest.mark.parametrize("protocol", [SecAgg(), SecAggPlus(neighbours=4, share_threshold=3)])
def test_sums_with_headroom_are_exact_to_both_ends(protocol: SecureSum, bits: int) -> None:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for length in (1, 63, 65):
        session = session_of((0, 1, 2, 3, 4, 5), length, 2**bits)
        ends = [(low, high, -1, 0)[index % 4] for index in range(length)]
        rows = {0: ends, 1: [high] * length, 2: [low] * length, 3: [-high] * length}
        inputs = {
            client: np.array([entry % 2**bits for entry in rows.get(client, [0] * length)], dtype=np.uint64)
            for client in session.clients
        }
        drops = {"mask_input": [2], "reveal_shares": [0]}
        outcome = simulate(protocol.with_headroom(), session, inputs, drops=drops)
        assert outcome.contributors == (0, 1, 3, 4, 5)
        assert outcome.total.tolist() == [entry % 2**bits for entry in ends]


@pytest.mark.parametrize("kind", [SecAgg, partial(SecAggPlus, neighbours=4, share_threshold=3)])
def test_headroom_is_a_bool_and_part_of_the_digest(kind: Callable[..., SecureSum]) -> None:
    session = session_of((0, 1, 2, 3, 4, 5), 3, 2**21)
    assert kind().with_headroom() == kind(headroom=True)
    assert kind().digest(session) != kind(headroom=True).digest(session)
    with pytest.raises(ParameterError, match="headroom: expected a bool, found 1"):
        kind(headroom=1)


@pytest.mark.parametrize(("bits", "length"), [(8, 131_073), (16, 65_537), (24, 100_000), (64, 16_385)])
def test_sums_are_exact_for_vectors_longer_than_one_chunk(bits: int, length: int) -> None:
    generator = np.random.default_rng(length)
    session = session_of((0, 1, 2), length, 2**bits)
    inputs = {c: generator.integers(0, 2**bits - 1, length, np.uint64, endpoint=True) for c in session.clients}
    outcome = simulate(SecAgg(), session, inputs, drops={"mask_input": [1]})
    with np.errstate(over="ignore"):
        total = inputs[0] + inputs[2]
    assert (outcome.total == (total & np.uint64(2**bits - 1))).all()


def masked_bytes(entry: int) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    """2^19 bytes that one client sends for a constant vector of 2^18 entries of 16 bits."""
    session = session_of((0, 1, 2), 2**18, 2**16)
    vector: Vector = np.full(session.length, entry, dtype=np.uint64)
    seen: list[Transmission] = []
    simulate(SecAgg(), session, dict.fromkeys(session.clients, vector), tap=seen.append)
    sent = next(each.data for each in seen if each.step == "mask_input" and each.sender == 1)
    packed = Codec(SecAgg().digest(session), len(sent)).decode(2, MaskedInput, sent).packed
    return np.frombuffer(packed, dtype=np.uint8)


def is_uniform(data: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> bool:
    from scipy.stats import chi2

    counts = np.bincount(data, minlength=256)
    expected = data.size / 256
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return float(chi2.isf(1 - 5e-7, 255)) < statistic < float(chi2.isf(5e-7, 255))


@pytest.mark.parametrize("entry", [0, 1, 2**16 - 1])
@pytest.mark.parametrize("position", ["low byte", "high byte", "difference"])
def test_masked_entries_are_uniform(entry: int, position: str) -> None:
    """Chi-square with 255 degrees of freedom over 2^18 bytes, two-sided, false alarms 1e-6, one retry on fresh keys."""

    def sample() -> bool:
        data = masked_bytes(entry).reshape(-1, 2)
        chosen = {"low byte": data[:, 0], "high byte": data[:, 1], "difference": data[1:, 0] - data[:-1, 0]}
        return is_uniform(chosen[position])

    assert sample() or sample()


def test_uniformity_check_sees_a_bias_of_one_bit() -> None:
    data = np.frombuffer(hashlib.shake_256(b"bias").digest(2**18), dtype=np.uint8).copy()
    assert is_uniform(data)
    data[: 2**13] |= 1
    assert not is_uniform(data)
