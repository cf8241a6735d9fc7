"""What a node accepts: its operator's policy, checked against an offered session with the node's own arithmetic.

A policy is about what a session is, not about what a coordinator says of it. The mean and the session were built by the
node from an offer (`Offer.build`), the cost of a release is computed by `node_event`, and the node counts it in a
ledger of its own. An epsilon for one release would mean nothing, since the server chooses how many there are.

Noise is one of two things to a policy:

- With a budget, the node takes part only in sums with noise, added by whom the policy names.
- With `noise = "none"`, the node takes part in exact sums. Then clients must not add noise. With noise of the clients,
  each attempt has a context of its own and counts as a release of its own. So the rule that keeps two sums of the same
  inputs apart would not hold, and no ledger would count the attempts. A coordinator could so get two sums that differ
  in one client, with noise that is too small to hide it. Noise that the server adds changes neither the context nor
  what the server sees, so it is accepted if the policy names it.

Adversary: a coordinator that may offer anything. The policy relies on the roster of the home.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from dp.errors import DpError
from dp.events import PrivacyEvent, Trust
from dp.noise.removal import RemovableSkellam
from protocols import Adversary, Roster, SecureSum, Session
from protocols.codec import limit
from protocols.cohort import whole_clients
from protocols.errors import UnsafeSession
from protocols.registry import loadable
from protocols.replay import are_kept_apart
from protocols.session import MAX_ATTACHED
from protocols.terms import check_committee
from secagg.aggregation.headroom import MAXIMUM_MODULUS_BITS
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.rotation import FAILURE, padded_length
from secagg.arrays import Shapes
from secagg.engines.node.event import node_event
from secagg.engines.node.policy_file import PolicyFile
from secagg.engines.wire.parcel import Limits
from secagg.errors import EncodingError, SecaggError
from secagg.privacy.contributors import colluding_clients

_WORK_ENTRY_BYTES: Final = 8
_WORK_OVERHEAD_BYTES: Final = 2**20
_ENCRYPTED_FACTOR: Final = 3
"""By how much an encrypted vector is longer than the same vector bit-packed: at most 2.7 for 64 values of any key."""


class Rule(StrEnum):
    """The rules of a policy; each value is a rule's name in a node's log."""

    DERIVED = "derived"
    """The session follows from the mean, and the mean's parts fit together."""

    PROTOCOL = "protocols"
    """The protocol is one that the policy names."""

    ADVERSARY = "adversary"
    """The protocol, with these parameters, protects from such a server."""

    PARTIES = "parties"
    """All parties are in the roster, and the node is one of them."""

    CLIENTS = "most_clients"
    """There are not too many clients."""

    CONTRIBUTORS = "least_contributors"
    """Every sum has enough contributors, at least two of whom are not corrupt."""

    CORRUPT = "adversarial"
    """The parameters of protocol and committee withstand the corrupt nodes."""

    OPENINGS = "openings"
    """No two exact sums of the same inputs can differ in fewer than two clients that are not corrupt."""

    COORDINATES = "most_coordinates"
    """An update has not too many entries."""

    CLIP = "largest_clip"
    """The bound on an update is not too large."""

    WEIGHTING = "weighting"
    """Clients count as the policy allows."""

    NOISE = "noise"
    """There is noise if and only if the policy wants it, and it can be accounted for."""

    TRUST = "trust"
    """The noise is added by whom the policy allows."""

    CAP = "cap"
    """The node has not yet taken part in as many sessions as it may."""

    REACH = "reach"
    """The sum of the whole cohort, with its noise, fits the modulus."""


