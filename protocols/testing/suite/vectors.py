"""Vectors that no protocol can sum, each with a label."""

import numpy as np

from protocols.session import Session


def bad_vectors(session: Session) -> dict[str, object]:
    """Return objects that are not an input of the session: of other types, shapes or ranges."""
    size, modulus = session.length, session.modulus
    found: dict[str, object] = {
        "floats": np.zeros(size),
        "whole floats of 32 bits": np.ones(size, dtype=np.float32),
        "NaN": np.full(size, np.nan),
        "infinity": np.full(size, np.inf),
        "booleans": np.ones(size, dtype=bool),
        "complex": np.zeros(size, dtype=complex),
        "objects": np.array([1] * size, dtype=object),
        "ints of more than 64 bits": [2**64] * size,
        "text": np.array(["1"] * size),
        "times": np.zeros(size, dtype="m8[s]"),
        "records": np.zeros(size, dtype=[("x", "u8")]),
        "negative": -np.ones(size, dtype=np.int64),
        "least of 64 bits": np.full(size, np.iinfo(np.int64).min),
        "one negative": [0] * (size - 1) + [-1],
        "at the modulus": [0] * (size - 1) + [modulus],
        "empty": np.zeros(0, dtype=np.uint64),
        "too short": np.zeros(size - 1, dtype=np.uint64),
        "too long": np.zeros(size + 1, dtype=np.uint64),
        "a matrix of one row": np.zeros((1, size), dtype=np.uint64),
        "a matrix of one column": np.zeros((size, 1), dtype=np.uint64),
        "a scalar": np.uint64(1),
        "zero-dimensional": np.array(1),
        "an int": 1,
        "nothing": None,
        "ragged": [[1], [1, 2]],
        "a mapping": {0: 1},
        "a string": "1" * size,
    }
    if modulus < 2**64:
        found["above the modulus"] = np.full(size, np.iinfo(np.uint64).max)
    return found
