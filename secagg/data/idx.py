"""Fashion-MNIST, read from gzip-compressed IDX files, the format of MNIST and data sets like it.

An IDX file consists of two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit integer, then the entries. The last index changes fastest (as described on the MNIST home page).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from secagg.data.base import Dataset
from secagg.errors import DataError

FASHION_MNIST_DIRECTORY: Final = Path("/usr/share/datasets/fashion-mnist")
_CLASSES: Final = 10
_PIXEL_MAXIMUM: Final = 255.0
_UNSIGNED_BYTE: Final = 8
_ENTRIES_MAXIMUM: Final = 2**30
_PIECE_BYTES: Final = 2**16


def load_fashion_mnist(directory: Path = FASHION_MNIST_DIRECTORY) -> Dataset:
    """Return Fashion-MNIST: 60,000 and 10,000 images of clothing, `(28, 28, 1)`, divided by 255; ten classes.

    Args:
        directory: The folder with the four files. The default is that of Debian's package dataset-fashion-mnist.

    Raises:
        DataError: A file is missing or damaged, or does not contain what its name says.
    """
    images_x = [_images(directory / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
    labels_y = [_labels(directory / f"{part}-labels-idx1-ubyte.gz") for part in ("train", "t10k")]
    return Dataset(
        name="fashion-mnist",
        train_x=images_x[0],
        train_y=labels_y[0],
        test_x=images_x[1],
        test_y=labels_y[1],
        classes=_CLASSES,
    )


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the entries of a gzip-compressed IDX file of unsigned bytes.

    Args:
        path: The file.
        dimensions: The number of dimensions that the file must have.

    Returns:
        An array of that many dimensions, uint8.

    Raises:
        DataError: The file is missing, damaged, truncated or too long, or has another type or number of dimensions.
    """
    if not path.is_file():
        raise DataError(
            f"expected a file at {path}, found none. Fashion-MNIST is in Debian's package dataset-fashion-mnist "
            "(apt-get install dataset-fashion-mnist)."
        )
    try:
        with gzip.open(path) as stream:
            head = stream.read(4 + 4 * dimensions)
            if len(head) != 4 + 4 * dimensions or head[:4] != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
                raise DataError(
                    f"expected an IDX file of unsigned bytes in {dimensions} dimensions at {path}, "
                    f"found the first bytes {head[:4].hex(' ')}"
                )
            shape = struct.unpack(f">{dimensions}I", head[4:])
            if not 0 < math.prod(shape) <= _ENTRIES_MAXIMUM:
                raise DataError(f"expected 1 to {_ENTRIES_MAXIMUM} entries in {path}, found shape {shape}")
            # One byte more than announced shows that a file is too long. A decompression bomb is not unpacked further.
            body = _read(stream, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"expected a whole gzip file at {path}, found a damaged one ({error})") from error
    if len(body) != math.prod(shape):
        found = "more" if len(body) > math.prod(shape) else str(len(body))
        raise DataError(f"expected {math.prod(shape)} entries in {path}, found {found}")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _read(stream: gzip.GzipFile, most: int) -> bytes:
    """Return at most this number of bytes; memory grows with what is there, not with what a header announces."""
    pieces, left = [], most
    while left and (piece := stream.read(min(left, _PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _images(path: Path) -> NDArray[np.float32]:
    return (read_idx(path, 3)[..., np.newaxis] / np.float32(_PIXEL_MAXIMUM)).astype(np.float32, copy=False)


def _labels(path: Path) -> NDArray[np.int64]:
    return read_idx(path, 1).astype(np.int64)
