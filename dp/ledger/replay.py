"""Checks of a ledger's records that were read: what `Ledger.reserve` and `Ledger.commit` could not have written."""

import json
from typing import Final

import msgspec
import numpy as np

from dp.errors import InvalidReservation
from dp.events import Observer
from dp.ledger.participants import Clients, decode_clients
from dp.ledger.records import Budget, Commitment, Record, Reservation


def decoded_record(body: bytes) -> Record:
    """Return the record that a text in JSON holds.

    Raises:
        msgspec.MsgspecError, ValueError, RecursionError: It is no record of this format.
    """
    record = _DECODER.decode(body)
    json.loads(body, object_pairs_hook=_with_distinct_names)
    return record


def check_salt(record: Reservation | Commitment, budget: Budget) -> None:
    """Refuse a record with a salt that it should not have, or without one that it should have.

    Raises:
        InvalidReservation: It is such a record.
    """
    if (record.salt is None) != (budget.towards is not Observer.READERS):
        raise InvalidReservation(
            f"reservation {record.number}: expected a salt if and only if clients are drawn in secret, found the "
            "opposite"
        )


def check_missing(record: Commitment, asked: Clients, *, size: int) -> None:
    """Refuse a commitment whose missing clients and number of contributors do not fit the clients that were asked.

    Args:
        record: A commitment under a budget with a participation.
        asked: The clients that its reservation asks.
        size: The number of clients of the population.

    Raises:
        InvalidReservation: They do not fit.
        InvalidParameter: The text of the missing clients is damaged.
    """
    missing = asked[:0] if record.missing is None else decode_clients(record.missing, size=size)
    if record.missing is not None and not len(missing):
        raise InvalidReservation("expected at least one missing client or none recorded, found an empty set")
    if len(np.setdiff1d(missing, asked, assume_unique=True)):
        raise InvalidReservation("expected missing clients that were asked, found one that was not")
    if record.contributors != len(asked) - len(missing):
        raise InvalidReservation(
            f"expected the {len(asked) - len(missing)} contributors that were asked and are not missing, found "
            f"{record.contributors}"
        )


def _with_distinct_names(pairs: list[tuple[str, object]]) -> None:
    """Refuse a name that is there twice: programs differ in which of its values they take.

    Raises:
        ValueError: There is one.
    """
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")


_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)
