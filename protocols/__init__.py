"""Secure sums of integer vectors: sans-IO protocols that know nothing of models, floats, files or sockets."""

from protocols.codec import Message
from protocols.cohort import Adversary
from protocols.committee import Committee, Keyholder, MemoryOpenings, OpeningRecord
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.crypto.secret import Secret
from protocols.encrypted.oneshot import OneShot
from protocols.encrypted.paillier_sum import PaillierSum
from protocols.errors import (
    BrokenProtocol,
    DamagedSnapshot,
    DamagedSum,
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
    UnsafeOpening,
    UnsafeSession,
)
from protocols.identity import Identity, Member, MemoryRecord, Roster, SessionRecord
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.machine import Client, Continue, Server
from protocols.pairwise.protocol import SecAgg, SecAggPlus
from protocols.plain import PlainSum
from protocols.registry import available, load, loadable
from protocols.secure_sum import Finish, Role, Round, SecureSum
from protocols.session import Opening, Participant, Session
from protocols.simulate import Cost, Outcome, Transmission, simulate
from protocols.snapshot import State
from protocols.version import VERSION

__version__ = VERSION

__all__ = [
    "Adversary",
    "BrokenProtocol",
    "Client",
    "Committee",
    "Continue",
    "Cost",
    "DamagedSnapshot",
    "DamagedSum",
    "Finish",
    "Identity",
    "InputError",
    "KeyShare",
    "Keyholder",
    "LightSecAgg",
    "LocalError",
    "MalformedMessage",
    "Member",
    "MemoryOpenings",
    "MemoryRecord",
    "Message",
    "OneShot",
    "Opening",
    "OpeningRecord",
    "OrderError",
    "Outcome",
    "PaillierSum",
    "ParameterError",
    "Participant",
    "PlainSum",
    "ProtocolError",
    "RemoteError",
    "Role",
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
    "State",
    "ThresholdKey",
    "TooFewSurvivors",
    "Transmission",
    "UnknownProtocol",
    "UnsafeOpening",
    "UnsafeSession",
    "available",
    "load",
    "loadable",
    "simulate",
]
