"""Planted bugs of nodes and of their coordinator: stations and folders that leave out one rule."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dp.events import PrivacyEvent
from protocols import Client, Roster, Session
from secagg.aggregation.contribution import Contribution
from secagg.aggregation.mean import SecureMean
from secagg.audit.nodes.subject import NodeSubject
from secagg.audit.planted.altered import as_kind
from secagg.audit.planted.base import Planted
from secagg.audit.planted.patch import replaced
from secagg.engines.node.event import node_event
from secagg.engines.node.home import Home
from secagg.engines.node.policy import NodePolicy
from secagg.engines.node.session import NodeSession
from secagg.engines.node.station import Station, Train
from secagg.engines.server import coordinator
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.kept import KeptOpening
from secagg.engines.wire import parcel as wire
from secagg.engines.wire.parcel import Request
from secagg.engines.wire.work import Work
from secagg.logger import LOGGER


class AnyWork(Station):
    """A station that trains on whatever work it is given."""

    def _work(self, party: NodeSession, request: Request, train: Train | None) -> Work | None:
        return Work.from_bytes(request.work) if party.is_client and train is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustingPolicy(NodePolicy):
    """A policy that counts as many colluding clients as the coordinator says."""

    def event(self, mean: SecureMean, session: Session, *, roster: Roster) -> PrivacyEvent | None:
        """See `NodePolicy.event`."""
        del roster
        if mean.noise is None or mean.target is None:
            return None
        return node_event(
            mean.noise,
            mean.encoding,
            trust=mean.target.trust,
            contributors=session.threshold,
            corrupt=mean.target.colluding,
        )


class TrustingStation(Station):
    """A station with such a policy."""

    def __init__(self, home: Home, **named: Any) -> None:
        home.policy = as_kind(TrustingPolicy, home.policy)
        super().__init__(home, **named)


class LatePayer(Station):
    """A station that reserves the cost of a session once it has trained."""

    def _reserve(self, party: NodeSession) -> None:
        """Reserve nothing yet."""

    def _contribution(self, party: NodeSession, work: Work, train: Train) -> Contribution:
        made = super()._contribution(party, work, train)
        super()._reserve(party)
        return made


class TimelessStation(Station):
    """A station that begins a session whatever its serial is."""

    def _joined(self, request: Request, train: Train | None) -> tuple[NodeSession, Client]:
        with replaced(self, "_latest", lambda: None):
            return super()._joined(request, train)


class TalkativeStation(Station):
    """A station that logs why training has failed."""

    def _contribution(self, party: NodeSession, work: Work, train: Train) -> Contribution:
        def loud(work: Work) -> Any:
            try:
                return train(work)
            except Exception as error:
                LOGGER.warning("training has failed: %s", error)
                raise

        return super()._contribution(party, work, loud)


class _AnyKey:
    """A public key under which every signature is valid."""

    @classmethod
    def from_public_bytes(cls, data: bytes) -> "_AnyKey":
        """Return one."""
        del data
        return cls()

    def verify(self, signature: bytes, data: bytes) -> None:
        """Accept."""


class OpenStation(Station):
    """A station that obeys everybody."""

    def _opened(self, parcel: bytes) -> Request:
        with replaced(wire, "Ed25519PublicKey", _AnyKey):
            return super()._opened(parcel)


class _WithoutOpenings(CoordinatorFolder):
    def keep_opening(self, kept: KeptOpening) -> None:
        """Keep nothing."""


def forgetful_coordinator(*arguments: Any, **named: Any) -> Coordinator:
    """Return a coordinator that keeps no opening."""
    with replaced(coordinator, "CoordinatorFolder", _WithoutOpenings):
        return Coordinator(*arguments, **named)


def _planted(number: int, bug: str, claim: str, check: str, station: Callable[..., Station]) -> Planted:
    return Planted(
        number=number,
        bug=bug,
        claim=claim,
        caught_by=f"attack.node.{check}",
        subject=lambda: NodeSubject(station=station),
    )


PLANTED: Final[tuple[Planted, ...]] = (
    _planted(67, "a node trains on a work that its session does not name", "C-32", "other_work", AnyWork),
    _planted(68, "a node believes how many clients collude", "C-33", "small_noise", TrustingStation),
    _planted(69, "a node reserves the cost of a session once it has trained", "C-34", "unpaid", LatePayer),
    _planted(70, "a node begins sessions of old serials", "C-35", "old_offers", TimelessStation),
    _planted(72, "a node logs the text of an error of training", "C-37", "error_text", TalkativeStation),
    _planted(73, "a node obeys requests that its coordinator has not signed", "C-38", "stranger", OpenStation),
    Planted(
        number=74,
        bug="a coordinator does not keep the opening of a sum",
        claim="C-39",
        caught_by="attack.node.coordinator_crash",
        subject=lambda: NodeSubject(coordinator=forgetful_coordinator),
    ),
)
"""The planted bugs 67 to 70 and 72 to 74."""
