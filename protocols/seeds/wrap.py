"""The wrap of lattice pads: one more keystream on a padded vector. Each set of members knows a share of its key.

The key K of a client's wrap is the exclusive or of one share from each of its seeds. The client adds the keystream of
AES-256 in counter mode under K to its padded vector, in words of 64 bits. Members reveal shares only for the
contributors on whom they have agreed. So the contributors are fixed before the server sees a client's padded vector
without the wrap. The server cannot choose the contributors by what padded vectors look like. docs/seeds.md says where
the proof needs this.

Before the members reveal shares for an honest client, t of them miss at least one of its shares. So K is uniform.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from protocols.crypto.keystream import Words, add_mask
from protocols.crypto.secret import Secret
from protocols.seeds.weighting import add_weighted_masks

KEY_BYTES: Final = 32
"""Number of bytes of a key, and of each share of it."""


def add(padded: Words, shares: Sequence[Secret]) -> None:
    """Wrap a padded vector, in place, under the exclusive or of shares of a key."""
    (key,) = _keys([share.reveal() for share in shares])
    add_mask(padded, key)


def removed(total: Words, shares: Sequence[bytes | memoryview], weights: Sequence[int]) -> Words:
    """Return a sum of wrapped vectors, each times its weight, without the wraps.

    Args:
        total: The sum, words of 64 bits.
        shares: For each set, the shares of all contributors, joined, in the same order in each set.
        weights: The weight of each contributor, in that order.
    """
    wraps = np.zeros_like(total)
    add_weighted_masks(wraps, _keys(shares), weights)
    np.subtract(total, wraps, out=wraps)
    return wraps


def _keys(shares: Sequence[bytes | memoryview]) -> list[Secret]:
    """Return the exclusive or of byte strings, cut into keys."""
    joined = np.bitwise_xor.reduce([np.frombuffer(share, dtype=np.uint8) for share in shares])
    return [Secret(key.tobytes()) for key in joined.reshape(-1, KEY_BYTES)]
