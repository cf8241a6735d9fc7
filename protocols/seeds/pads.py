"""Sums of stream pads: what a client adds to its vector, and what a committee member adds up over the contributors.

The pad of a seed is the expansion of its pad key by AES-256 in counter mode (`protocols.crypto.keystream`), read as
words modulo a power of two.
"""

from collections.abc import Iterable

import numpy as np

from protocols import packing
from protocols.crypto.keystream import Words, add_mask, word_dtype
from protocols.crypto.secret import Secret
from protocols.session import Session


def padded(vector: Words, keys: Iterable[Secret], *, modulus: int) -> bytes:
    """Return a vector plus the pads of all keys modulo a power of two, bit-packed; the vector is overwritten."""
    for key in keys:
        add_mask(vector, key)
    return _packed(vector, modulus)


def pad_sum(keys: Iterable[tuple[Secret, int]], *, session: Session) -> bytes:
    """Return the sum of pads, each times its weight, modulo a power of two, bit-packed.

    Args:
        keys: For each contributor, the key of its pad and its weight.
        session: The session, whose length and modulus the pads have.
    """
    total = np.zeros(session.length, dtype=word_dtype(session.modulus))
    for key, weight in keys:
        if weight == 1:
            add_mask(total, key)
            continue
        pad = np.zeros_like(total)
        add_mask(pad, key)
        total += pad * pad.dtype.type(weight % (1 << 8 * pad.itemsize))
    return _packed(total, session.modulus)


def _packed(words: Words, modulus: int) -> bytes:
    words &= words.dtype.type(modulus - 1)
    return packing.pack(words, modulus)
