"""A client's part of a mean from an update that is longer than the memory: two passes over it, and a file.

The first pass computes the norm, from which the clip's factor follows. The second pass clips, weighs, rotates, scales,
rounds and adds the client's noise, piece by piece, and writes residues in the words that `VectorFile` reads. If the
rounded norm is above its bound, the second pass begins anew, as `round_at_random` does.

The file holds the client's update in the clear: it is as secret as the update. Only its owner can read it. The client
must remove it after the session.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.clip import clip_factor
from dp.events import Trust
from dp.noise.removal import RemovableSkellam
from protocols.crypto.keystream import word_dtype
from protocols.session import Session
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.residues import reduced
from secagg.aggregation.rotation import PIECE, PiecewiseRotation
from secagg.aggregation.rounding import Rounding, roundings
from secagg.errors import EncodingError
from secagg.privacy.noise import Noise


def write_contribution(
    path: Path,
    mean: SecureMean,
    session: Session,
    arrays: Sequence[ArrayLike],
    *,
    weight: float | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Write a client's part to a file: the vector of `SecureMean.contribution`, made with little memory.

    Args:
        path: The file; it is replaced if it exists.
        mean: The mean.
        session: The session, from `mean.session`.
        arrays: The update, of the planned shapes, finite; memory-mapped arrays in C order are read piece by piece.
        weight: A number in (0, max_weight] if the mean is weighted, else None.
        entropy: Secret randomness for rounding and noise.

    Raises:
        EncodingError: The shapes or the weight do not fit; or the mean is compressed, or its noise is removable, which
            both need the whole vector.
        dp.errors.InvalidParameter: An entry is NaN or infinite.
    """
    encoding, noise = mean.encoding, _noise_of(mean)
    if encoding.kept is not None:
        raise EncodingError(
            "compression: expected 1 for an update that is read piece by piece, found less, which needs the whole "
            "vector. Use `SecureMean.contribution`, or a compression of 1."
        )
    update, share = encoding.as_arrays(arrays), encoding.checked_weight(weight)
    factor = clip_factor(_pieces(update), bound=encoding.clip_l2)
    last = [] if share is None else [np.array([share * encoding.clip_l2])]
    scale = factor if share is None else factor * share
    seed, part = mean.protocol.digest(session), path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for rounding in roundings(encoding.length, l2_bound=encoding.l2_sensitivity, entropy=entropy):
                file.seek(0)
                rotation = PiecewiseRotation(encoding.dimension, seed)
                for piece in _padded(update, scale, last, encoding.length):
                    rotation.rotate(piece)
                    encoding.scale(piece)
                    file.write(_residues(rounding, piece, noise, encoding.modulus, entropy))
                if rounding.fits:
                    break
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _noise_of(mean: SecureMean) -> Noise | None:
    """Return the noise that a client adds to its own vector, or None; refuse noise that needs attached secrets."""
    if mean.noise is None or (mean.target is not None and mean.target.trust is Trust.CENTRAL):
        return None
    if isinstance(mean.noise, RemovableSkellam):
        raise EncodingError(
            "noise: expected noise that stays in the sum for an update that is read piece by piece, found removable "
            "noise, which needs the whole vector. Use `SecureMean.contribution`."
        )
    return mean.noise


def _residues(
    rounding: Rounding,
    scaled: NDArray[np.float64],
    noise: Noise | None,
    modulus: int,
    entropy: Callable[[int], bytes],
) -> memoryview:
    integers = rounding.round(scaled)
    if noise is not None and not isinstance(noise, RemovableSkellam):
        integers += replace(noise, dimension=scaled.size).share(entropy)
    words = reduced(integers, modulus).astype(word_dtype(modulus))
    return words.view(np.uint8).data


def _pieces(arrays: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the entries of arrays, in order, in pieces of at most `PIECE` entries of one array."""
    for array in arrays:
        flat = array.reshape(-1)
        for start in range(0, flat.size, PIECE):
            yield np.asarray(flat[start : start + PIECE])


def _padded(
    update: Sequence[NDArray[Any]], scale: float, last: Sequence[NDArray[Any]], length: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the update times a number, the last entries and zeros, `length` in all, in pieces of `PIECE` entries."""
    piece, filled = np.zeros(min(PIECE, length)), 0
    for factor, arrays in ((scale, update), (1.0, last)):
        for some in _pieces(arrays):
            rest = some
            while rest.size:
                if filled == piece.size:
                    yield piece
                    length -= filled
                    piece, filled = np.zeros(min(PIECE, length)), 0
                now = rest[: piece.size - filled]
                np.multiply(now, factor, out=piece[filled : filled + now.size])
                rest, filled = rest[now.size :], filled + now.size
    yield piece  # A padding is shorter than a block, so it is in the last piece.
