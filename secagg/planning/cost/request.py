"""A request for a plan of costs, checked before anything is computed."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocols import Adversary
from protocols.cohort import MAX_CLIENTS
from protocols.crypto.paillier.threshold import MOST_MEMBERS
from secagg.checks import SERVERS, check_choice
from secagg.errors import ConfigurationError

MOST: Final = 10**12
"""The largest number of clients or of parameters."""

UPLINK_MBPS: Final = 100.0
"""A client's link, if none is given, in Mbit/s."""


class EngineName(StrEnum):
    """The engines that a plan is for."""

    NVFLARE = "nvflare"
    FLOWER = "flower"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRequest:
    """A request for a plan of costs.

    Attributes:
        clients: The clients of a round, at least 2.
        parameters: The parameters of the model that are trained, at least 1.
        dropout: The fraction of the clients that is expected to drop out, in [0, 1).
        adversarial: The fraction of the clients that may collude with the server, in [0, 1).
        committee: The members of a committee, 2 to 64; None without one.
        uplink_mbps: A client's link, in Mbit/s, in either direction.
        engine: The engine.
        protocol: The only protocol to plan for; None for all that have a model.
        adversary: What the server may do.
        compression: The fraction of the rotated coordinates that each client sends, in (0, 1].

    Raises:
        ConfigurationError: A number is out of its range.
    """

    clients: int
    parameters: int
    dropout: float
    adversarial: float
    committee: int | None = None
    uplink_mbps: float = UPLINK_MBPS
    engine: EngineName = EngineName.NVFLARE
    protocol: str | None = None
    adversary: Adversary = Adversary.CURIOUS
    compression: float = 1.0

    def __post_init__(self) -> None:
        for name, value, least in (("clients", self.clients, 2), ("parameters", self.parameters, 1)):
            if type(value) is not int or not least <= value <= MOST:
                raise ConfigurationError(
                    f"--{name}: expected an integer from {least} to {MOST:,}, found {value}. Use such a number."
                )
        for name, fraction in (("dropout", self.dropout), ("adversarial", self.adversarial)):
            if not 0 <= fraction < 1:
                raise ConfigurationError(
                    f"--{name}: expected a fraction in [0, 1), found {fraction:g}. Use such a fraction."
                )
        if not 0 < self.compression <= 1:
            raise ConfigurationError(
                f"--compression: expected a fraction in (0, 1], found {self.compression:g}. Use such a fraction; 1 "
                "sends all coordinates."
            )
        if self.committee is not None and not 2 <= self.committee <= MOST_MEMBERS:
            raise ConfigurationError(
                f"--committee: expected 2 to {MOST_MEMBERS} members, found {self.committee}. Use such a number."
            )
        if not 0 < self.uplink_mbps < math.inf:
            raise ConfigurationError(
                f"--uplink-mbps: expected a finite number above 0, found {self.uplink_mbps:g}. Use such a number."
            )
        check_choice("--adversary", self.adversary, Adversary, among=SERVERS)

    @property
    def cohort(self) -> int:
        """The clients of the largest session that is planned: all, or as many as a session takes."""
        return min(self.clients, MAX_CLIENTS)

    @property
    def model_bytes(self) -> int:
        """The bytes of the model that every client receives: 4 for each parameter."""
        return 4 * self.parameters
