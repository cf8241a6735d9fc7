"""Secure sums of integer vectors: sans-IO protocols that know nothing of models, floats, files or sockets."""

from protocols.codec import Message, Stream
from protocols.cohort import Adversary
from protocols.committee import Committee, CommitteeKey, CommitteeShare
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
    ParticipationRefused,
    ProtocolError,
    RefusedFrame,
    RemoteError,
    SessionExpired,
    SessionReused,
    TooFewSurvivors,
    UnknownProtocol,
    UnsafeOpening,
    UnsafeSession,
)
from protocols.frames import FrameReader
from protocols.identity import Identity, Roster
from protocols.lightsecagg.protocol import LightSecAgg
from protocols.machine import Client, Continue, Server
from protocols.pairwise.protocol import SecAgg, SecAggPlus
from protocols.pieces import VectorReader
from protocols.plain import PlainSum
from protocols.registry import available, load, loadable
from protocols.replay import MemoryOpenings, MemoryRecord, OpeningRecord, SessionRecord
from protocols.secure_sum import Complaint, Finish, Role, SecureSum, Step
from protocols.seeds import EpochKey, MemberCertificate, MemberShare, SeedCommittee, SeedSum
from protocols.session import Extra, Opening, Participant, Session
from protocols.simulate import Cost, Outcome, Transmission, simulate
from protocols.snapshot import State
from protocols.terms import ClientTerms, Keyholder
from protocols.version import VERSION

__version__ = VERSION

__all__ = [
    "Adversary",
    "BrokenProtocol",
    "Client",
    "ClientTerms",
    "Committee",
    "CommitteeKey",
    "CommitteeShare",
    "Complaint",
    "Continue",
    "Cost",
    "DamagedSnapshot",
    "DamagedSum",
    "EpochKey",
    "Extra",
    "Finish",
    "FrameReader",
    "Identity",
    "InputError",
    "KeyShare",
    "Keyholder",
    "LightSecAgg",
    "LocalError",
    "MalformedMessage",
    "MemberCertificate",
    "MemberShare",
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
    "ParticipationRefused",
    "PlainSum",
    "ProtocolError",
    "RefusedFrame",
    "RemoteError",
    "Role",
    "Roster",
    "SecAgg",
    "SecAggPlus",
    "Secret",
    "SecureSum",
    "SeedCommittee",
    "SeedSum",
    "Server",
    "Session",
    "SessionExpired",
    "SessionRecord",
    "SessionReused",
    "State",
    "Step",
    "Stream",
    "ThresholdKey",
    "TooFewSurvivors",
    "Transmission",
    "UnknownProtocol",
    "UnsafeOpening",
    "UnsafeSession",
    "VectorReader",
    "available",
    "load",
    "loadable",
    "simulate",
]
