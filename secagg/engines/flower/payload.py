"""How bytes travel in Flower: as one record with one array, whose data they are.

Arrays travel in chunks of 5 MB, and a SuperLink keeps a chunk that several messages share once. Bytes in a
`ConfigRecord` would travel in one piece, in protobuf messages that hold several copies.
"""

from typing import Final

from flwr.app import Array, ArrayRecord, Message, RecordDict

RECORD: Final = "secagg"
ARRAY: Final = "parcel"
KIND: Final = "secagg.bytes"
"""In the place of "numpy.ndarray": the data are the bytes themselves, without the header of a .npy file."""

TYPE: Final = "train"
"""The type of every message of ours. An app routes by type, and every app that trains has a function for this one."""


def wrap(data: bytes) -> RecordDict:
    """Return the content of a message that carries these bytes."""
    return RecordDict({RECORD: ArrayRecord({ARRAY: Array("uint8", (len(data),), KIND, data)})})


def unwrap(message: Message) -> bytes | None:
    """Return the bytes that a message carries; None if its content is anything but what `wrap` returns."""
    if not message.has_content() or list(message.content) != [RECORD]:
        return None
    record = message.content[RECORD]
    if not isinstance(record, ArrayRecord) or list(record) != [ARRAY]:
        return None
    array = record[ARRAY]
    return bytes(array.data) if array.stype == KIND else None
