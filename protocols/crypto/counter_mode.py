"""AES-256 in counter mode, through two modes of the library that encrypt the same counter blocks.

- CTR (NIST SP 800-38A, section 6.5), with the increment of its appendix B.1: block j of the keystream is the encryption
  of the number j.
- GCM (NIST SP 800-38D): with a nonce of 96 zero bits, J0 is the number 1 (section 7.1, step 2), and the plaintext is
  encrypted by GCTR (section 6.5) from inc32(J0), the number 2, on (step 3). inc32 (section 6.2) counts modulo 2^32.
  A plaintext has at most 2^32 - 2 blocks (section 5.2.1.1), so the count does not wrap around. Hence a plaintext of
  zeros becomes the blocks 2 to 2^32 - 1 of the same keystream.

GCM also hashes what it encrypts. But the library encrypts four blocks per instruction in GCM if the processor can
(VAES), and one in CTR. So GCM takes half of the time of CTR on some processors, and more time than CTR on others.

The tag is never computed. It would authenticate nothing, because the key of the hash is block 0 of the keystream.
"""

import functools
import os
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from protocols.errors import ParameterError

BLOCK_BYTES: Final = 16
VARIABLE: Final = "SECAGG_KEYSTREAM"
"""The environment variable that names the mode of long keystreams, instead of a trial."""

_CTR_BLOCKS = 2**128
_GCM_START = 2
_GCM_BLOCKS = 2**32 - 2
_TRIAL_BYTES = 128 * 1024
_TRIAL_PIECES = 8
_TRIALS = 5
_PUBLIC_KEY = bytes(range(32))


class CounterMode(StrEnum):
    """A mode of the library that gives blocks of the keystream."""

    CTR = "ctr"
    GCM = "gcm"


def segments(key: bytes, mode: CounterMode) -> Iterator[tuple[CipherContext, int]]:
    """Yield contexts that give the keystream one after the other, and how many bytes each gives.

    Args:
        key: 32 bytes.
        mode: The mode of all blocks that it can give; the others are given by CTR.
    """
    match mode:
        case CounterMode.CTR:
            yield _ctr(key, 0), BLOCK_BYTES * _CTR_BLOCKS
        case CounterMode.GCM:
            yield _ctr(key, 0), BLOCK_BYTES * _GCM_START
            yield _gcm(key), BLOCK_BYTES * _GCM_BLOCKS
            yield _ctr(key, _GCM_START + _GCM_BLOCKS), BLOCK_BYTES * (_CTR_BLOCKS - _GCM_START - _GCM_BLOCKS)


@functools.cache
def mode_of_long_streams() -> CounterMode:
    """Return the mode that gives long keystreams sooner on this processor, as the first call in the process finds out.

    The variable `SECAGG_KEYSTREAM` replaces the trial, whose duration is about 2 ms. If GCM does not give the blocks of
    CTR, the mode is CTR in any case. Threads may call this function at the same time: each runs a trial of its own, and
    both modes give the same bytes. Child processes that are forked inherit the answer.

    Raises:
        ParameterError: `SECAGG_KEYSTREAM` is set to something other than `ctr` or `gcm`.
    """
    asked = os.environ.get(VARIABLE)
    if asked is not None and asked not in tuple(CounterMode):
        raise ParameterError(
            f"{VARIABLE}: expected ctr or gcm, found {asked!r}. Set one of the two, or unset the variable to let a "
            "trial choose."
        )
    if asked == CounterMode.CTR or not _gives_the_same_blocks():
        return CounterMode.CTR
    return CounterMode(asked) if asked is not None else min(CounterMode, key=_trial_ns)


def _ctr(key: bytes, block: int) -> CipherContext:
    return Cipher(algorithms.AES256(key), modes.CTR(block.to_bytes(BLOCK_BYTES, "big"))).encryptor()


def _gcm(key: bytes) -> CipherContext:
    return Cipher(algorithms.AES256(key), modes.GCM(bytes(12))).encryptor()


def _gives_the_same_blocks() -> bool:
    """Return whether GCM gives the blocks of CTR, in one piece and in two that meet inside a block."""
    size = 1000 * BLOCK_BYTES
    expected = _ctr(_PUBLIC_KEY, _GCM_START).update(bytes(size))
    whole, parts = _gcm(_PUBLIC_KEY), _gcm(_PUBLIC_KEY)
    return whole.update(bytes(size)) == expected == parts.update(bytes(1001)) + parts.update(bytes(size - 1001))


def _trial_ns(mode: CounterMode) -> int:
    """Return the least duration of several trials; a trial opens a keystream and reads 1 MiB."""
    zeros, buffer = bytes(_TRIAL_BYTES), bytearray(_TRIAL_BYTES)
    taken = []
    for _ in range(_TRIALS):
        begun = time.perf_counter_ns()
        context = next(each for each, size in segments(_PUBLIC_KEY, mode) if size > _TRIAL_BYTES)
        for _ in range(_TRIAL_PIECES):
            context.update_into(zeros, buffer)
        taken.append(time.perf_counter_ns() - begun)
    return min(taken)
