"""What a party checks before it takes part in a session: the session itself, and its own terms."""

from protocols.crypto.integers import shown
from protocols.errors import ParameterError, UnsafeSession
from protocols.secure_sum import SecureSum
from protocols.session import Session
from protocols.terms import ClientTerms, Keyholder


def check_admission(
    protocol: SecureSum, session: Session, party: int, *, terms: ClientTerms | None, keyholder: Keyholder | None
) -> None:
    """Check that a party can take part in a session, and does so on its own terms.

    Args:
        protocol: The protocol.
        session: The session.
        party: Its id; a client's, or a committee member's, or one that is both.
        terms: A client's identity and terms; given if and only if the session has a roster.
        keyholder: A committee member's share and rules; given if and only if the party is one.

    Raises:
        ParameterError: The protocol cannot run the session, the id is not in it, or something is missing or too much.
        UnsafeSession: The session is not one that this party, by its own terms, takes part in.
    """
    protocol.validate(session)
    if type(party) is not int or not (party in session.clients or party in session.committee_members):
        raise ParameterError(f"client {shown(party)} is not in the session, or is no int")
    _as_keyholder(session, party, keyholder)
    if party in session.clients:
        _as_client(protocol, session, party, terms)
    elif terms is not None:
        raise ParameterError(f"party {party} has a ClientTerms, and is no client of the session")


def _as_client(protocol: SecureSum, session: Session, client: int, terms: ClientTerms | None) -> None:
    if session.roster is None:
        if terms is not None:
            raise UnsafeSession("the session has no roster, and this client does not trust the server without one")
        return
    if type(terms) is not ClientTerms:
        raise ParameterError("a session with a roster needs a ClientTerms: the client's identity and its own terms")
    terms.accept(client=client, clients=session.clients, threshold=session.threshold, roster=session.roster)
    if session.committee is not None:
        terms.accept_committee(session.committee.key)
    # The server chooses whom of the roster it invites: every corrupt one, if it likes.
    protocol.check_safety(session, min(terms.corrupt, len(session.clients)))


def _as_keyholder(session: Session, party: int, keyholder: Keyholder | None) -> None:
    committee = session.committee
    if committee is None or party not in committee.members:
        if keyholder is not None:
            raise ParameterError(f"party {party} has a Keyholder, and is no member of the session's committee")
        return
    if type(keyholder) is not Keyholder:
        raise ParameterError("a committee member needs a Keyholder: its share and its own rules")
    keyholder.accept(member=party, committee=committee, threshold=session.threshold, roster=session.roster)
