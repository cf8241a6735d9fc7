"""Secure sums of integer vectors: sans-IO protocols that know nothing of models, floats, files or sockets."""

from protocols.errors import (
    InputError,
    LocalError,
    MalformedMessage,
    OrderError,
    ParameterError,
    ProtocolError,
    RemoteError,
    TooFewSurvivors,
    UnknownProtocol,
)
from protocols.machine import Client, Continue, Finish, Round, SecureSum, Server
from protocols.messages import Message
from protocols.pairwise import SecAgg, SecAggPlus
from protocols.plain import PlainSum
from protocols.registry import available, load
from protocols.session import Session
from protocols.simulate import Cost, Outcome, Transmission, simulate

__all__ = [
    "Client",
    "Continue",
    "Cost",
    "Finish",
    "InputError",
    "LocalError",
    "MalformedMessage",
    "Message",
    "OrderError",
    "Outcome",
    "ParameterError",
    "PlainSum",
    "ProtocolError",
    "RemoteError",
    "Round",
    "SecAgg",
    "SecAggPlus",
    "SecureSum",
    "Server",
    "Session",
    "TooFewSurvivors",
    "Transmission",
    "UnknownProtocol",
    "available",
    "load",
    "simulate",
]
