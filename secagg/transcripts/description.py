"""A session in a transcript: its protocol and its fields as a record, and both made again from that record.

Nothing of a record is executed or unpickled. A protocol is made again by its registered name, from parameters that are
numbers, texts or None. The session's digest covers all of it, so `describe` can check that nothing is lost.
"""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from protocols.committee import Committee, CommitteeKey
from protocols.crypto.paillier.threshold import ThresholdKey
from protocols.errors import BrokenProtocol, ParameterError, ProtocolError, UnknownProtocol
from protocols.identity import PUBLIC_BYTES, Roster
from protocols.registry import Parameter, describe_error, load, one_line, parameters_of
from protocols.secure_sum import SecureSum
from protocols.seeds import SeedCommittee
from protocols.session import Opening, Session
from secagg.errors import ConfigurationError, TranscriptError
from secagg.transcripts.records import ExpiringSessionHeader, SessionHeader, joined, separated


def describe(protocol: SecureSum, session: Session) -> SessionHeader:
    """Return the record of a session, from which the protocol and the session can be made again.

    Raises:
        ConfigurationError: They cannot be made again: the protocol is not registered, or has parameters that are not
            numbers, texts or None; or the committee's key is neither a `ThresholdKey` nor a `SeedCommittee`.
    """
    header = _header(protocol, session)
    try:
        again, its_session = rebuild(header)
        same = again.digest(its_session) == header.digest
    except (TranscriptError, UnknownProtocol, BrokenProtocol) as error:
        raise ConfigurationError(
            f"transcript: expected a protocol and a session that can be made again from a record, found {protocol.name}"
            f": {error}"
        ) from None
    if not same:
        raise ConfigurationError(
            f"transcript: expected a protocol that its parameters describe, found that {protocol.name} made again from "
            "them has another digest. Register the protocol under its own name."
        )
    return header


def rebuild(header: SessionHeader) -> tuple[SecureSum, Session]:
    """Return the protocol and the session of a record. Their digest is not compared with the recorded one.

    Raises:
        TranscriptError: The record describes no session that the protocol can run.
        UnknownProtocol: No protocol is registered under the name.
        BrokenProtocol: The registered protocol cannot be loaded, or raises unexpected errors.
    """
    name = header.protocol
    kind = load(name)
    if kind.wire != header.wire:
        raise TranscriptError(
            f"session: expected version {kind.wire} of the bytes of {one_line(name)}, found {header.wire}. Use the "
            "software that recorded the transcript."
        )
    try:
        protocol, session = kind(**header.parameters), _session(header)
        protocol.validate(session)
    except BrokenProtocol:
        raise
    except (ProtocolError, ValueError, TypeError) as error:
        raise TranscriptError(f"session: expected one that {one_line(name)} can run, found another: {error}") from None
    except Exception as error:  # noqa: BLE001  # Code of other people may raise anything.
        raise BrokenProtocol(f"{one_line(name)} cannot be made again: {describe_error(error)}") from None
    return protocol, session


def _header(protocol: SecureSum, session: Session) -> SessionHeader:
    roster, committee = session.roster, session.committee
    if session.weights != (1,) or session.batches:
        raise ConfigurationError(
            "transcript: expected a session of one sum in which each vector counts once, found one with weights or "
            "batches. Run it without a transcript."
        )
    header = SessionHeader(
        protocol=protocol.name,
        wire=protocol.wire,
        parameters=_parameters(protocol),
        session_id=session.session_id,
        clients=joined(session.clients),
        threshold=session.threshold,
        length=session.length,
        highest=session.modulus - 1,
        context=session.context,
        agreed=session.parameters,
        roster=None if roster is None else b"".join(roster.values()),
        attached=tuple((rule.least_dropped, rule.most_dropped) for rule in session.attached),
        committee=None if committee is None else (committee.key.to_bytes(), joined(committee.members)),
        digest=protocol.digest(session),
    )
    if session.expires is None:
        return header
    return ExpiringSessionHeader(**msgspec.structs.asdict(header), expires=session.expires)


def _parameters(protocol: SecureSum) -> dict[str, Parameter]:
    try:
        return parameters_of(protocol)
    except ParameterError as error:
        raise ConfigurationError(f"transcript: {error}") from None


def _session(header: SessionHeader) -> Session:
    clients = separated(header.clients)
    return Session(
        session_id=header.session_id,
        clients=clients,
        threshold=header.threshold,
        length=header.length,
        modulus=header.highest + 1,
        context=header.context,
        parameters=header.agreed,
        roster=None if header.roster is None else Roster(_keys(clients, header.roster)),
        attached=tuple(Opening(least_dropped=least, most_dropped=most) for least, most in header.attached),
        committee=None if header.committee is None else _committee(*header.committee),
        expires=header.expires if isinstance(header, ExpiringSessionHeader) else None,
    )


def _keys(clients: tuple[int, ...], keys: bytes) -> Mapping[int, bytes]:
    if len(keys) != PUBLIC_BYTES * len(clients):
        raise ParameterError(f"roster: expected {PUBLIC_BYTES * len(clients)} bytes, found {len(keys)}")
    return {
        client: keys[index * PUBLIC_BYTES : (index + 1) * PUBLIC_BYTES] for index, client in enumerate(sorted(clients))
    }


def _committee(key: bytes, members: bytes) -> Committee:
    return Committee(key=_committee_key(key), members=separated(members))


@lru_cache(maxsize=4)
def _committee_key(data: bytes) -> CommitteeKey:
    """Return a committee's public side. Its checks take some 15 ms, and sessions have the same one for a long time."""
    if SeedCommittee.is_encoded(data):
        return SeedCommittee.from_bytes(data)
    return ThresholdKey.from_bytes(data)
