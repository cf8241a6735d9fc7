"""Pairwise masking: SecAgg on the complete graph, SecAgg+ on a regular one; the graph is the only difference.

Sources: Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017
(ia.cr/2017/281), figure 4; Bell et al., Secure Single-Server Aggregation with (Poly)Logarithmic Overhead, CCS 2020
(ia.cr/2020/704), algorithm 2 for the sparse graph.

Adversary `CURIOUS`: a server that follows the protocol, together with fewer clients than would meet the share
threshold in any neighbourhood.  Adversary `MALICIOUS`: a server that does anything, together with a stated fraction
of the clients.  Then keys and shares are signed under identities that each client has pinned, and a step of
confirmations comes before anything is revealed (the underlined parts of figure 4).  The argument for the sparse graph
against such a server is our own, in docs/graph.md.

Departures from the papers:
- A client is a holder of its own shares too, in both variants, so a holder set is a closed neighbourhood.
- Every secret that is shared is committed to, and every share has a fingerprint (both hashes, signed with the bundle
  and bound into its encryption).  So a forged share, and a bundle of shares that do not belong together, are found
  and attributed, and a share that does not open costs the step nothing as long as enough others do.
- The graph is seeded by a hash of the session and of the whole key directory, which every client is shown as a list
  of hashes; who has shared is confirmed by all survivors together with who survives.
- The server leaves out, before anyone masks, each client whose secrets could no longer be rebuilt because too few
  of its neighbours are left.
- A client may attach further secrets to the shares; a rule of the session says which are opened.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from protocols.codec import Invitation
from protocols.cohort import Adversary, check_cohort, whole_clients
from protocols.crypto.integers import shown
from protocols.errors import ParameterError, UnsafeSession
from protocols.pairwise import graph, parameters
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.derived import Derived
from protocols.pairwise.messages import (
    AdvertisedKeys,
    Confirmation,
    Confirmations,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    RevealedShares,
    SealedShares,
    Survivors,
)
from protocols.pairwise.server import PairwiseServer
from protocols.secure_sum import SecureSum, Step
from protocols.session import Extra, Participant, Session

_MASKING: Final = (
    Step("advertise_keys", Invitation, PairwiseClient.advertise_keys,
          AdvertisedKeys, PairwiseServer.take_keys, PairwiseServer.close_keys),
    Step("share_keys", KeyDirectory, PairwiseClient.share_keys,
          SealedShares, PairwiseServer.take_shares, PairwiseServer.close_shares),
    Step("mask_input", DeliveredShares, PairwiseClient.mask_input,
          MaskedInput, PairwiseServer.take_masked_input, PairwiseServer.close_masked_inputs),
)  # fmt: skip

CURIOUS_STEPS: Final = (
    *_MASKING,
    Step("reveal_shares", Survivors, PairwiseClient.reveal_shares,
          RevealedShares, PairwiseServer.take_revealed_shares, PairwiseServer.finish),
)  # fmt: skip

MALICIOUS_STEPS: Final = (
    *_MASKING,
    Step("confirm_survivors", Survivors, PairwiseClient.confirm_survivors,
          Confirmation, PairwiseServer.take_confirmation, PairwiseServer.close_confirmations),
    Step("reveal_shares", Confirmations, PairwiseClient.reveal_confirmed_shares,
          RevealedShares, PairwiseServer.take_revealed_shares, PairwiseServer.finish),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PairwiseMasking(SecureSum):
    """What SecAgg and SecAgg+ have in common: everything but the graph.

    Attributes:
        adversary: `CURIOUS` or `MALICIOUS`; the second needs a session with a roster.
    """

    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS, Adversary.MALICIOUS)
    accepts: ClassVar[frozenset[Extra]] = frozenset((Extra.ROSTER, Extra.ATTACHED))

    adversary: Adversary = Adversary.CURIOUS

    def __post_init__(self) -> None:
        if self.adversary not in self.adversaries:
            raise ParameterError(f"the adversary must be CURIOUS or MALICIOUS, not {shown(self.adversary)}")
        object.__setattr__(self, "adversary", Adversary(self.adversary))  # its name as a string will do too

    @property
    def steps(self) -> tuple[Step[Any, Any, Any, Any], ...]:
        """See `SecureSum.steps`: one more against a malicious server."""
        return MALICIOUS_STEPS if self.adversary is Adversary.MALICIOUS else CURIOUS_STEPS

    @abstractmethod
    def degree(self, session: Session) -> int:
        """How many neighbours each client has."""

    @abstractmethod
    def holders_needed(self, session: Session) -> int:
        """How many share-holders, out of the degree plus one, rebuild a client's secret."""

    def _validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        if session.modulus & (session.modulus - 1):
            raise ParameterError(f"{self.name} needs a modulus that is a power of two, not {session.modulus}")
        degree, needed, clients = self.degree(session), self.holders_needed(session), len(session.clients)
        if degree >= clients:
            raise ParameterError(f"{shown(degree)} neighbours each, where {clients - 1} others are there")
        if degree % 2 and degree != clients - 1:
            raise ParameterError(f"the number of neighbours must be even or complete, not {shown(degree)}")
        if not 2 <= needed <= degree + 1:
            raise ParameterError(f"the share threshold must lie in [2, {shown(degree + 1)}], not {shown(needed)}")
        if self.adversary is Adversary.CURIOUS:
            if session.roster is not None:
                raise ParameterError("the session has a roster, which is of use against a MALICIOUS server only")
            return
        if session.roster is None:
            raise ParameterError("against a MALICIOUS server the session needs a roster of its clients' identities")
        if 2 * needed <= degree + 1 or 2 * session.threshold <= clients:
            raise ParameterError(
                f"thresholds of {session.threshold} among {clients} clients and of {needed} among {degree + 1} "
                "share-holders must both be majorities against a MALICIOUS server"
            )

    def check_safety(self, session: Session, corrupt: int) -> None:
        """See `SecureSum.check_safety`: both thresholds, against so many corrupt clients."""
        clients, degree = len(session.clients), self.degree(session)
        if corrupt > clients - 2:
            raise UnsafeSession(f"{corrupt} of {clients} clients may be corrupt: a sum hides nothing from them")
        if 2 * session.threshold <= clients + corrupt:
            raise UnsafeSession(
                f"a threshold of {session.threshold} is too low for {clients} clients, {corrupt} of them corrupt: the "
                f"server could show them two survivor sets; {(clients + corrupt) // 2 + 1} would do"
            )
        try:
            least = parameters.least_threshold(clients=clients, adversarial=corrupt / clients, degree=degree)
        except parameters.InfeasibleParameters as error:
            raise UnsafeSession(str(error)) from None
        if self.holders_needed(session) < least:
            raise UnsafeSession(
                f"a share threshold of {self.holders_needed(session)} is too low for {degree} neighbours with "
                f"{corrupt} of {clients} clients corrupt; {least} would do"
            )

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return PairwiseClient(self._derived(session), participant)

    def server_party(self, session: Session) -> PairwiseServer:
        """See `SecureSum.server_party`."""
        return PairwiseServer(self._derived(session))

    def _derived(self, session: Session) -> Derived:
        return Derived(
            session=session,
            digest=self.digest(session),
            degree=self.degree(session),
            threshold=self.holders_needed(session),
        )


