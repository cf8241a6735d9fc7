"""How dense the graph of neighbours must be, and how many of them must meet to rebuild a client's secret.

Source: Bell, Bonawitz, Gascon, Lepoint, Raykova, Secure Single-Server Aggregation with (Poly)Logarithmic Overhead,
CCS 2020 (ia.cr/2020/704); probabilities, rounding and figures as in the authors' own parameter finder
(google-parfait/federated-compute, fcp/secagg/server/graph_parameter_finder.cc at de83f70).  The argument, with its
proofs, is in docs/graph.md.

Adversary: as in `protocols.pairwise.graph`; corrupt clients and dropouts do not depend on the order of the circle.  Of
the class `Adversary.MALICIOUS`, which is not the authors' but ours, only the corrupt clients do not: the server may
choose who is declared dropped when it knows the order, and may try many orders.

Departures from the authors' finder:
- Where no degree below `clients - 1` will do, the answer is the complete graph, whose bounds hold with certainty.
  Nothing else is refused: their finder stops at adversarial + dropout (semi-malicious: + 2 dropout) of 0.9.
- The search jumps instead of trying every degree, and still finds the least one.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from protocols.cohort import Adversary, whole_clients
from protocols.crypto.integers import shown
from protocols.errors import ParameterError
from protocols.pairwise.hypergeometric import LOG_ROUNDING, log_choose, upper_quantile

SECURITY_BITS: Final = 40
CORRECTNESS_BITS: Final = 20
GRINDING_BITS: Final = 60
"""A malicious server may try 2^60 orders of the circle before it fixes the directory of keys, and no more."""


class InfeasibleParameters(ParameterError):
    """No graph and no threshold are both safe and likely to succeed for these clients and fractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A degree and a threshold that fit a number of clients.

    Attributes:
        clients: Size of the cohort, n.
        adversary: The class that the threshold withstands.
        degree: Neighbours of each client, itself not counted; even, or `clients - 1` for the complete graph.
        threshold: Shares that rebuild a client's secret, at least 2.  A threshold for shares dealt to the
            neighbours; who deals to itself as well takes `threshold_with_own_share`.  Against a malicious server
            the two are the same, for shares dealt to the neighbours and to oneself.
        corrupt_neighbours: No honest client has more corrupt neighbours than this, but for 2^-41; against a
            malicious server, but for 2^-40 in all the orders that it may try.
        surviving_neighbours: No client has fewer surviving neighbours than this, but for 2^-20.
    """

    clients: int
    adversary: Adversary
    degree: int
    threshold: int
    corrupt_neighbours: int
    surviving_neighbours: int

    @property
    def threshold_with_own_share(self) -> int:
        """The least threshold that is safe when each client holds a share of its own secrets too.

        There are then `degree + 1` holders.  Against a curious server it is `threshold`: the extra holder of an
        honest client's share is honest, so the adversary gains none.  A semi-malicious server may get the owner's
        own share of the self-mask on top of what it gets elsewhere, so 2 * threshold must exceed
        `degree + 1 + corrupt_neighbours`, and this is `threshold` or one more.  Against a malicious server it is
        `threshold`, which counts the own share already.

        A client that stays to the end gains its own share, and so meets the raised threshold whenever it had met
        `threshold`.  One that has left does not.  On the complete graph the raised threshold is met all the same;
        on a sparser one event 3 of `find_parameters` no longer bounds the chance that the secrets of one that has
        left are lost, which was below 2^-20 wherever computed (docs/graph.md).
        """
        match self.adversary:
            case Adversary.CURIOUS | Adversary.MALICIOUS:
                return self.threshold
            case Adversary.SEMI_MALICIOUS:
                return (self.degree + 1 + self.corrupt_neighbours) // 2 + 1


def find_parameters(
    *,
    clients: int,
    adversarial: float,
    dropout: float,
    adversary: Adversary | Literal["curious", "semi-malicious", "malicious"],
) -> Parameters:
    """The least degree, and the least threshold for it, for security 2^-40 and failure 2^-20 (see docs/graph.md).

    With n clients, of whom K = floor(n * adversarial) are corrupt and D = floor(n * dropout) drop out, three events
    are bounded over the random order:

    1. Privacy, 2^-41: without the K + D the graph falls apart.  Two gaps of degree / 2 in a row would have to lie
       among them; a union bound over the n (n - degree - 1) / 2 pairs of gaps, each with probability
       C(K + D, degree) / C(n, degree).
    2. Privacy, 2^-41: some honest client has more than `corrupt_neighbours` corrupt ones.  A union bound over n
       clients, each with the tail of Hypergeometric(n, K, degree).  The population is n and not n - 1 because the
       sum over all clients of their exact tails is n times just that.
    3. Failure, 2^-20: some client has fewer than `surviving_neighbours` who stay, in the same way with D.

    The threshold is then the least one that the adversary cannot meet: against a curious server, which may get the
    shares of one secret from the corrupt, threshold > corrupt_neighbours; against a semi-malicious one, which may
    ask each honest neighbour for a share of either secret and the corrupt for both, 2 * threshold > degree +
    corrupt_neighbours.  It is not above `surviving_neighbours`, with one exception: where no client is corrupt a
    threshold of 1 would do, and 2, the least that keeps a secret from each holder, is taken although a client may
    have but one surviving neighbour.  That happens only for degree > D, and then never fails if each client also
    holds a share of its own: who stays has one neighbour left and itself, who leaves has two neighbours left.

    Against a malicious server event 1 is of no use, since the server chooses who is declared dropped, and is not
    asked for.  Event 2 is bounded at 2^-100 for one order, so at 2^-40 for the 2^60 orders that it may try.  The
    threshold is degree / 2 + 2 + `corrupt_neighbours`, of degree + 1 shares: the honest clients around one whose
    self-mask is opened then lie on both sides of it, which leaves no sum to learn but that of all honest survivors.
    On the complete graph it is a majority of n + K, as it is for the clients who must agree on the survivors.  All
    this holds for a protocol that does what docs/graph.md asks for under "A malicious server".

    Apart from that exception, and from thresholds against a malicious server, a client does not count itself, neither
    among its neighbours nor among the holders of its shares.  Who deals a share to the client itself uses
    `Parameters.threshold_with_own_share`.

    Args:
        clients: In [2, 1,000,000].
        adversarial: Fraction of corrupt clients in [0, 1); fractions of a client are dropped, so 0.05 of 10 is none.
        dropout: Fraction that leaves before the end in [0, 1), rounded likewise; corrupt clients may be among them.
        adversary: Class of the server.

    Raises:
        ParameterError: An argument of the wrong type or out of its range.
        InfeasibleParameters: Not even the complete graph will do; the message says what would.
    """
    corrupt, dropped = whole_clients(clients, adversarial, "adversarial"), whole_clients(clients, dropout, "dropout")
    adversary = _known(adversary)
    if adversary is Adversary.MALICIOUS:
        degree = min(2, clients - 1)
    else:
        degree = _least_connected_degree(clients, corrupt + dropped)
    while degree < clients - 1:
        most_corrupt = _most_corrupt(clients, corrupt, degree, adversary)
        most_dropped = _most_dropped(clients, dropped, degree)
        needed = _least_degree(adversary, most_corrupt, most_dropped)
        if needed <= degree:
            return _parameters(clients, degree, adversary, most_corrupt, most_dropped)
        degree = needed + needed % 2
    if not _complete_will_do(clients, corrupt, dropped, adversary):
        raise InfeasibleParameters(_explain(clients, corrupt, dropped, adversary))
    return _parameters(clients, clients - 1, adversary, corrupt, dropped)


def corrupt_neighbours(
    *,
    clients: int,
    adversarial: float,
    degree: int,
    adversary: Adversary | Literal["curious", "semi-malicious", "malicious"],
) -> int:
    """How many corrupt neighbours an honest client may have: event 2 of `find_parameters` for a degree at hand.

    Args:
        clients: In [2, 1,000,000].
        adversarial: Fraction of corrupt clients in [0, 1), rounded down to whole clients.
        degree: Even and in [2, clients - 2], or `clients - 1` for the complete graph.
        adversary: Class of the server.

    Returns:
        The bound that `find_parameters` gives for this degree; on the complete graph all corrupt clients.

    Raises:
        ParameterError: An argument of the wrong type or out of its range, or a degree that no such graph has.
    """
    corrupt = whole_clients(clients, adversarial, "adversarial")
    if type(degree) is not int or not 1 <= degree < clients or (degree % 2 and degree != clients - 1):
        raise ParameterError(
            f"{clients} clients need a degree that is even and in [2, {clients - 2}], or {clients - 1} for the "
            f"complete graph, not {shown(degree)}"
        )
    return _most_corrupt(clients, corrupt, degree, _known(adversary))


def least_threshold(*, clients: int, adversarial: float, degree: int) -> int:
    """The least share threshold that is safe against a malicious server, for a graph at hand.

    It counts shares among the `degree + 1` holders, the client itself included.  Any larger threshold is safe too.
    A client checks with it what it was handed; whether enough survivors can be expected is not its concern.

    Args:
        clients: In [2, 1,000,000].
        adversarial: Fraction of corrupt clients in [0, 1), rounded down to whole clients.
        degree: Even and in [2, clients - 2], or `clients - 1` for the complete graph.

    Raises:
        ParameterError: An argument of the wrong type or out of its range, or a degree that no such graph has.
        InfeasibleParameters: No threshold up to `degree + 1` is safe.
    """
    most = corrupt_neighbours(clients=clients, adversarial=adversarial, degree=degree, adversary=Adversary.MALICIOUS)
    least = _malicious_threshold(clients, degree, most)
    if least > degree + 1 or most > clients - 2:
        raise InfeasibleParameters(
            f"{clients} clients with {degree} neighbours each, up to {most} of them corrupt, have no share threshold "
            f"that is safe against a malicious server; more neighbours or fewer corrupt clients would do"
        )
    return least


def _known(adversary: object) -> Adversary:
    try:
        return Adversary(adversary)  # type: ignore[arg-type]  # whatever it is, the enum knows it or refuses it
    except ValueError:
        known = ", ".join(repr(str(each)) for each in Adversary)
        raise ParameterError(f"adversary must be one of {known}, not {shown(adversary)}") from None


def _least_connected_degree(clients: int, removed: int) -> int:
    """The least even degree below `clients - 1` for which event 1 is rare enough, otherwise `clients - 1`.

    The bound falls with the degree, so halving the interval finds it.
    """
    low, high = 1, clients // 2  # halves of the degree; `high` stands for "none"
    while low < high:
        middle = (low + high) // 2
        if _log_disconnected(clients, removed, 2 * middle) < -(SECURITY_BITS + 1) * math.log(2):
            high = middle
        else:
            low = middle + 1
    return 2 * low if 2 * low < clients - 1 else clients - 1


def _log_disconnected(clients: int, removed: int, degree: int) -> float:
    """Natural logarithm of the bound on event 1, rounded up."""
    pairs = math.log(clients) + math.log(clients - degree - 1) - math.log(2)
    return pairs + log_choose(removed, degree) - log_choose(clients, degree) + LOG_ROUNDING


@lru_cache(maxsize=1024)
def _most_corrupt(clients: int, corrupt: int, degree: int, adversary: Adversary) -> int:
    """The most corrupt neighbours that any client has, but for event 2; on the complete graph, for certain."""
    if degree == clients - 1:
        return corrupt
    bits = SECURITY_BITS + (GRINDING_BITS if adversary is Adversary.MALICIOUS else 1)
    log_probability = -math.log(clients) - bits * math.log(2)
    return upper_quantile(population=clients, marked=corrupt, sample=degree, log_probability=log_probability)


def _most_dropped(clients: int, dropped: int, degree: int) -> int:
    """The most dropped neighbours that any client has, but for event 3."""
    log_probability = -math.log(clients) - CORRECTNESS_BITS * math.log(2)
    return upper_quantile(population=clients, marked=dropped, sample=degree, log_probability=log_probability)


def _least_degree(adversary: Adversary, most_corrupt: int, most_dropped: int) -> int:
    """The least degree that leaves room for a threshold, with limits as they are.

    The limits never fall when the degree grows, so no degree below this one can do: repeating the step from the
    least candidate ends in the least degree that will.
    """
    match adversary:
        case Adversary.CURIOUS:
            return most_corrupt + most_dropped + 1
        case Adversary.SEMI_MALICIOUS:
            return most_corrupt + 2 * most_dropped + 1
        case Adversary.MALICIOUS:
            return 2 * (most_corrupt + most_dropped + 2)


def _complete_will_do(clients: int, corrupt: int, dropped: int, adversary: Adversary) -> bool:
    """Whether there is a threshold on the complete graph that is safe and can be met."""
    match adversary:
        case Adversary.CURIOUS | Adversary.SEMI_MALICIOUS:
            return _least_degree(adversary, corrupt, dropped) <= clients - 1
        case Adversary.MALICIOUS:
            return _malicious_threshold(clients, clients - 1, corrupt) <= clients - dropped and corrupt <= clients - 2


def _malicious_threshold(clients: int, degree: int, most_corrupt: int) -> int:
    if degree == clients - 1:
        return (clients + most_corrupt) // 2 + 1
    return degree // 2 + 2 + most_corrupt


def _parameters(clients: int, degree: int, adversary: Adversary, most_corrupt: int, most_dropped: int) -> Parameters:
    match adversary:
        case Adversary.CURIOUS:
            threshold = most_corrupt + 1
        case Adversary.SEMI_MALICIOUS:
            threshold = (degree + most_corrupt) // 2 + 1
        case Adversary.MALICIOUS:
            threshold = _malicious_threshold(clients, degree, most_corrupt)
    return Parameters(
        clients=clients,
        adversary=adversary,
        degree=degree,
        threshold=max(threshold, 2),
        corrupt_neighbours=most_corrupt,
        surviving_neighbours=degree - most_dropped,
    )


def _explain(clients: int, corrupt: int, dropped: int, adversary: Adversary) -> str:
    weight = 1 if adversary is Adversary.CURIOUS else 2
    total = clients - 1 if adversary is Adversary.MALICIOUS else clients - 2
    most_dropped = (total - corrupt) // weight
    most_corrupt = min(total - weight * dropped, clients - 2)
    ways = []
    if most_dropped >= 0 and corrupt <= clients - 2:
        ways.append(f"a dropout of at most {most_dropped}/{clients}")
    if most_corrupt >= 0:
        ways.append(f"an adversarial fraction of at most {most_corrupt}/{clients}")
    return (
        f"{corrupt} corrupt and {dropped} dropped of {clients} clients leave no threshold that is safe against a "
        f"{adversary} server and can be met: corrupt + {'' if weight == 1 else '2 * '}dropped must be at most "
        f"{total}, and two clients honest; what would do is {' or '.join(ways) or 'less of both'}"
    )
