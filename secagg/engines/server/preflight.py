"""Checks, before any client is asked, of what would otherwise fail when a release has been made, or is half made.

A ledger compares a release with its reservation when the release is committed. What is sent or kept has to be encoded,
and the byte strings of MessagePack have at most 4 GiB.
"""

import math
from typing import Final

from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation
from dp.events import PrivacyEvent
from dp.ledger.ledger import Ledger
from protocols.codec import LARGEST_BYTES
from protocols.crypto.keystream import word_dtype
from protocols.errors import SessionExpired
from secagg.aggregation.mean import SecureMean
from secagg.checks import MOST_ROUNDS
from secagg.engines.wire.offer import SESSION_ID_BYTES
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, CoordinatorError

_FLOAT_BYTES: Final = 8
_REFUSED: Final = (IncompatibleEvent, InvalidParameter, InvalidReservation)


def label_of(number: int, run: str | None) -> str:
    """Return the label of a round's release in the ledger."""
    return f"round {number}" if run is None else f"round {number} of run {run}"


def check_ledger(ledger: Ledger, event: PrivacyEvent, *, mean: SecureMean, local: bool, run: str | None) -> None:
    """Check that a ledger accepts every release that a round may lead to; the remaining budget is not checked.

    Args:
        ledger: The ledger.
        event: The privacy cost of a round.
        mean: The mean of the clients' updates.
        local: Whether the clients add the noise while they train.
        run: The run's name, for labels.

    Raises:
        ConfigurationError: The ledger refuses a release, or its population is smaller than the number of clients.
        dp.errors.LedgerUnavailable: The ledger cannot be written to.
    """
    label = label_of(MOST_ROUNDS, run)
    try:
        for contributors in range(len(mean.clients), mean.minimum_contributors - 1, -1):
            realised = event if local else mean.realised(contributors)
            ledger.check(event, label=label, contributors=contributors, realised=realised)
    except _REFUSED as error:
        raise ConfigurationError(f"the ledger does not fit this training: {error}") from error


def check_no_sample(mean: SecureMean) -> None:
    """Refuse clients that are drawn in secret, whom nodes and the coordinator's folder would learn.

    Raises:
        ConfigurationError: The mean is planned for a secret sample.
    """
    if mean.sample is not None:
        raise ConfigurationError(
            "sample: expected none with a coordinator's folder, found one: nodes and the folder would learn who was "
            "drawn. Draw cohorts in turn or at random."
        )


def check_sizes(mean: SecureMean, work: Work) -> None:
    """Check that what a coordinator sends and keeps in a round can be encoded; `SecureSum.validate` checks messages.

    Before a step that opens it keeps the server's state, and the different requests of that step, in one byte string.
    The state is a vector, and with a committee all contributions, which are the requests too. These bounds are at most
    twice what is kept.

    Raises:
        ConfigurationError: A byte string may be longer than MessagePack allows.
    """
    session = mean.session(bytes(16))
    message = mean.protocol.message_limit(session)
    words = session.length * word_dtype(session.modulus).itemsize
    lengths = {
        "work of the round": sum(map(len, work.pieces())),
        "server's state before a step that opens": words + (2 * message if mean.protocol.needs_committee else message),
        "longest array of the mean": max(
            (_FLOAT_BYTES * math.prod(shape) for shape in mean.encoding.shapes), default=0
        ),
    }
    for what, length in lengths.items():
        if length > LARGEST_BYTES:
            raise ConfigurationError(
                f"{what}: expected at most {LARGEST_BYTES} bytes, which is the longest byte string of MessagePack, "
                f"found up to {length} for {len(session.clients)} clients and {session.length} coordinates. Train "
                "fewer parameters, or split the clients into more groups."
            )


def check_committee_time(mean: SecureMean, now_s: float) -> None:
    """Check that a session that begins now does not find its committee's epoch expired.

    Args:
        mean: The mean of the clients' updates.
        now_s: The time in seconds since 1970.

    Raises:
        CoordinatorError: It does.
    """
    try:
        mean.protocol.check_time(mean.session(bytes(SESSION_ID_BYTES)), now_s)
    except SessionExpired as error:
        raise CoordinatorError(
            f"committee: {error} Put the committee's file of an epoch that is valid now into the coordinator's "
            "folder. Nothing was reserved, and nobody was asked."
        ) from None
