"""What a coordinator may try with its offers: another work, old serials, too little noise, and sessions without end."""

import contextlib
from functools import partial
from typing import Final

import msgspec

from dp.events import DistributedDiscreteGaussianEvent
from secagg.audit.attack import Plan, Result
from secagg.audit.epsilon.exact import exact_epsilon
from secagg.audit.nodes.base import NodeAttack, result
from secagg.audit.nodes.federation import DELTA, EPSILON, VICTIM, Federation, reply_of, trained, work_of
from secagg.audit.nodes.subject import NodeSubject
from secagg.engines.base import Update
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Refusal
from secagg.engines.wire.work import Work

_NODES: Final = 4
_PRIVATE_NODES: Final = 12
_ADVERSARIAL: Final = 0.4
_SESSIONS: Final = 60


class OtherWork(NodeAttack):
    """One node gets other weights than the session names, so that its update alone would make up the sum."""

    id = "attack.node.other_work"
    title = "A node is given another work than the one whose digest is in the session"
    tests = ("C-32",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        seen: list[Work] = []

        def train(work: Work) -> Update:
            seen.append(work)
            return trained(work)

        with Federation.of(subject, seed, nodes=_NODES) as federation:
            for serial, given in enumerate((work_of(shift=2.0**-20), work_of(2)), start=1):
                parcel = federation.parcel(federation.offer(serial, work_of()), given)
                reply = reply_of(federation.stations[VICTIM].answer(parcel, train))
                if reply.refusal is None:
                    return result("A node answered in a session that names another work than the one it was given.")
                if seen:
                    return result("A node trained on another work than the one that the session names.")
        return result("")


class SmallNoise(NodeAttack):
    """The coordinator says that nobody colludes, and offers noise that is too small for its plan."""

    id = "attack.node.small_noise"
    title = "What a node's ledger counts for a session is compared with the exact cost for the nodes it trusts"
    tests = ("C-33",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        for scale in (None, 2.0):
            with Federation.of(
                subject, seed, nodes=_PRIVATE_NODES, private=True, adversarial=_ADVERSARIAL
            ) as federation:
                offer = federation.offer(1, work_of(), change=partial(_flattered, scale=scale))
                parcel = federation.parcel(offer, work_of())
                if _is_refused_for_its_cost(federation.stations[VICTIM].answer(parcel, trained)):
                    continue
                counted, least = _spent(federation), _exact(offer)
                if counted < least:
                    return result(
                        f"A node's ledger counts epsilon {counted:.4g} for a session that costs at least {least:.4g}."
                    )
        return result("")


class Unpaid(NodeAttack):
    """A coordinator offers session after session, and one training is interrupted."""

    id = "attack.node.unpaid"
    title = "A node is offered sessions without end, and its training is interrupted"
    tests = ("C-34",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        counts = [0]

        def train(work: Work) -> Update:
            counts[0] += 1
            if counts[0] == 1:
                raise SystemExit
            return trained(work)

        with Federation.of(subject, seed, nodes=_PRIVATE_NODES, private=True) as federation:
            station = federation.stations[VICTIM]
            first = federation.parcel(federation.offer(1, work_of()), work_of())
            with contextlib.suppress(SystemExit):
                station.answer(first, train)
            if (entries := _entries(federation)) < 1:
                return result("A node trained in a session that its ledger did not count yet.")
            for serial in range(2, _SESSIONS):
                parcel = federation.parcel(federation.offer(serial, work_of(serial)), work_of(serial))
                if _is_refused_for_its_cost(station.answer(parcel, train)):
                    break
                entries = _entries(federation)
                if entries < counts[0] or _spent(federation) > EPSILON:
                    return result(f"A node trained in {counts[0]} sessions, and its ledger counts {entries}.")
            else:
                return result(f"A node with a budget answered in {_SESSIONS - 2} sessions, and refused none.")
        return result("")


class OldOffers(NodeAttack):
    """A node that has taken part in an attempt is offered an earlier one, and another one of the same serial."""

    id = "attack.node.old_offers"
    title = "A node is offered sessions whose serial is not above all that it has recorded"
    tests = ("C-35",)

    def run(self, subject: NodeSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        with Federation.of(subject, seed, nodes=_NODES) as federation:
            station = federation.stations[VICTIM]
            offers = (federation.offer(7, work_of(), label=label) for label in ("first", "second"))
            answers = [reply_of(station.answer(federation.parcel(offer, work_of()), trained)) for offer in offers]
            early = federation.offer(6, work_of(2))
            answers.append(reply_of(station.answer(federation.parcel(early, work_of(2)), trained)))
            if answers[0].refusal is not None:
                return result("A node refused its first session.")
            for reply, what in zip(
                answers[1:], ("another session of the same serial", "an earlier serial"), strict=True
            ):
                if reply.refusal is None:
                    return result(f"A node that had recorded serial 7 answered in {what}.")
        return result("")


def _is_refused_for_its_cost(data: bytes) -> bool:
    """Return whether a node has refused since its budget does not suffice.

    Raises:
        LookupError: It has refused for another reason, so that the check shows nothing.
    """
    refusal = reply_of(data).refusal
    if refusal not in (None, Refusal.BUDGET):
        raise LookupError(f"reply: expected an answer, or {Refusal.BUDGET}, found {refusal}")
    return refusal is not None


def _flattered(offer: Offer, *, scale: float | None) -> Offer:
    """Return an offer that counts nobody as colluding, perhaps with another scale of the noise."""
    return msgspec.structs.replace(offer, colluding=0, scale=offer.scale if scale is None else scale)


def _exact(offer: Offer) -> float:
    """Return the exact epsilon of one session for a node that counts two fifths of the roster as corrupt."""
    mean, session = offer.build(None, None)
    corrupt = int(_ADVERSARIAL * _PRIVATE_NODES)
    event = DistributedDiscreteGaussianEvent(
        local_sigma=float(offer.scale or 0.0),
        contributors=session.threshold - corrupt,
        l2_sensitivity=mean.encoding.l2_sensitivity,
        dimension=mean.encoding.length,
    )
    return exact_epsilon(event, DELTA)


def _entries(federation: Federation) -> int:
    home = federation.homes[VICTIM]
    with home.lock(), home.ledger() as ledger:
        return len(ledger.entries())


def _spent(federation: Federation) -> float:
    home = federation.homes[VICTIM]
    with home.lock(), home.ledger() as ledger:
        return ledger.spent().epsilon
