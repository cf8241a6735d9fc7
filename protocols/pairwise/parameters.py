"""The density of the graph of neighbours, and the number of share-holders that rebuild a client's secret.

Source: Bell, Bonawitz, Gascon, Lepoint, Raykova, Secure Single-Server Aggregation with (Poly)Logarithmic Overhead,
CCS 2020 (ia.cr/2020/704); probabilities, rounding and figures as in the authors' own parameter finder
(google-parfait/federated-compute, fcp/secagg/server/graph_parameter_finder.cc at de83f70). The argument, with its
proofs, is in docs/graph.md.

Adversary: as in `protocols.pairwise.graph`; corrupt clients and dropouts do not depend on the order of the circle. The
class `Adversary.MALICIOUS` is not the authors' but ours. For it, only the corrupt clients do not depend on the order:
the server may choose who is declared dropped when it knows the order, and may try many orders.

Departures from the authors' finder:
- If no degree below `clients - 1` is enough, the answer is the complete graph, whose bounds hold with certainty.
  No other limit is set: their finder stops at adversarial + dropout (semi-malicious: + 2 dropout) of 0.9.
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
"""A malicious server is assumed to try at most 2^60 orders of the circle before it fixes the key directory."""


class InfeasibleParameters(ParameterError):
    """No graph has a threshold that is both safe and likely to be met for these clients and fractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A degree and a threshold that fit a number of clients.

    Attributes:
        clients: Size of the cohort, n.
        adversary: The class of server from which the threshold protects.
        degree: Number of neighbours of each client, itself not counted; even, or `clients - 1` for the complete graph.
        threshold: Number of secret shares that rebuild a client's secret, at least 2. It applies to shares dealt to the
            neighbours only. If a client deals a share to itself as well, use `threshold_with_own_share`. Against a
            malicious server the two are the same, for shares dealt to the neighbours and to the client itself.
        corrupt_neighbours: No honest client has more corrupt neighbours than this, except with probability 2^-41;
            against a malicious server, except with probability 2^-40 in all the orders that it may try.
        surviving_neighbours: No client has fewer surviving neighbours than this, except with probability 2^-20.
    """

    clients: int
    adversary: Adversary
    degree: int
    threshold: int
    corrupt_neighbours: int
    surviving_neighbours: int

    @property
    def threshold_with_own_share(self) -> int:
        """The least threshold that is safe if each client also holds a share of its own secrets.

        There are then `degree + 1` holders.

        - Against a curious server it is `threshold`: the extra holder of an honest client's share is honest, so the
          adversary gains no share.
        - A semi-malicious server may get the owner's own share of the self-mask in addition to the others. So
          2 * threshold must exceed `degree + 1 + corrupt_neighbours`, and this is `threshold` or one more.
        - Against a malicious server it is `threshold`, which already counts the client's own share.

        A client that stays to the end adds its own share, so it meets the raised threshold whenever it would have met
        `threshold`. A client that has dropped out does not add one. On the complete graph the raised threshold is met
        nevertheless. On a sparser graph, event 3 of `find_parameters` no longer bounds the probability that the secrets
        of a dropout are lost. That probability was below 2^-20 in all computed cases (docs/graph.md).
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
    """Return the least degree, and its least threshold, for security 2^-40 and failure 2^-20 (see docs/graph.md).

    With n clients, of whom K = floor(n * adversarial) are corrupt and D = floor(n * dropout) drop out, three events
    are bounded over the random order:

    1. Privacy, 2^-41: the graph without the K + D clients is not connected. Two gaps of degree / 2 in a row would have
       to lie among them; a union bound over the n (n - degree - 1) / 2 pairs of gaps, each with probability
       C(K + D, degree) / C(n, degree).
    2. Privacy, 2^-41: some honest client has more than `corrupt_neighbours` corrupt neighbours. A union bound over n
       clients, each with the tail of Hypergeometric(n, K, degree). The population is n and not n - 1 because the
       sum of the exact tails of all clients is n times this tail.
    3. Failure, 2^-20: some client has fewer than `surviving_neighbours` neighbours that stay, in the same way with D.

    The threshold is then the least one that the adversary cannot meet:

    - A curious server may get the shares of one secret from the corrupt clients: threshold > corrupt_neighbours.
    - A semi-malicious server may ask each honest neighbour for a share of either secret, and the corrupt ones for both:
      2 * threshold > degree + corrupt_neighbours.

    The threshold is not above `surviving_neighbours`, with one exception. If no client is corrupt, a threshold of 1
    would be enough for these rules. Then 2 is taken, the least that keeps a secret from each holder, although a client
    may have only one surviving neighbour. That happens only for degree > D. It never fails if each client also holds a
    share of its own: a client that stays has one neighbour left and itself, a dropout has two neighbours left.

    Against a malicious server event 1 does not help, since the server chooses who is declared dropped, so it is not
    required. Event 2 is bounded at 2^-100 for one order, so at 2^-40 for the 2^60 orders that the server may try. The
    threshold is degree / 2 + 2 + `corrupt_neighbours`, of degree + 1 shares. Then the honest clients around one whose
    self-mask is opened lie on both sides of it. So the server can learn no sum but that of all honest survivors.
    On the complete graph the threshold is a majority of n + K, as it is for the clients that must agree on the
    survivors. All this holds for a protocol that meets the requirements of docs/graph.md under "A malicious server".

    Apart from that exception, and from thresholds against a malicious server, a client does not count itself, neither
    among its neighbours nor among the holders of its shares. If a client deals a share to itself, use
    `Parameters.threshold_with_own_share`.

    Args:
        clients: In [2, 1,000,000].
        adversarial: Fraction of corrupt clients in [0, 1), rounded down to whole clients, so 0.05 of 10 is none.
        dropout: Fraction that drops out before the end in [0, 1), rounded down; corrupt clients may be among them.
        adversary: Class of the server.

    Raises:
        ParameterError: An argument has the wrong type or is out of its range.
        InfeasibleParameters: Not even the complete graph is enough. The message says which fractions are.
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
    """Return how many corrupt neighbours an honest client may have: event 2 of `find_parameters` for a given degree.

    Args:
        clients: In [2, 1,000,000].
        adversarial: Fraction of corrupt clients in [0, 1), rounded down to whole clients.
        degree: Even and in [2, clients - 2], or `clients - 1` for the complete graph.
        adversary: Class of the server.

    Returns:
        The bound that `find_parameters` uses for this degree; on the complete graph, all corrupt clients.

    Raises:
        ParameterError: An argument of the wrong type or out of its range, or a degree that no such graph has.
    """
    corrupt = whole_clients(clients, adversarial, "adversarial")
    if type(degree) is not int or not 1 <= degree < clients or (degree % 2 and degree != clients - 1):
        raise ParameterError(
            f"degree: expected an even number in [2, {clients - 2}], or {clients - 1} for the complete graph of "
            f"{clients} clients, found {shown(degree)}"
        )
    return _most_corrupt(clients, corrupt, degree, _known(adversary))


def least_threshold(*, clients: int, adversarial: float, degree: int) -> int:
    """Return the least share threshold that is safe against a malicious server, for a given graph.

    It counts shares among the `degree + 1` holders, the client itself included. Any larger threshold is safe too.
    A client uses it to check the parameters that it received. It does not check whether the threshold can be expected
    to be met by the survivors.

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
            f"share threshold: none is safe against a malicious server for {clients} clients with {degree} neighbours "
            f"each, up to {most} of them corrupt. Use more neighbours; or assume fewer corrupt clients, which protects "
            "from fewer."
        )
    return least


