"""Bytes in Flower's messages."""

import pytest

pytest.importorskip("flwr")

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from secagg.engines.flower.payload import ARRAY, KIND, RECORD, TYPE, unwrap, wrap
from tests.support.flower_grid import error_reply, received, set_task

PARCEL = Array("uint8", (1,), KIND, b"p")


def message(content: RecordDict) -> Message:
    set_task()
    return received(Message(content, 7, TYPE))


@pytest.mark.parametrize("data", [b"", b"p", bytes(10**6)], ids=["none", "one", "many"])
def test_unwrap_returns_the_bytes_that_were_wrapped(data: bytes) -> None:
    assert unwrap(message(wrap(data))) == data


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"arrays": ArrayRecord({ARRAY: PARCEL})}),
        RecordDict({RECORD: ArrayRecord({ARRAY: PARCEL}), "config": ConfigRecord()}),
        RecordDict({RECORD: ConfigRecord({ARRAY: b"p"})}),
        RecordDict({RECORD: ArrayRecord()}),
        RecordDict({RECORD: ArrayRecord({ARRAY: PARCEL, "other": PARCEL})}),
        RecordDict({RECORD: ArrayRecord({ARRAY: Array(np.zeros(1, np.uint8))})}),
    ],
    ids=["nothing", "name", "second-record", "kind-of-record", "no-array", "second-array", "numpy"],
)
def test_unwrap_takes_nothing_else_for_bytes(content: RecordDict) -> None:
    assert unwrap(message(content)) is None


def test_unwrap_takes_no_error_for_bytes() -> None:
    assert unwrap(error_reply(message(wrap(b"p")), 2)) is None
