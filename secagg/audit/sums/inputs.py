"""Inputs of audits, chosen by the auditor's own generator."""

from collections.abc import Iterable

import numpy as np

from protocols.encrypted.protocol import EncryptedSum
from protocols.pairwise.protocol import PairwiseMasking
from protocols.session import Vector
from secagg.audit.seeds import generator_of
from secagg.audit.sums.cohort import Cohort


def reach(cohort: Cohort) -> tuple[int, int]:
    """Return the least and the largest integer that an entry may represent.

    An entry v of at least m/2 represents v - m. Every integer in [-m/2, m/2) is allowed, unless a protocol of this
    package was made for fewer of them, or only for sums that do not wrap around.
    """
    protocol, modulus = cohort.protocol, cohort.session.modulus
    low, high = -(modulus // 2), (modulus - 1) // 2
    if isinstance(protocol, EncryptedSum | PairwiseMasking) and protocol.headroom:
        most = high // len(cohort.session.clients)
        return -most, most
    if isinstance(protocol, EncryptedSum) and protocol.value_bits is not None:
        return -(2 ** (protocol.value_bits - 1)), 2 ** (protocol.value_bits - 1) - 1
    return low, high


def random_inputs(cohort: Cohort, seed: bytes, label: str = "inputs") -> dict[int, Vector]:
    """Return a uniform vector for each client, by id."""
    session, generator, (low, high) = cohort.session, generator_of(seed, label), reach(cohort)
    return {
        client: residues(generator.integers(low, high, session.length, endpoint=True).tolist(), session.modulus)
        for client in session.clients
    }


def residues(values: Iterable[int], modulus: int) -> Vector:
    """Return integers modulo the modulus."""
    return np.array([value % modulus for value in values], dtype=np.uint64)


def exact_sum(inputs: dict[int, Vector], contributors: tuple[int, ...], modulus: int) -> list[int]:
    """Return the sum of the contributors' vectors modulo the modulus, in Python's integers."""
    rows = [inputs[client].tolist() for client in contributors]
    return [sum(column) % modulus for column in zip(*rows, strict=True)]
