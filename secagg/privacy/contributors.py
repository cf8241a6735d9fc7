"""Which of a cohort's clients a guarantee relies on, and how many each share of noise is sized for.

`secagg train` and `secagg budget plan` size shares by these functions, so that a planned share is what is deployed.
"""

import math
from typing import Final

from dp.events import Trust
from protocols import Adversary
from protocols.cohort import whole_clients
from secagg.errors import ConfigurationError

DROPOUT: Final = 0.1
ADVERSARIAL: Final = 0.05
_THOUSANDTHS: Final = 1000


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


def check_cohort(
    *, clients: int, dropout: float, adversarial: float, required: int, default: bool, noise_in_shares: bool
) -> None:
    """Refuse a cohort that could never release a round, or whose noise would rest on no share at all.

    Args:
        clients: The clients of a round.
        dropout: The fraction of them that is expected to drop out.
        adversarial: The fraction of them that may collude with the server.
        required: The least number of contributors of a release.
        default: Whether that number is the default, for the message.
        noise_in_shares: Whether every client adds a share of the noise.

    Raises:
        ConfigurationError: It is one. The message says what to change.
        protocols.errors.ParameterError: A fraction is out of range.
    """
    left = clients - whole_clients(clients, dropout, "dropout")
    if left < 2:
        raise ConfigurationError(
            f"dropout: expected at least 2 clients to be left, since a sum needs 2, found {left} of {clients} with a "
            f"dropout of {dropout:g}. Use at most {(clients - 2) / clients:.3g}."
        )
    if required > left:
        chosen = ", a majority, which is the default" if default else ""
        raise ConfigurationError(
            f"minimum_contributors: expected at most {left}, the clients that a dropout of {dropout:g} leaves of "
            f"{clients}, found {required}{chosen}. Lower the dropout, or accept sums of fewer clients with "
            f"--minimum-contributors {left}: each update is then hidden among fewer."
        )
    colluding = colluding_clients(clients, adversarial)
    if noise_in_shares and colluding >= required:
        raise ConfigurationError(
            f"adversarial: expected fewer than the {required} contributors of a round, found {colluding}: no share of "
            "noise could be relied on. Require more contributors, or lower the fraction: fewer colluding clients are "
            "then covered."
        )


def no_collusion_warning(clients: int) -> str:
    """Return the warning for a cohort whose fraction of colluding clients is rounded down to no client at all."""
    return (
        f"withstands 0 colluding of {clients:,} clients: the protocol is planned for none, so nothing is promised for "
        "single updates if one client helps the server. For one client, adversarial must be at least "
        f"{least_fraction(clients):g}; or use more clients."
    )


def least_fraction(clients: int) -> float:
    """Return the least fraction of a cohort, in thousandths, that is one whole client."""
    return math.ceil(_THOUSANDTHS / clients) / _THOUSANDTHS