def least_curious_threshold(*, clients: int, corrupt: int, dropped: int, degree: int) -> int:
    """Return the least share threshold that is safe against a curious server, for a given graph.

    These are events 1 and 2 of `find_parameters`; event 3, a failure, is not checked. Any larger threshold is safe too.

    Args:
        clients: In [2, 1,000,000].
        corrupt: The number of clients that collude with the server.
        dropped: The largest number of clients that may drop out.
        degree: Even and in [2, clients - 2], or `clients - 1` for the complete graph.

    Raises:
        InfeasibleParameters: The graph may fall apart, so that the server learns the sum of each part.
    """
    least = _least_connected_degree(clients, corrupt + dropped)
    if degree < least:
        raise InfeasibleParameters(
            f"neighbours: expected at least {least} for {clients} clients, {corrupt} of them corrupt and {dropped} "
            f"dropped, found {degree}. The graph could fall apart. Use more neighbours, or a higher threshold."
        )
    return max(2, _most_corrupt(clients, corrupt, degree, Adversary.CURIOUS) + 1)


def _known(adversary: object) -> Adversary:
    try:
        return Adversary(adversary)  # type: ignore[arg-type]  # The enum accepts or refuses any value.
    except ValueError:
        known = ", ".join(repr(str(each)) for each in Adversary)
        raise ParameterError(f"adversary: expected one of {known}, found {shown(adversary)}") from None


