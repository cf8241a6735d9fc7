"""Secure sums of integer vectors: sans-IO protocols that know nothing of models, floats, files or sockets."""

from protocols.crypto.density import Adversary
from protocols.crypto.secret import Secret
from protocols.errors import (
    DamagedSnapshot,
    InputError,
    LocalError,
    MalformedMessage,
    OrderError,
    ParameterError,
    ProtocolError,
    RemoteError,
    SessionReused,
    TooFewSurvivors,
    UnknownProtocol,
    UnsafeSession,
)
from protocols.identity import Identity, Member, MemoryRecord, Roster, SessionRecord
from protocols.lightsecagg import LightSecAgg
from protocols.machine import Client, Continue, Server
from protocols.messages import Message
from protocols.pairwise import SecAgg, SecAggPlus
from protocols.plain import PlainSum
from protocols.registry import available, load
from protocols.secure_sum import Finish, Round, SecureSum
from protocols.session import Opening, Session
from protocols.simulate import Cost, Outcome, Transmission, simulate

__all__ = [
    "Adversary",
    "Client",
    "Continue",
    "Cost",
    "DamagedSnapshot",
    "Finish",
    "Identity",
    "InputError",
    "LightSecAgg",
    "LocalError",
    "MalformedMessage",
    "Member",
    "MemoryRecord",
    "Message",
    "Opening",
    "OrderError",
    "Outcome",
    "ParameterError",
    "PlainSum",
    "ProtocolError",
    "RemoteError",
    "Roster",
    "Round",
    "SecAgg",
    "SecAggPlus",
    "Secret",
    "SecureSum",
    "Server",
    "Session",
    "SessionRecord",
    "SessionReused",
    "TooFewSurvivors",
    "Transmission",
    "UnknownProtocol",
    "UnsafeSession",
    "available",
    "load",
    "simulate",
]
