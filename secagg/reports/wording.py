"""Words for what a run protects and from whom, for tables and reports."""

from dp.events import Trust
from protocols import Adversary, load


def protection(protocol: str, *, private: bool, adversary: Adversary) -> str:
    """Return what a run's result may be called."""
    if not load(protocol).protects:
        return "noised, but not secure" if private else "in the clear"
    called = "secure and private" if private else "secure"
    return f"{called}, malicious server" if adversary is Adversary.MALICIOUS else called


def assumed_server(protocol: str, adversary: Adversary, trust: Trust) -> str:
    """Return what is assumed of the server."""
    if not load(protocol).protects:
        return "trusted with every update, noisy as it is" if trust is Trust.LOCAL else "trusted with every update"
    if trust is Trust.CENTRAL:
        return "trusted with exact sums, and to add the noise"
    if adversary is Adversary.MALICIOUS:
        return "malicious: it may do anything"
    return "curious: it follows the protocol"