class PolicyRefusal(SecaggError):
    """A session that the node's policy does not allow. The server learns that the policy refuses, and no more.

    Args:
        rule: The rule that refuses.
        reason: What was expected and what was found, for the node's log.

    Attributes:
        rule: The rule that refuses.
    """

    def __init__(self, rule: Rule, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePolicy(PolicyFile):
    """The policy of a node; `PolicyFile` lists its fields, and `read` reads it."""

    def corrupt(self, roster: Roster) -> int:
        """Return how many nodes of the roster may be corrupt: the fraction of all, rounded down."""
        return whole_clients(len(roster), self.adversarial, "adversarial")

    def check(self, mean: SecureMean, session: Session, *, roster: Roster, node: int) -> None:
        """Check what the node was offered. Whether its budget has room is for the ledger.

        Args:
            mean: The mean that the offer builds.
            session: The session that the offer builds.
            roster: All identities of the node's home.
            node: The node's own id.

        Raises:
            PolicyRefusal: The policy does not allow it; the error names the rule.
        """
        self.check_size(clients=len(session.clients), shapes=mean.encoding.shapes)
        self._check_derived(mean, session)
        self._check_protocol(mean.protocol, session)
        self._check_parties(session, roster, node)
        self._check_openings(mean, session, roster)
        self._check_parameters(mean.protocol, session, roster)
        self._check_encoding(mean)
        self._check_noise(mean)
        if mean.noise is not None:
            self._cost(mean, session, roster)

    def check_size(self, *, clients: int, shapes: Shapes) -> None:
        """Check the size of what was offered, which is done before anything is built from an offer.

        Args:
            clients: The number of clients.
            shapes: The shapes of an update's arrays.

        Raises:
            PolicyRefusal: There are too many clients or entries.
        """
        if clients > self.most_clients:
            raise PolicyRefusal(Rule.CLIENTS, f"expected at most {self.most_clients}, found {clients}")
        if (coordinates := sum(math.prod(shape) for shape in shapes)) > self.most_coordinates:
            raise PolicyRefusal(Rule.COORDINATES, f"expected at most {self.most_coordinates}, found {coordinates}")

    def check_participations(self, count: int) -> None:
        """Check that the node may take part in one more session with an update of its own.

        Its record of sessions enforces the cap (`protocols.replay`). This check comes before a session costs anything.

        Args:
            count: The number of sessions that count already.

        Raises:
            PolicyRefusal: The cap is reached.
        """
        if self.cap is not None and count >= self.cap:
            raise PolicyRefusal(Rule.CAP, f"expected fewer than {self.cap} sessions that count, found {count}")

    def event(self, mean: SecureMean, session: Session, *, roster: Roster) -> PrivacyEvent | None:
        """Return what the node reserves in its own ledger for this session; None if the policy has no budget.

        Args:
            mean: The mean, which `check` has accepted.
            session: Its session.
            roster: All identities of the node's home.

        Raises:
            PolicyRefusal: There is no noise, or none that can be accounted for.
        """
        return self._cost(mean, session, roster) if self.has_budget else None

    def limits(self) -> Limits:
        """Return the largest number of bytes of each part of a request that the node decodes.

        They follow from the most clients and the most coordinates. A message of a session has a sharper limit of its
        own (`SecureSum.message_limit`), which the session's machine checks.
        """
        length = padded_length(self.most_coordinates + 1)  # A weighted mean has one coordinate more.
        body = limit(length, 2**MAXIMUM_MODULUS_BITS, self.most_clients, MAX_ATTACHED)
        if _has_long_messages(self.protocols):
            body *= _ENCRYPTED_FACTOR * self.most_clients
        work = _WORK_ENTRY_BYTES * self.most_coordinates + _WORK_OVERHEAD_BYTES
        return Limits(work_bytes=work, body_bytes=body)

    def _check_derived(self, mean: SecureMean, session: Session) -> None:
        noise, trust = mean.noise, stated_trust(mean)
        clients, threshold = len(session.clients), session.threshold
        fits = (
            session == mean.session(session.session_id, context=session.context)
            and mean.encoding.clients == clients
            and (noise is None) == (trust is None)
        )
        if isinstance(noise, RemovableSkellam):
            fits &= (noise.clients, noise.tolerance) == (clients, clients - threshold) and trust is Trust.DISTRIBUTED
        if not fits:
            raise PolicyRefusal(Rule.DERIVED, "expected a session that follows from its mean, found another")

    def _check_protocol(self, protocol: SecureSum, session: Session) -> None:
        if protocol.name not in self.protocols:
            raise PolicyRefusal(Rule.PROTOCOL, f"expected one of {', '.join(self.protocols)}, found {protocol.name!r}")
        server = server_withstood(protocol, session)
        if server is None or _strength(server) < _strength(self.adversary):
            found = "no server" if server is None else f"a {server} one"
            raise PolicyRefusal(
                Rule.ADVERSARY,
                f"expected protection from a {self.adversary} server, found {protocol.name} with protection from "
                f"{found}",
            )

    def _check_parties(self, session: Session, roster: Roster, node: int) -> None:
        parties = {*session.clients, *session.committee_members}
        if strangers := len(parties - set(roster)):
            raise PolicyRefusal(Rule.PARTIES, f"expected parties of the roster only, found {strangers} others")
        if node not in parties:
            raise PolicyRefusal(Rule.PARTIES, f"expected a session of node {node}, found one without it")
        if session.threshold < self.least_contributors:
            raise PolicyRefusal(
                Rule.CONTRIBUTORS, f"expected at least {self.least_contributors}, found {session.threshold}"
            )
        corrupt = self.corrupt(roster)
        if session.threshold - corrupt < 2:
            raise PolicyRefusal(
                Rule.CONTRIBUTORS,
                f"expected at least 2 besides {corrupt} nodes that may be corrupt, found {session.threshold} in all",
            )

    def _check_openings(self, mean: SecureMean, session: Session, roster: Roster) -> None:
        """Check that clients' records of openings keep sums apart; with clients' noise, each attempt is paid for."""
        clients, corrupt = len(session.clients), self.corrupt(roster)
        repliers = mean.protocol.least_repliers(session, corrupt)
        if repliers is None or stated_trust(mean) not in (None, Trust.CENTRAL):
            return
        if not are_kept_apart(repliers, clients=clients, corrupt=corrupt):
            raise PolicyRefusal(
                Rule.OPENINGS,
                f"expected sums that at least {(clients + corrupt) // 2 + 1} of {clients} clients open, {corrupt} of "
                f"whom may be corrupt, found sums that {repliers} open: two of them could differ in one client",
            )

    def _check_parameters(self, protocol: SecureSum, session: Session, roster: Roster) -> None:
        """Check that the parameters withstand all corrupt nodes, any of whom the server may invite, also unsigned."""
        server = Adversary.CURIOUS if session.roster is None else Adversary.MALICIOUS
        try:
            if session.committee is not None:
                check_committee(session.committee.key, adversarial=self.adversarial, adversary=server)
            protocol.check_safety(session, min(self.corrupt(roster), len(session.clients)))
        except UnsafeSession as error:
            raise PolicyRefusal(Rule.CORRUPT, str(error)) from None

    def _check_encoding(self, mean: SecureMean) -> None:
        encoding = mean.encoding
        if not encoding.clip_l2 <= self.largest_clip:
            raise PolicyRefusal(Rule.CLIP, f"expected at most {self.largest_clip:g}, found {encoding.clip_l2:g}")
        if encoding.weighting not in self.weighting:
            raise PolicyRefusal(
                Rule.WEIGHTING, f"expected one of {', '.join(self.weighting)}, found {encoding.weighting}"
            )
        noise = mean.noise if stated_trust(mean) is not Trust.CENTRAL else None  # The server adds it after the sum.
        try:
            encoding.check_reach(0 if noise is None else noise.tail_bound(encoding.clients, FAILURE))
        except (EncodingError, DpError) as error:
            raise PolicyRefusal(Rule.REACH, str(error)) from None

    def _check_noise(self, mean: SecureMean) -> None:
        trust = stated_trust(mean)
        if trust is None:
            if self.has_budget:
                raise PolicyRefusal(Rule.NOISE, "expected noise, since the policy has a budget, found none")
            return
        if trust not in self.trust:
            raise PolicyRefusal(
                Rule.TRUST, f"expected noise by one of {', '.join(self.trust) or 'nobody'}, found {trust} noise"
            )

    def _cost(self, mean: SecureMean, session: Session, roster: Roster) -> PrivacyEvent:
        noise, trust = mean.noise, stated_trust(mean)
        if noise is None or trust is None:
            raise PolicyRefusal(Rule.NOISE, "expected noise, since the policy has a budget, found none")
        # Every client knows its own noise. So against a curious client at least that noise does not count.
        corrupt = colluding_clients(len(roster), self.adversarial)
        try:
            return node_event(noise, mean.encoding, trust=trust, contributors=session.threshold, corrupt=corrupt)
        except DpError as error:
            raise PolicyRefusal(Rule.NOISE, str(error)) from None


@lru_cache
def _has_long_messages(protocols: tuple[str, ...]) -> bool:
    """Return whether one message of a protocol may carry from each client something as long as its vector or longer."""
    kinds = loadable()
    return any(kinds[name].message_limit is not SecureSum.message_limit for name in protocols if name in kinds)


def stated_trust(mean: SecureMean) -> Trust | None:
    """Return who adds the noise of a mean; None without noise."""
    return None if mean.target is None else mean.target.trust


def server_withstood(protocol: SecureSum, session: Session) -> Adversary | None:
    """Return the strongest server from which a protocol protects, with its parameters and in this session.

    A protocol has the field `adversary` if its parameters decide. One without it is taken to protect from the weakest
    server that it names. Nothing protects from a malicious server without the clients' identities.

    Returns:
        The server; None if the protocol protects from none.
    """
    named = type(protocol).adversaries
    if not named:
        return None
    chosen = getattr(protocol, "adversary", named[0])
    if chosen not in named or (chosen is Adversary.MALICIOUS and session.roster is None):
        return None
    return Adversary(chosen)


def _strength(server: Adversary) -> int:
    return list(Adversary).index(server)
