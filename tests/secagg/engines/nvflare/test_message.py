"""A message's fields: what is there travels, and nothing of another type is read."""

from typing import Any

import pytest

from secagg.engines.nvflare.message import HELLO, Message


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (HELLO, {"parcel": b""}),
        (Message(), {}),
        (Message(parcel=b"piece", number=3, at=0), {"parcel": b"piece", "number": 3, "at": 0}),
        (Message(size=7), {"size": 7}),
    ],
)
def test_fields_are_those_that_are_there(message: Message, fields: dict[str, Any]) -> None:
    assert message.fields() == fields
    assert Message.of(fields | {"more": "anything"}) == message


@pytest.mark.parametrize(
    "fields",
    [{"parcel": "text"}, {"parcel": bytearray(1)}, {"number": True}, {"number": 1.0}, {"at": -1}, {"size": "1"}],
)
def test_fields_of_another_type_are_no_message(fields: dict[str, Any]) -> None:
    assert Message.of(fields) is None


def test_content_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Message(parcel=b"secret"))