def _least_connected_degree(clients: int, removed: int) -> int:
    """Return the least even degree below `clients - 1` with event 1 below 2^-41, otherwise `clients - 1`.

    The bound falls as the degree grows, so a binary search finds it.
    """
    low, high = 1, clients // 2  # Halves of the degree; `high` stands for "none".
    while low < high:
        middle = (low + high) // 2
        if _log_disconnected(clients, removed, 2 * middle) < -(SECURITY_BITS + 1) * math.log(2):
            high = middle
        else:
            low = middle + 1
    return 2 * low if 2 * low < clients - 1 else clients - 1


def _log_disconnected(clients: int, removed: int, degree: int) -> float:
    """Return the natural logarithm of the bound on event 1, rounded up."""
    pairs = math.log(clients) + math.log(clients - degree - 1) - math.log(2)
    return pairs + log_choose(removed, degree) - log_choose(clients, degree) + LOG_ROUNDING


@lru_cache(maxsize=1024)
def _most_corrupt(clients: int, corrupt: int, degree: int, adversary: Adversary) -> int:
    """Return the most corrupt neighbours of a client unless event 2 occurs; on the complete graph, in any event."""
    if degree == clients - 1:
        return corrupt
    bits = SECURITY_BITS + (GRINDING_BITS if adversary is Adversary.MALICIOUS else 1)
    log_probability = -math.log(clients) - bits * math.log(2)
    return upper_quantile(population=clients, marked=corrupt, sample=degree, log_probability=log_probability)


def _most_dropped(clients: int, dropped: int, degree: int) -> int:
    """Return the most dropped neighbours that a client has unless event 3 occurs."""
    log_probability = -math.log(clients) - CORRECTNESS_BITS * math.log(2)
    return upper_quantile(population=clients, marked=dropped, sample=degree, log_probability=log_probability)


def _least_degree(adversary: Adversary, most_corrupt: int, most_dropped: int) -> int:
    """Return the least degree that allows a threshold under the given limits.

    The limits never fall as the degree grows, so no degree below this one is enough. Repeating the step from the least
    candidate therefore ends in the least degree that is enough.
    """
    match adversary:
        case Adversary.CURIOUS:
            return most_corrupt + most_dropped + 1
        case Adversary.SEMI_MALICIOUS:
            return most_corrupt + 2 * most_dropped + 1
        case Adversary.MALICIOUS:
            return 2 * (most_corrupt + most_dropped + 2)


def _complete_will_do(clients: int, corrupt: int, dropped: int, adversary: Adversary) -> bool:
    """Return whether the complete graph has a threshold that is safe and can be met."""
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
        ways.append(f"an adversarial fraction of at most {most_corrupt}/{clients} (which protects from fewer clients)")
    return (
        f"parameters: expected corrupt + {'' if weight == 1 else '2 * '}dropped to be at most {total} for {clients} "
        f"clients, and at least 2 honest clients, found {corrupt} corrupt and {dropped} dropped. No threshold is safe "
        f"against a {adversary} server and can be met. Use {' or '.join(ways) or 'smaller fractions of both'}."
    )
