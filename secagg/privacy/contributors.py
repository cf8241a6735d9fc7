"""The number of a cohort's clients on whose noise a guarantee relies, and for which each noise share is sized.

`secagg train` and `secagg budget plan` both size noise shares by these functions, so that a plan matches the training.
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
    """Return the least number of contributors of a release: the given number, or the default for the cohort.

    The default is the number of clients that remain after 1.5 times the expected dropout, but at least a majority and
    at least 2. Against a malicious server the majority counts the adversarial clients twice.

    Raises:
        protocols.errors.ParameterError: A number is out of range.
    """
    if minimum_contributors is not None:
        return minimum_contributors
    # Against a malicious server, each adversarial client may sign two different survivor sets, so it counts twice.
    double = whole_clients(clients, adversarial, "adversarial") if adversary is Adversary.MALICIOUS else 0
    dropping = whole_clients(clients, dropout, "dropout")
    return max(2, (clients + double) // 2 + 1, clients - math.floor(1.5 * dropping))


def colluding_clients(clients: int, adversarial: float) -> int:
    """Return the number of contributors whose noise shares are not counted, at least 1.

    Every client knows its own noise share. So against a curious client at least that share does not count.

    Raises:
        protocols.errors.ParameterError: A number is out of range.
    """
    return max(1, whole_clients(clients, adversarial, "adversarial"))


def shares_relied_on(contributors: int, *, colluding: int, trust: Trust) -> int:
    """Return how many noise shares in a sum count; 1 if the noise of one party is enough (`LOCAL`, `CENTRAL`)."""
    return contributors - colluding if trust is Trust.DISTRIBUTED else 1


def check_cohort(
    *, clients: int, dropout: float, adversarial: float, required: int, default: bool, noise_in_shares: bool
) -> None:
    """Refuse a cohort that could never release a round, or in which no noise share could be relied on.

    Args:
        clients: The clients of a round.
        dropout: The fraction of them that is expected to drop out.
        adversarial: The fraction of them that may collude with the server.
        required: The least number of contributors of a release.
        default: Whether that number is the default, for the message.
        noise_in_shares: Whether every client adds a noise share.

    Raises:
        ConfigurationError: It is such a cohort. The message says what to change.
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
            f"adversarial: expected fewer than the {required} contributors of a round, found {colluding}: no noise "
            "share could be relied on. Require more contributors, or lower the fraction: fewer colluding clients are "
            "then covered."
        )


def no_collusion_warning(clients: int) -> str:
    """Return the warning for a cohort whose fraction of colluding clients is rounded down to 0 clients."""
    return (
        f"withstands 0 colluding of {clients:,} clients: the protocol is planned for none, so it promises nothing for "
        "single updates if one client helps the server. For one client, adversarial must be at least "
        f"{least_fraction(clients):g}; or use more clients."
    )


def least_fraction(clients: int) -> float:
    """Return the least fraction of a cohort, in thousandths, that is one whole client."""
    return math.ceil(_THOUSANDTHS / clients) / _THOUSANDTHS
