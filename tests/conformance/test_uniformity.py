"""Masked vectors are uniform, whatever the input, byte by byte; a sum in the clear shows that the test can fail.

Each check is a chi-square test of 100,000 entries at one position of the byte within an entry, against the exact
distribution of that byte in a uniform entry.  Its false-alarm rate is 1e-6, with one retry on fresh entropy.
"""

import os
from collections.abc import Iterator
from typing import Final

import numpy as np
import pytest
from scipy import stats

from protocols import Adversary, SecAgg, SecAggPlus, SecureSum, Transmission, available, load, messages, packing
from protocols.session import Vector
from tests.conformance.cohorts import IDS, Setting, setting

ENTRIES: Final = 100_000
FALSE_ALARM: Final = 1e-6
CLIENTS: Final = 3
INSECURE: Final = "plain"


def cohorts() -> Iterator[Setting]:
    """Every protocol that hides something, three clients each, against every adversary that it stands against."""
    for name in available():
        if name != INSECURE:
            protocol, threshold = load(name).suggest(clients=CLIENTS, adversarial=0.0, dropout=0.0)
            yield long(protocol, threshold)
    malicious: tuple[SecureSum, ...] = (
        SecAgg(adversary=Adversary.MALICIOUS),
        SecAggPlus(neighbours=2, share_threshold=3, adversary=Adversary.MALICIOUS),
    )
    for each in malicious:
        yield long(each, CLIENTS)


def long(protocol: SecureSum, threshold: int) -> Setting:
    return setting(protocol, IDS[:CLIENTS], threshold, length=ENTRIES)


def inputs(setting: Setting) -> dict[str, dict[int, Vector]]:
    """Inputs that are anything but uniform."""
    modulus, clients = setting.session.modulus, setting.session.clients
    constants = {"zeros": 0, "largest": modulus - 1, "half": modulus // 2}
    ramp = np.arange(ENTRIES, dtype=np.uint64) % np.uint64(256)
    return {
        "ramp": dict.fromkeys(clients, ramp),
        **{name: dict.fromkeys(clients, np.full(ENTRIES, c, dtype=np.uint64)) for name, c in constants.items()},
    }


def masked_vectors(setting: Setting, vectors: dict[int, Vector]) -> dict[int, Vector]:
    """What the server sees of each client's vector: its first reply with a field `packed`."""
    session, protocol = setting.session, setting.protocol
    codec = messages.Codec(protocol.digest(session), protocol.message_limit(session))
    rows = {row.name: (number, row.reply) for number, row in enumerate(protocol.rounds)}
    seen: dict[int, Vector] = {}

    def tap(transmission: Transmission) -> None:
        number, kind = rows[transmission.round]
        sender = transmission.sender
        if sender is not None and sender not in seen and "packed" in kind.__struct_fields__:
            packed = codec.decode(number, kind, transmission.data).packed
            seen[sender] = packing.unpack(packed, ENTRIES, session.modulus)

    setting.simulate(vectors, tap=tap, entropy=os.urandom)
    assert seen.keys() == set(session.clients)
    return seen


def expected_counts(modulus: int, byte: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """How often each value of a byte (0 the least significant) is expected among `ENTRIES` uniform entries."""
    block = 256**byte
    whole, rest = divmod(modulus, 256 * block)
    below = [whole * block + min(max(rest - value * block, 0), block) for value in range(256)]
    return np.array(below, dtype=np.float64) / modulus * ENTRIES


def least_p_value(vectors: dict[int, Vector], modulus: int) -> tuple[float, int]:
    """Over all clients and bytes, the smallest p-value of the chi-square test, and how many there were."""
    values = []
    for vector in vectors.values():
        for byte in range(-(-(modulus - 1).bit_length() // 8)):
            expected = expected_counts(modulus, byte)
            found = np.bincount((vector >> np.uint64(8 * byte) & np.uint64(255)).astype(np.int64), minlength=256)
            possible = expected >= 5
            assert found[expected == 0].sum() == 0
            statistic = ((found - expected)[possible] ** 2 / expected[possible]).sum()
            values.append(float(stats.chi2.sf(statistic, int(possible.sum()) - 1)))
    return min(values), len(values)


def is_uniform(setting: Setting, vectors: dict[int, Vector]) -> bool:
    """Whether no byte is off; one retry."""
    for _ in range(2):
        least, checks = least_p_value(masked_vectors(setting, vectors), setting.session.modulus)
        if least * checks >= FALSE_ALARM:
            return True
    return False


@pytest.mark.parametrize("cohort", list(cohorts()), ids=lambda cohort: cohort.label)
def test_masked_vectors_are_uniform_for_every_input(cohort: Setting) -> None:
    for name, vectors in inputs(cohort).items():
        assert is_uniform(cohort, vectors), name


def test_vectors_in_the_clear_are_found_not_to_be_uniform() -> None:
    """The control."""
    protocol, threshold = load(INSECURE).suggest(clients=CLIENTS, adversarial=0.0, dropout=0.0)
    clear = long(protocol, threshold)
    assert not any(is_uniform(clear, vectors) for vectors in inputs(clear).values())
    uniform = {
        c: np.random.default_rng(c).integers(0, clear.session.modulus, ENTRIES, dtype=np.uint64) for c in IDS[:3]
    }
    assert is_uniform(clear, uniform)


def test_two_sums_of_the_same_inputs_share_no_mask() -> None:
    for each in cohorts():
        vectors = inputs(each)["zeros"]
        first, second = masked_vectors(each, vectors), masked_vectors(each, vectors)
        seen = [*first.values(), *second.values()]
        # Two uniform vectors agree in each entry with a chance of 1 / modulus, at most 2^-15: 100 times, never.
        agreeing = [int((one == other).sum()) for i, one in enumerate(seen) for other in seen[:i]]
        assert max(agreeing) < 100, each.label
