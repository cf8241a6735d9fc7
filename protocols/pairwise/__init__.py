"""Pairwise masking: SecAgg on the complete graph, SecAgg+ on a regular one; the graph is the only difference.

Sources: Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017
(ia.cr/2017/281), figure 4 without its signatures and consistency check; Bell et al., Secure Single-Server
Aggregation with (Poly)Logarithmic Overhead, CCS 2020 (ia.cr/2020/704), algorithm 2.

Adversary: an honest-but-curious server together with fewer clients than would meet the share threshold in any
neighbourhood.  A server that lies about keys or about who dropped is not yet defended against; what a client can
check for itself without identities, it checks.

Departures from the papers:
- A client is a holder of its own shares too, in both variants, so a holder set is a closed neighbourhood.
- The seed of the self-mask is committed to by a hash beside its shares, and a rebuilt masking key is compared with
  the advertised one, so damaged shares end in an error, never in a wrong sum.
- The server leaves out, before anyone masks, each client whose secrets could no longer be rebuilt because too few
  of its neighbours are left.
- The survivor set reaches each client whole, so that it can count the cohort itself.
- The graph's seed is the session's digest, which is known before the keys: enough against a server that does not
  choose the session's parameters to its liking, and no more.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

from protocols.crypto import graph
from protocols.crypto.density import whole_clients
from protocols.errors import ParameterError
from protocols.machine import Round, SecureSum
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.messages import (
    AdvertisedKeys,
    DeliveredShares,
    Invitation,
    MaskedInput,
    NeighbourKeys,
    RevealedShares,
    SealedShares,
    Survivors,
)
from protocols.pairwise.server import PairwiseServer
from protocols.session import Entropy, Session, Vector, check_cohort

ROUNDS: Final = (
    Round("advertise_keys", Invitation, PairwiseClient.advertise_keys,
          AdvertisedKeys, PairwiseServer.take_keys, PairwiseServer.close_keys),
    Round("share_keys", NeighbourKeys, PairwiseClient.share_keys,
          SealedShares, PairwiseServer.take_shares, PairwiseServer.close_shares),
    Round("mask_input", DeliveredShares, PairwiseClient.mask_input,
          MaskedInput, PairwiseServer.take_masked_input, PairwiseServer.close_masked_inputs),
    Round("reveal_shares", Survivors, PairwiseClient.reveal_shares,
          RevealedShares, PairwiseServer.take_revealed_shares, PairwiseServer.finish),
)  # fmt: skip


class PairwiseMasking(SecureSum):
    """What SecAgg and SecAgg+ have in common: everything but the graph."""

    rounds = ROUNDS

    @abstractmethod
    def degree(self, session: Session) -> int:
        """How many neighbours each client has."""

    @abstractmethod
    def holders_needed(self, session: Session) -> int:
        """How many share-holders, out of the degree plus one, rebuild a client's secret."""

    def neighbours_of(self, session: Session, client: int) -> frozenset[int]:
        """A client's neighbours in the session's graph, which every party computes for itself."""
        circle = _circle(self.digest(session), session.clients)
        return frozenset(graph.neighbourhood(circle, client, self.degree(session)))

    def graph(self, session: Session) -> dict[int, frozenset[int]]:
        """Everyone's neighbours."""
        circle = _circle(self.digest(session), session.clients)
        return {c: frozenset(near) for c, near in graph.neighbourhoods(circle, self.degree(session)).items()}

    def validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        if session.modulus & (session.modulus - 1):
            raise ParameterError(f"{self.name} needs a modulus that is a power of two, not {session.modulus}")
        degree, needed = self.degree(session), self.holders_needed(session)
        if degree >= len(session.clients):
            raise ParameterError(f"{degree} neighbours each, where {len(session.clients) - 1} others are there")
        if degree % 2 and degree != len(session.clients) - 1:
            raise ParameterError(f"the number of neighbours must be even or complete, not {degree}")
        if not 2 <= needed <= degree + 1:
            raise ParameterError(f"the share threshold must lie in [2, {degree + 1}], not {needed}")

    def client_party(self, session: Session, client: int, vector: Vector, entropy: Entropy) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return PairwiseClient(
            session,
            digest=self.digest(session),
            neighbourhood=self.neighbours_of(session, client),
            holders_needed=self.holders_needed(session),
            client=client,
            vector=vector,
            entropy=entropy,
        )

    def server_party(self, session: Session) -> PairwiseServer:
        """See `SecureSum.server_party`."""
        return PairwiseServer(
            session,
            digest=self.digest(session),
            neighbours=self.graph(session),
            holders_needed=self.holders_needed(session),
        )


@dataclass(frozen=True)
class SecAgg(PairwiseMasking):
    """Pairwise masking on the complete graph (Bonawitz et al. 2017); the share threshold is the session's."""

    name: ClassVar[str] = "secagg"

    @classmethod
    def suggest(cls, *, clients: int, adversarial: float, dropout: float) -> tuple["SecAgg", int]:
        """See `SecureSum.suggest`: the threshold is a majority, and more than the adversarial clients."""
        check_cohort(clients, adversarial, dropout)
        corrupt = whole_clients(clients, adversarial, "adversarial")
        threshold = max(clients // 2, corrupt) + 1
        if threshold > clients - whole_clients(clients, dropout, "dropout"):
            raise ParameterError(
                f"SecAgg with {clients} clients needs {threshold} survivors; a dropout fraction of "
                f"{1 - threshold / clients:.3g} at most, or fewer adversarial clients, would do"
            )
        return cls(), threshold

    def degree(self, session: Session) -> int:
        """Everyone else."""
        return len(session.clients) - 1

    def holders_needed(self, session: Session) -> int:
        """The session's threshold."""
        return session.threshold


@dataclass(frozen=True)
class SecAggPlus(PairwiseMasking):
    """Pairwise masking on a Harary graph (Bell et al. 2020).

    Choose its parameters with `suggest`: a session with a lower threshold than the one suggested, or a sparser graph,
    does not have the security that the fractions stand for.

    Attributes:
        neighbours: Degree of the graph, even, or everyone else.
        share_threshold: How many of the degree + 1 share-holders of a client rebuild its secret.
    """

    neighbours: int
    share_threshold: int

    name: ClassVar[str] = "secagg-plus"

    def __post_init__(self) -> None:
        if type(self.neighbours) is not int or type(self.share_threshold) is not int:
            raise ParameterError("neighbours and share_threshold must be ints")

    @classmethod
    def suggest(cls, *, clients: int, adversarial: float, dropout: float) -> tuple["SecAggPlus", int]:
        """See `SecureSum.suggest`: degree and share threshold by `graph.find_parameters`.

        The session's threshold is all that the dropout leaves: with fewer survivors the graph, sized for these two
        fractions, may fall apart, and a curious server would learn the sum of each part.
        """
        check_cohort(clients, adversarial, dropout)
        found = graph.find_parameters(clients=clients, adversarial=adversarial, dropout=dropout, adversary="curious")
        threshold = clients - whole_clients(clients, dropout, "dropout")
        return cls(neighbours=found.degree, share_threshold=found.threshold), max(2, threshold)

    def degree(self, session: Session) -> int:  # noqa: ARG002  # the interface asks for it
        """The same for every session."""
        return self.neighbours

    def holders_needed(self, session: Session) -> int:  # noqa: ARG002  # the interface asks for it
        """The same for every session."""
        return self.share_threshold


@lru_cache(maxsize=8)
def _circle(seed: bytes, clients: tuple[int, ...]) -> tuple[int, ...]:
    return graph.order(seed, clients)
