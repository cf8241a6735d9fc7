"""The station of a FLARE site: in FLARE's own process, or a resident one behind a socket."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from secagg.engines.node.home import Home
from secagg.engines.node.resident import HELLO, StationUnavailable, ask
from secagg.engines.node.station import Station
from secagg.engines.node.training_function import Train, load_training
from secagg.engines.nvflare.local_file import NodeTable
from secagg.engines.nvflare.site_policy import check_own_station
from secagg.logger import LOGGER

_HELLO_S: Final = 1.0
_ANSWER_S: Final = 24 * 3600.0
"""How long a resident station may take for one parcel. The server stops waiting much earlier."""


class Site(Protocol):
    """What answers at a site. Several threads call it."""

    def is_there(self) -> bool:
        """Return whether parcels can be answered now."""
        ...

    def answer(self, parcel: bytes) -> bytes | None:
        """Return the station's reply to a parcel; None if there is no station to ask."""
        ...


@dataclass(frozen=True, slots=True)
class OwnSite:
    """A station in this process.

    Attributes:
        station: The station.
        train: How it trains; None if it trains nothing.
    """

    station: Station
    train: Train | None

    def is_there(self) -> bool:
        """Return True; see `Site`."""
        return True

    def answer(self, parcel: bytes) -> bytes:
        """Return the station's reply; see `Site`."""
        return self.station.answer(parcel, self.train)


@dataclass(frozen=True, slots=True)
class ResidentSite:
    """A resident station, of which this process has nothing but the socket.

    Attributes:
        socket: The socket.
    """

    socket: Path

    def is_there(self) -> bool:
        """Return whether the resident station answers; see `Site`."""
        return self._asked(HELLO, _HELLO_S) is not None

    def answer(self, parcel: bytes) -> bytes | None:
        """Return the resident station's reply; see `Site`."""
        return self._asked(parcel, _ANSWER_S)

    def _asked(self, parcel: bytes, timeout_s: float) -> bytes | None:
        try:
            return ask(self.socket, parcel, timeout_s=timeout_s)
        except StationUnavailable as error:
            LOGGER.warning("%s", error)
            return None


def site_of(table: NodeTable) -> Site:
    """Return the site that a table describes.

    Raises:
        ConfigurationError: See `check_own_station`, or `train` cannot be imported.
        SecaggError: The home is not complete, is damaged, or others may use it.
    """
    if table.socket is not None:
        return ResidentSite(Path(table.socket))
    home = Home.open(str(table.home))
    check_own_station(home.policy, home.path)
    train = None if table.train is None else load_training(table.train)
    return OwnSite(Station(home), train)
