"""What a party checks before it takes part in a session: the session itself, and its own terms."""

from collections.abc import Sequence

from protocols import pieces
from protocols.crypto.integers import shown
from protocols.crypto.secret import Secret
from protocols.errors import ParameterError, UnsafeSession
from protocols.replay import OpeningRecord, SessionRecord, check_cap
from protocols.secure_sum import SecureSum
from protocols.session import ATTACHED_BYTES, Session
from protocols.terms import ClientTerms, Keyholder


def check_admission(
    protocol: SecureSum,
    session: Session,
    party: int,
    *,
    terms: ClientTerms | None,
    keyholder: Keyholder | None,
    openings: OpeningRecord | None = None,
    sessions: SessionRecord | None = None,
    cap: int | None = None,
) -> None:
    """Check that a party can take part in a session, and that its own terms allow it.

    Args:
        protocol: The protocol.
        session: The session.
        party: The id of a client, of a committee member, or of a party that is both.
        terms: A client's identity and terms; given if and only if the party is a client and the session has a roster.
        keyholder: A committee member's key share and rules; given if and only if the party is a committee member.
        openings: The record of the sums that the party helps to open as a client; None if it keeps none.
        sessions: The record of the sessions of a client without terms; None if it keeps none.
        cap: The most sessions of that record that may count; None for any number.

    Raises:
        ParameterError: The protocol cannot run the session, the id is not in it, `terms` or `keyholder` is missing or
            given without need, `openings` is not a record or another one than the keyholder's, or `sessions` or `cap`
            does not fit the party.
        UnsafeSession: The party's own terms do not allow it to take part in this session.
    """
    SecureSum.validate(protocol, session)
    if type(party) is not int or not (party in session.clients or party in session.committee_members):
        raise ParameterError(f"party {shown(party)} is not in the session, or its id is not an int")
    _as_keyholder(session, party, keyholder)
    _with_openings(openings, keyholder)
    _with_sessions(sessions, cap, counts=party in session.clients and terms is None)
    if party in session.clients:
        _as_client(protocol, session, party, terms)
    elif terms is not None:
        raise ParameterError(
            f"terms: expected none, since party {party} is not a client of the session, found a ClientTerms"
        )


def check_attached(attached: Sequence[Secret], *, expected: int) -> None:
    """Refuse secrets that a client attaches if there are not as many as expected, or one has another length."""
    if len(attached) != expected:
        raise ParameterError(f"attached: expected {expected} secrets, found {len(attached)}")
    if any(type(each) is not Secret or len(each.reveal()) != ATTACHED_BYTES for each in attached):
        raise ParameterError(f"attached: expected Secrets of {ATTACHED_BYTES} bytes each, found another value")


def check_reader(protocol: SecureSum, session: Session, reader: pieces.VectorReader) -> None:
    """Refuse a vector that is read piece by piece if the protocol does not do that, or it does not fit the session."""
    if not protocol.takes_pieces:
        raise ParameterError(
            f"vector: expected an array, since {protocol.name} does not read vectors piece by piece, found a "
            "VectorReader. Use an array, or one of the protocols that docs/how-to/large-models.md names."
        )
    pieces.check_reader(reader, length=session.length, modulus=session.modulus)


def _as_client(protocol: SecureSum, session: Session, client: int, terms: ClientTerms | None) -> None:
    if session.roster is None:
        if terms is not None:
            raise UnsafeSession(
                "roster: expected one, since this client has a ClientTerms and so does not trust the server, found a "
                "session without a roster"
            )
        return
    if type(terms) is not ClientTerms:
        raise ParameterError("terms: expected a ClientTerms, since the session has a roster, found another value")
    terms.accept(client=client, threshold=session.threshold, roster=session.roster)
    if session.committee is not None:
        terms.accept_committee(session.committee.key)
    # The server chooses which clients of the roster it invites: it may invite every corrupt one.
    protocol.check_safety(session, min(terms.corrupt, len(session.clients)))


def _as_keyholder(session: Session, party: int, keyholder: Keyholder | None) -> None:
    committee = session.committee
    if committee is None or party not in committee.members:
        if keyholder is not None:
            raise ParameterError(
                f"keyholder: expected none, since party {party} is not a committee member, found a Keyholder"
            )
        return
    if type(keyholder) is not Keyholder:
        raise ParameterError(
            "keyholder: expected a Keyholder, since the party is a committee member, found another value"
        )
    keyholder.accept(member=party, committee=committee, threshold=session.threshold, roster=session.roster)


def _with_openings(openings: OpeningRecord | None, keyholder: Keyholder | None) -> None:
    if openings is not None and not callable(getattr(openings, "record", None)):
        raise ParameterError("openings: expected an OpeningRecord or None, found an object without a method `record`")
    if openings is not None and keyholder is not None and openings is not keyholder.openings:
        raise ParameterError(
            "openings: expected the record of the party's own Keyholder, found another one. Use one record for all "
            "that a party opens."
        )


def _with_sessions(sessions: SessionRecord | None, cap: int | None, *, counts: bool) -> None:
    if sessions is not None and not callable(getattr(sessions, "record", None)):
        raise ParameterError("sessions: expected a SessionRecord or None, found an object without a method `record`")
    if not counts and (sessions is not None or cap is not None):
        raise ParameterError(
            "sessions, cap: expected none, since a ClientTerms has its own and a party that is no client has none, "
            "found one"
        )
    check_cap(cap)
    if cap is not None and sessions is None:
        raise ParameterError(
            "sessions: expected a record, since there is a cap, found none. Without a record nothing is counted."
        )
