"""Inputs of audits, chosen by the auditor's own generator."""

import numpy as np

from protocols.session import Session, Vector
from secagg.audit.seeds import generator_of
from secagg.audit.sums.cohort import Cohort


def random_inputs(cohort: Cohort, seed: bytes) -> dict[int, Vector]:
    """Return a uniform vector for each client, by id."""
    session, generator = cohort.session, generator_of(seed, "inputs")
    return {
        client: generator.integers(0, session.modulus - 1, session.length, dtype=np.uint64, endpoint=True)
        for client in session.clients
    }


def constant_inputs(session: Session, value: int) -> dict[int, Vector]:
    """Return the vector of one value for each client, by id."""
    return {client: np.full(session.length, value, dtype=np.uint64) for client in session.clients}


def exact_sum(inputs: dict[int, Vector], contributors: tuple[int, ...], modulus: int) -> list[int]:
    """Return the sum of the contributors' vectors modulo the modulus, in Python's integers."""
    rows = [inputs[client].tolist() for client in contributors]
    return [sum(column) % modulus for column in zip(*rows, strict=True)]
