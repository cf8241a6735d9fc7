"""Pairwise masking: SecAgg on the complete graph, SecAgg+ on a regular one; the graph is the only difference.

Sources: Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017
(ia.cr/2017/281), figure 4; Bell et al., Secure Single-Server Aggregation with (Poly)Logarithmic Overhead, CCS 2020
(ia.cr/2020/704), algorithm 2 for the sparse graph.

Adversary `CURIOUS`: a server that follows the protocol and colludes with clients, as long as fewer colluding clients
than the share threshold are among the share-holders of any one honest client. Adversary `MALICIOUS`: a server that may
do anything, together with a stated fraction of the clients. Then keys and shares are signed under identities that each
client has pinned, and a step of confirmations comes before anything is revealed (the underlined parts of figure 4).
The argument for the sparse graph against such a server is our own, in docs/graph.md.

Departures from the papers:
- In both variants a client also holds shares of its own secrets, so a set of share-holders is a closed neighbourhood.
- Every shared secret has a commitment, and every secret share has a fingerprint. Both are hashes, signed with the
  bundle and bound into its encryption. So forged shares, and bundles of shares that do not belong together, are
  detected and attributed. A share that cannot be decrypted does not stop the step while enough other shares are left
  to reach the share threshold.
- The graph is seeded by a hash of the session and of the whole key directory, which every client receives as a list of
  hashes. All survivors confirm who has shared, together with who survives.
- Before anyone masks, the server leaves out each client whose secrets could no longer be rebuilt because too few of its
  neighbours are left.
- A client may attach further secrets to the shares. A rule of the session says which of them are opened.
- With `headroom`, several entries may share one word of a mask (`protocols.lanes`).
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

from protocols.codec import Invitation
from protocols.cohort import Adversary, check_cohort, whole_clients
from protocols.crypto.integers import shown
from protocols.errors import ParameterError, UnsafeSession
from protocols.lanes import Lanes
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
          MaskedInput, PairwiseServer.take_masked_input, PairwiseServer.close_masked_inputs,
          sends_vector=True, streams=PairwiseClient.stream_input),
)  # fmt: skip

CURIOUS_STEPS: Final = (
    *_MASKING,
    Step("reveal_shares", Survivors, PairwiseClient.reveal_shares,
          RevealedShares, PairwiseServer.take_revealed_shares, PairwiseServer.finish,
          reveals=PairwiseClient.contributors),
)  # fmt: skip

MALICIOUS_STEPS: Final = (
    *_MASKING,
    Step("confirm_survivors", Survivors, PairwiseClient.confirm_survivors,
          Confirmation, PairwiseServer.take_confirmation, PairwiseServer.close_confirmations),
    Step("reveal_shares", Confirmations, PairwiseClient.reveal_confirmed_shares,
          RevealedShares, PairwiseServer.take_revealed_shares, PairwiseServer.finish,
          reveals=PairwiseClient.contributors),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PairwiseMasking(SecureSum):
    """The common part of SecAgg and SecAgg+: everything but the graph.

    Attributes:
        adversary: `CURIOUS` or `MALICIOUS`; the second needs a session with a roster.
        headroom: Whether the caller vouches that every sum of contributors' entries, as integers in [-m/2, m/2), lies
            in that range too, for the modulus m, as encodings ensure. Masks are then shorter for some moduli. If a sum
            leaves this range, it is wrong, and so are sums next to it.
    """

    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS, Adversary.MALICIOUS)
    accepts: ClassVar[frozenset[Extra]] = frozenset((Extra.ROSTER, Extra.ATTACHED))

    adversary: Adversary = Adversary.CURIOUS
    headroom: bool = False

    def __post_init__(self) -> None:
        if self.adversary not in self.adversaries:
            raise ParameterError(f"adversary: expected CURIOUS or MALICIOUS, found {shown(self.adversary)}")
        object.__setattr__(self, "adversary", Adversary(self.adversary))  # Its name as a string is accepted too.
        if type(self.headroom) is not bool:
            raise ParameterError(f"headroom: expected a bool, found {shown(self.headroom)}")

    @property
    def steps(self) -> tuple[Step[Any, Any, Any, Any], ...]:
        """See `SecureSum.steps`. There is one more step against a malicious server."""
        return MALICIOUS_STEPS if self.adversary is Adversary.MALICIOUS else CURIOUS_STEPS

    def with_headroom(self) -> Self:
        """See `SecureSum.with_headroom`."""
        return replace(self, headroom=True)

    def lanes(self, session: Session) -> Lanes:
        """Return the words in which a session's vectors are masked and added."""
        return Lanes(length=session.length, modulus=session.modulus, headroom=self.headroom)

    @abstractmethod
    def degree(self, session: Session) -> int:
        """Return how many neighbours each client has."""

    @abstractmethod
    def holders_needed(self, session: Session) -> int:
        """Return how many of a client's degree + 1 share-holders can rebuild its secret."""

    def _validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        if session.modulus & (session.modulus - 1):
            raise ParameterError(f"modulus: expected a power of two for {self.name}, found {session.modulus}")
        degree, needed, clients = self.degree(session), self.holders_needed(session), len(session.clients)
        if degree >= clients:
            raise ParameterError(
                f"neighbours: expected at most {clients - 1} for {clients} clients, found {shown(degree)}"
            )
        if degree % 2 and degree != clients - 1:
            raise ParameterError(
                f"neighbours: expected an even number or all {clients - 1} others, found {shown(degree)}"
            )
        if not 2 <= needed <= degree + 1:
            raise ParameterError(
                f"share threshold: expected a value in [2, {shown(degree + 1)}], found {shown(needed)}"
            )
        if self.adversary is Adversary.CURIOUS:
            if session.roster is not None:
                raise ParameterError(
                    "roster: expected none, since a roster applies only to a MALICIOUS server, found one"
                )
            return
        if session.roster is None:
            raise ParameterError("roster: expected the clients' identities against a MALICIOUS server, found none")
        if 2 * needed <= degree + 1 or 2 * session.threshold <= clients:
            raise ParameterError(
                f"thresholds: expected majorities against a MALICIOUS server, found {session.threshold} of {clients} "
                f"clients and {needed} of {degree + 1} share-holders"
            )

    def least_repliers(self, session: Session, corrupt: int) -> int:
        """See `SecureSum.least_repliers`. A malicious server needs enough holders of each honest contributor's shares.

        It knows the secrets of corrupt contributors without any reply.
        """
        if self.adversary is Adversary.CURIOUS:
            return session.threshold
        needed, holders = self.holders_needed(session), self.degree(session) + 1
        return max(needed, -(-max(session.threshold - corrupt, 0) * needed // holders))

    def check_safety(self, session: Session, corrupt: int) -> None:
        """See `SecureSum.check_safety`. The thresholds are checked against `corrupt` corrupt clients.

        Against a curious server this is the share threshold, and the graph for the most dropouts. A malicious server
        chooses who has dropped out, so the session's threshold counts in place of the graph.
        """
        clients, degree = len(session.clients), self.degree(session)
        if corrupt > clients - 2:
            raise UnsafeSession(
                f"corrupt clients: expected at most {clients - 2} of {clients}, found {corrupt}. They could compute "
                "the only honest input from the sum."
            )
        if self.adversary is Adversary.MALICIOUS and 2 * session.threshold <= clients + corrupt:
            raise UnsafeSession(
                f"threshold: expected at least {(clients + corrupt) // 2 + 1} for {clients} clients, "
                f"{corrupt} of them corrupt, found {session.threshold}. The server could show them two survivor sets."
            )
        try:
            least = self._least_threshold(session, corrupt)
        except parameters.InfeasibleParameters as error:
            raise UnsafeSession(str(error)) from None
        if self.holders_needed(session) < least:
            raise UnsafeSession(
                f"share threshold: expected at least {least} for {degree} neighbours, with {corrupt} of {clients} "
                f"clients corrupt, found {self.holders_needed(session)}"
            )

    def _least_threshold(self, session: Session, corrupt: int) -> int:
        """Return the least share threshold that is safe on this session's graph."""
        clients, degree = len(session.clients), self.degree(session)
        if self.adversary is Adversary.MALICIOUS:
            return parameters.least_threshold(clients=clients, adversarial=corrupt / clients, degree=degree)
        dropped = clients - session.threshold
        return parameters.least_curious_threshold(clients=clients, corrupt=corrupt, dropped=dropped, degree=degree)

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
            lanes=self.lanes(session),
        )


@dataclass(frozen=True, kw_only=True)
class SecAgg(PairwiseMasking):
    """Pairwise masking on the complete graph (Bonawitz et al. 2017); the share threshold is the session's."""

    name: ClassVar[str] = "secagg"
    wire: ClassVar[int] = 1

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["SecAgg", int]:
        """See `SecureSum.suggest`.

        The threshold is a majority of the clients, and more than the adversarial ones. Against a malicious server, each
        adversarial client may sign two survivor sets, so it counts twice in the majority.
        """
        check_cohort(clients, adversarial, dropout)
        corrupt, dropped = (
            whole_clients(clients, fraction, name)
            for fraction, name in ((adversarial, "adversarial"), (dropout, "dropout"))
        )
        if corrupt > clients - 2:
            raise ParameterError(
                f"adversarial clients: expected at most {clients - 2} of {clients}, found {corrupt}. They could "
                "compute the only honest input from the sum."
            )
        enough = max(clients // 2, corrupt) if adversary == Adversary.CURIOUS else (clients + corrupt) // 2
        if enough + 1 > clients - dropped:
            raise ParameterError(
                f"survivors: expected at least {enough + 1} for SecAgg with {clients} clients, {corrupt} of them "
                f"adversarial, found {clients - dropped}. Lower the dropout fraction to at most "
                f"{math.floor(1000 * (clients - enough - 1) / clients) / 1000:g}; or assume fewer adversarial clients, "
                "which protects from fewer."
            )
        return cls(adversary=adversary), enough + 1

    def degree(self, session: Session) -> int:
        """Return the number of all other clients."""
        return len(session.clients) - 1

    def holders_needed(self, session: Session) -> int:
        """Return the session's threshold."""
        return session.threshold


@dataclass(frozen=True, kw_only=True)
class SecAggPlus(PairwiseMasking):
    """Pairwise masking on a Harary graph (Bell et al. 2020).

    Choose its parameters with `suggest`. If a session has a lower threshold than the suggested one, or a sparser graph,
    its security does not hold for the given fractions.

    Attributes:
        neighbours: Degree of the graph: even, or the number of all other clients.
        share_threshold: How many of a client's degree + 1 share-holders can rebuild its secret.
        adversary: `CURIOUS` or `MALICIOUS`; the second needs a session with a roster.
        headroom: See `PairwiseMasking`.
    """

    neighbours: int
    share_threshold: int

    name: ClassVar[str] = "secagg-plus"
    wire: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.neighbours) is not int or type(self.share_threshold) is not int:
            raise ParameterError("neighbours, share_threshold: expected ints, found another type")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["SecAggPlus", int]:
        """See `SecureSum.suggest`: degree and share threshold by `graph.find_parameters`.

        The session's threshold is the number of clients that remain after the largest dropout, and at least 2. The
        graph is sized for these two fractions, so with fewer survivors it may fall apart. A curious server would then
        learn the sum of each part. A lower threshold would also let a malicious server show clients two survivor sets.
        """
        check_cohort(clients, adversarial, dropout)
        found = graph.find_parameters(clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary)
        threshold = max(2, clients - whole_clients(clients, dropout, "dropout"))
        return cls(neighbours=found.degree, share_threshold=found.threshold, adversary=adversary), threshold

    def degree(self, session: Session) -> int:  # noqa: ARG002  # The interface asks for it.
        """Return the same number for every session."""
        return self.neighbours

    def holders_needed(self, session: Session) -> int:  # noqa: ARG002  # The interface asks for it.
        """Return the same number for every session."""
        return self.share_threshold
