"""Which of a cohort's clients a guarantee relies on, and how many each share of noise is sized for.

`secagg train` and `secagg budget plan` size shares by these functions, so that a planned share is what is deployed.
"""

import math
from typing import Final

from dp.events import Trust
from protocols import Adversary
from protocols.cohort import whole_clients

DROPOUT: Final = 0.1
ADVERSARIAL: Final = 0.05


def required_contributors(
    *, clients: int, dropout: float, adversarial: float, adversary: Adversary, minimum_contributors: int | None
) -> int:
    """Return the least number of contributors of a release: what is given, or the default for the cohort.

    The default is what is left after one and a half times the dropout, and no less than a majority.

    Raises:
        protocols.errors.ParameterError: A number is out of range.
    """
    if minimum_contributors is not None:
        return minimum_contributors
    # Against a malicious server the adversarial clients may speak with two tongues, and count twice.
    double = whole_clients(clients, adversarial, "adversarial") if adversary is Adversary.MALICIOUS else 0
    dropping = whole_clients(clients, dropout, "dropout")
    return max(2, (clients + double) // 2 + 1, clients - math.floor(1.5 * dropping))


def colluding_clients(clients: int, adversarial: float) -> int:
    """Return how many contributors' shares of noise are not counted.

    Every client knows its own share, so against a curious one of them at least that one does not count.

    Raises:
        protocols.errors.ParameterError: A number is out of range.
    """
    return max(1, whole_clients(clients, adversarial, "adversarial"))


def shares_relied_on(contributors: int, *, colluding: int, trust: Trust) -> int:
    """Return how many shares of noise in a sum count; where one party adds all of it, one share is enough."""
    return contributors - colluding if trust is Trust.DISTRIBUTED else 1
