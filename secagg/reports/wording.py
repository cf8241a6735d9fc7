"""Words for what a run protects and from whom, for tables and reports."""

from dp.events import Trust
from dp.figures import rounded_up
from protocols import Adversary, load


def protection(protocol: str, *, private: bool, adversary: Adversary) -> str:
    """Return what a run's result may be called."""
    if not load(protocol).protects:
        return "noised, but not secure" if private else "in the clear"
    called = "secure and private" if private else "secure"
    return f"{called}, malicious server" if adversary is Adversary.MALICIOUS else called


def assumed_server(protocol: str, adversary: Adversary, *, trust: Trust | None) -> str:
    """Return what is assumed of the server.

    Args:
        protocol: The registered name of the protocol.
        adversary: The server that clients are protected from.
        trust: Who adds the noise; `LOCAL` if clients add it in their training, and None without noise.
    """
    if not load(protocol).protects:
        if trust is Trust.LOCAL:
            return "it sees every update, and each contains enough noise of its own client"
        return "trusted with every update"
    if trust is Trust.CENTRAL:
        return "trusted with exact sums, and to add the noise"
    if adversary is Adversary.MALICIOUS:
        return "malicious: it may do anything"
    return "curious: it follows the protocol"


def rounding_in_words(factor: float) -> str:
    """Return by how much rounding to integers makes the noise larger (`secagg.aggregation.rounding_factor`)."""
    return f"rounding to integers makes the noise {rounded_up(factor)} times larger"
