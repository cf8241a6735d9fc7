"""The checks of nodes and their coordinator, and what the toolkit ships of them."""

from typing import Any, Final

from secagg.audit.attack import Attack
from secagg.audit.nodes.crash import CoordinatorCrash
from secagg.audit.nodes.intruders import ErrorText, Stranger
from secagg.audit.nodes.offers import OldOffers, OtherWork, SmallNoise, Unpaid
from secagg.audit.nodes.subject import NodeSubject
from secagg.audit.subject import Subject

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    OtherWork(),
    SmallNoise(),
    Unpaid(),
    OldOffers(),
    Stranger(),
    ErrorText(),
    CoordinatorCrash(),
)
"""All checks of nodes."""


def shipped() -> tuple[Subject, ...]:
    """Return the toolkit's station and coordinator."""
    return (NodeSubject(),)