@dataclass(frozen=True, kw_only=True)
class SecAgg(PairwiseMasking):
    """Pairwise masking on the complete graph (Bonawitz et al. 2017); the share threshold is the session's."""

    name: ClassVar[str] = "secagg"

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["SecAgg", int]:
        """See `SecureSum.suggest`.

        The threshold is a majority, and more than the adversarial clients; against a malicious server it is a
        majority of all clients and the adversarial ones once more, who may sign two survivor sets.
        """
        check_cohort(clients, adversarial, dropout)
        corrupt, dropped = (
            whole_clients(clients, fraction, name)
            for fraction, name in ((adversarial, "adversarial"), (dropout, "dropout"))
        )
        if corrupt > clients - 2:
            raise ParameterError(f"with {corrupt} of {clients} clients adversarial a sum hides nothing from them")
        enough = max(clients // 2, corrupt) if adversary == Adversary.CURIOUS else (clients + corrupt) // 2
        if enough + 1 > clients - dropped:
            raise ParameterError(
                f"SecAgg with {clients} clients, {corrupt} of them adversarial, needs {enough + 1} survivors: a "
                f"dropout fraction of at most {math.floor(1000 * (clients - enough - 1) / clients) / 1000:g}, or fewer "
                "adversarial clients, would do"
            )
        return cls(adversary=adversary), enough + 1

    def degree(self, session: Session) -> int:
        """Everyone else."""
        return len(session.clients) - 1

    def holders_needed(self, session: Session) -> int:
        """The session's threshold."""
        return session.threshold


@dataclass(frozen=True, kw_only=True)
class SecAggPlus(PairwiseMasking):
    """Pairwise masking on a Harary graph (Bell et al. 2020).

    Choose its parameters with `suggest`: a session with a lower threshold than the one suggested, or a sparser graph,
    does not have the security that the fractions stand for.

    Attributes:
        neighbours: Degree of the graph, even, or everyone else.
        share_threshold: How many of the degree + 1 share-holders of a client rebuild its secret.
        adversary: `CURIOUS` or `MALICIOUS`; the second needs a session with a roster.
    """

    neighbours: int
    share_threshold: int

    name: ClassVar[str] = "secagg-plus"

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.neighbours) is not int or type(self.share_threshold) is not int:
            raise ParameterError("neighbours and share_threshold must be ints")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["SecAggPlus", int]:
        """See `SecureSum.suggest`: degree and share threshold by `graph.find_parameters`.

        The session's threshold is all that the dropout leaves.  Against a curious server: with fewer survivors the
        graph, sized for these two fractions, may fall apart, and the server would learn the sum of each part.
        Against a malicious one: a lower one would let it show clients two survivor sets.
        """
        check_cohort(clients, adversarial, dropout)
        found = graph.find_parameters(clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary)
        threshold = max(2, clients - whole_clients(clients, dropout, "dropout"))
        return cls(neighbours=found.degree, share_threshold=found.threshold, adversary=adversary), threshold

    def degree(self, session: Session) -> int:  # noqa: ARG002  # the interface asks for it
        """The same for every session."""
        return self.neighbours

    def holders_needed(self, session: Session) -> int:  # noqa: ARG002  # the interface asks for it
        """The same for every session."""
        return self.share_threshold
