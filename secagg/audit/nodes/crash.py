"""A coordinator that ends after the requests have left with which a sum may be opened, and starts again."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from protocols import SecAgg
from protocols.errors import ProtocolError
from secagg.audit.attack import Plan, Result
from secagg.audit.nodes.base import NodeAttack, result
from secagg.audit.nodes.federation import VICTIM, Federation, trained, work_of
from secagg.audit.nodes.subject import NodeSubject
from secagg.audit.seeds import Tape
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.server.plans import averaging
from secagg.engines.wire.parcel import Limits, open_request
from secagg.errors import SecaggError

_NODES: Final = 4
_LIMITS: Final = Limits(work_bytes=2**20, body_bytes=2**20)


class _Killed(BaseException):
    """The coordinator's process ends here."""


class _Wire:
    """A channel to the stations of a federation, which notes the serials of all requests.

    Args:
        federation: The federation.
        killed_at: The step after whose replies the process ends, before it has read them; None for none.
        without: The nodes that are gone.
    """

    def __init__(self, federation: Federation, *, killed_at: int | None = None, without: tuple[int, ...] = ()) -> None:
        self._federation = federation
        self._killed_at = killed_at
        self._without = without
        self.serials: set[int] = set()

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes]]:
        """See `secagg.engines.server.channel.Channel`."""
        replies, step = {}, -1
        for node in parcels:
            parcel = parcels[node]
            request = open_request(
                parcel, coordinator=self._federation.coordinator.public, receiver=node, limits=_LIMITS
            )
            self.serials.add(request.serial)
            step = request.step
            if node not in self._without:
                replies[node] = self._federation.stations[node].answer(parcel, trained)
        if step == self._killed_at:
            raise _Killed
        yield from replies.items()


class CoordinatorCrash(NodeAttack):
    """The coordinator ends once the last requests have been answered. Afterwards one node fewer is there."""

    id = "attack.node.coordinator_crash"
    title = "A coordinator ends while a sum is opened, and it is seen whether it asks for another sum of the same work"
    tests = ("C-39",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        last = len(SecAgg().steps) - 1
        with Federation.of(subject, seed, nodes=_NODES, homes=_NODES) as federation:
            before = _Wire(federation, killed_at=last)
            try:
                _round(subject, federation, before, seed, "first", clients=tuple(federation.homes))
            except _Killed:
                pass
            else:
                return result("A coordinator released a sum without its last step.")
            after = _Wire(federation, without=(VICTIM,))
            rest = tuple(node for node in federation.homes if node != VICTIM)
            with contextlib.suppress(SecaggError, ProtocolError):  # Too few nodes may be left to finish the sum.
                _round(subject, federation, after, seed, "second", clients=rest)
        if after.serials - before.serials:
            return result(
                "After a crash, a coordinator began another session for a work of which a sum may have been opened, "
                "with one node fewer."
            )
        return result("")


def _round(
    subject: NodeSubject, federation: Federation, wire: _Wire, seed: bytes, label: str, *, clients: tuple[int, ...]
) -> None:
    """Run one round in a process of its own, as far as it gets."""
    planned = averaging(SecAgg, clip_l2=1.0, adversarial=0.0, dropout=0.25)
    entropy = Tape(seed, f"coordinator {label}")
    with subject.coordinator(federation.folder / "coordinator", planned, entropy=entropy) as coordinator:
        engine = ChannelEngine(wire, clock=lambda: 0.0, step_s=1.0, entropy=Tape(seed, f"engine {label}"))
        coordinator.run(work_of(), clients, engine)
