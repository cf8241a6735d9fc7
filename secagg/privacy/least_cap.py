"""How often a client of a population is asked, if each round asks only some of them.

A cap counts the rounds that ask a client, whether it answers or not.
"""

import math
from fractions import Fraction


def least_cap(rounds: int, *, cohort: int, clients: int) -> int:
    """Return the least cap with which all rounds can be held: rounds * cohort / clients, rounded up.

    Args:
        rounds: The number of rounds, at least 1.
        cohort: The number of clients that each round asks, 1 to `clients`.
        clients: The size of the population.
    """
    return -(-rounds * cohort // clients)


def most_rounds(cap: int, *, cohort: int, clients: int) -> int:
    """Return how many rounds can be held if no client may be asked for more than `cap` of them; arguments as above."""
    return cap * clients // cohort


def clients_to_ask(contributors: int, *, dropout: float) -> int:
    """Return how many clients to ask so that on average at least `contributors` of them do not drop out.

    Args:
        contributors: At least 1.
        dropout: The fraction of clients that is expected to drop out, in [0, 1), as the decimal number that it is
            written as: 0.1 is one tenth.
    """
    return math.ceil(contributors / (1 - Fraction(repr(float(dropout)))))
