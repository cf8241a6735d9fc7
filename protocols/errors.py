"""One hierarchy of errors: the caller's own mistakes, and misbehaviour of peers, which names its culprits."""

from collections.abc import Iterable


class ProtocolError(Exception):
    """Root of everything that `protocols` raises on purpose."""


class LocalError(ProtocolError):
    """The caller of this party made a mistake; no peer is to blame."""


class ParameterError(LocalError, ValueError):
    """A session or a protocol has parameters that are invalid, or that do not fit together."""


class UnsafeSession(ParameterError):
    """A session is valid, but this client does not take part on such terms."""


class SessionReused(LocalError, RuntimeError):
    """This client has answered this session, or this step of it, before."""


class InputError(LocalError, ValueError):
    """A client's vector has a wrong type, shape or range."""


class OrderError(LocalError, RuntimeError):
    """A machine was called out of order, or after it had closed."""


class RemoteError(ProtocolError):
    """A peer sent something that it must not send.

    Attributes:
        culprits: Ids of the clients whose message is at fault; empty where the server is.
    """

    def __init__(self, message: str, *, culprits: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.culprits = frozenset(culprits)


class DamagedSum(ProtocolError, ValueError):
    """What should be a sum of the contributors' encodings is none: some contributor broke the rules."""


class UnsafeOpening(RemoteError):
    """The server asks a committee member to open a sum that, by the member's own rules, stays closed."""


class MalformedMessage(RemoteError):
    """Bytes that are no message of this step: truncated, oversized, of another session, version or type."""


class TooFewSurvivors(ProtocolError):
    """Fewer parties than the threshold are left, so nothing can be, or may be, released."""


class DamagedSnapshot(LocalError, ValueError):
    """Bytes that are no snapshot of this machine's session, or were sealed under another key."""


class BrokenProtocol(ParameterError):
    """What is registered under a protocol's name cannot be used: it does not load, or fails where none should."""


class UnknownProtocol(LocalError, LookupError):
    """No protocol is registered under this name."""
