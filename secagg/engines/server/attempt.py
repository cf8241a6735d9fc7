"""One attempt of a coordinator at a work: a session, and what was reserved for it."""

from dataclasses import dataclass, replace

from dp.events import Trust
from protocols import Session
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import RoundPlan, ServerSide
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.kept import KeptOpening
from secagg.engines.wire.offer import Offer, session_context
from secagg.engines.wire.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One session for a work: its plan, and what was reserved for it."""

    plan: RoundPlan
    reservation: int | None

    @property
    def resumed(self) -> bool:
        """Whether it goes on from an opening."""
        return self.plan.server is not None and self.plan.server.opening is not None


def is_exact(mean: SecureMean) -> bool:
    """Return whether the server sees exact sums, since nodes add no noise."""
    return mean.target is None or mean.target.trust is Trust.CENTRAL


def session_of(mean: SecureMean, work: Work, serial: int, session_id: bytes) -> Session:
    """Return the session of an attempt: its context names the work, the serial and who adds the noise."""
    trust = None if mean.target is None else mean.target.trust
    return mean.session(session_id, context=session_context(work.digest(), serial=serial, trust=trust))


def with_folder(
    plan: RoundPlan,
    folder: CoordinatorFolder,
    *,
    reservation: int | None,
    opening: bytes | None,
    ignored: frozenset[int],
) -> RoundPlan:
    """Return the plan of an attempt with the server's keys and a place for its opening.

    Args:
        plan: The plan without a server.
        folder: The coordinator's folder.
        reservation: What was reserved for the attempt; None without noise.
        opening: The state of an opening from which the attempt goes on; None for a new session.
        ignored: Clients that were found to have broken the protocol.
    """
    inputs = plan.work.digest()
    offer = Offer.of(plan.mean, plan.session, plan.serial, inputs).to_bytes()

    def keep(state: bytes) -> None:
        folder.keep_opening(KeptOpening(inputs=inputs, reservation=reservation, offer=offer, state=state))

    server = ServerSide(identity=folder.identity, sealing=folder.sealing, keep=keep, opening=opening, ignored=ignored)
    return replace(plan, server=server)
