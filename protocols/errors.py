"""One hierarchy of errors: mistakes of the caller, and misbehaviour of peers, which names the culprits."""

from collections.abc import Iterable


class ProtocolError(Exception):
    """The base class of every error that `protocols` raises on purpose."""


class LocalError(ProtocolError):
    """The caller of this party made a mistake; no peer is to blame."""


class ParameterError(LocalError, ValueError):
    """A session or a protocol has parameters that are invalid, or that do not fit together."""


class UnsafeSession(ParameterError):
    """A session is valid, but this party's own terms do not allow it to take part."""


class SessionReused(LocalError, RuntimeError):
    """This party has answered this session, or this step of it, before."""


class SessionExpired(LocalError, RuntimeError):
    """The session has expired, or a key in it is not valid at this time, so this party answers nothing in it."""


class ParticipationRefused(LocalError, RuntimeError):
    """This client has taken part in as many sessions as its own cap allows, so it goes no further in another one."""


class InputError(LocalError, ValueError):
    """A client's vector has a wrong type, shape or range."""


class OrderError(LocalError, RuntimeError):
    """A machine was called out of order, or after it had closed."""


class RemoteError(ProtocolError):
    """A peer sent something that it must not send.

    Attributes:
        culprits: Ids of the clients whose message is at fault; empty if the server is at fault or nobody can be named.
        accusers: Those of the culprits who report the others. Either all of them are at fault, or all of the others.
    """

    def __init__(self, message: str, *, culprits: Iterable[int] = (), accusers: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.culprits = frozenset(culprits)
        self.accusers = frozenset(accusers)


class DamagedSum(ProtocolError, ValueError):
    """A total that is not a sum of valid encodings: a contributor broke the rules."""


class UnsafeOpening(RemoteError):
    """The server asked a party to open a sum, or to help to open one, that the party's own rules forbid."""


class MalformedMessage(RemoteError):
    """Bytes that are not a message of this step: truncated, too long, or of another session, version or type."""


class RefusedFrame(MalformedMessage):
    """A frame that is not the next one of its reply: out of order, repeated, cut, altered, or of another session."""


class NotSigned(RemoteError):
    """A message without a valid signature of its sender, under the roster, for this purpose and session."""


class TooFewSurvivors(ProtocolError):
    """Fewer parties than the threshold are left, so no sum can be released, or none may be."""


class DamagedSnapshot(LocalError, ValueError):
    """Bytes that are not a snapshot of this machine's session, or that were sealed under another key."""


class BrokenProtocol(ParameterError):
    """The code registered under a protocol's name cannot be used: it does not load, or raises unexpected errors."""


class UnknownProtocol(LocalError, LookupError):
    """No protocol is registered under this name."""
