"""A node's station and a coordinator as a subject."""

from collections.abc import Callable
from typing import ClassVar

from secagg.audit.claims import claimed
from secagg.audit.subject import Subject
from secagg.engines.node.station import Station
from secagg.engines.server.coordinator import Coordinator


class NodeSubject(Subject):
    """The code at nodes and at their coordinator.

    Args:
        station: Makes a station from an open home and a source of randomness; takes the arguments of `Station`.
        coordinator: Makes a coordinator; takes the arguments of `Coordinator`.

    Attributes:
        station: See above.
        coordinator: See above.
    """

    kind: ClassVar[str] = "node"

    def __init__(
        self,
        *,
        station: Callable[..., Station] = Station,
        coordinator: Callable[..., Coordinator] = Coordinator,
    ) -> None:
        self.name = "nodes"
        self.claims = claimed("C-32", "C-33", "C-34", "C-35", "C-37", "C-38", "C-39")
        self.station = station
        self.coordinator = coordinator
