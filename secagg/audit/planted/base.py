"""What a planted bug is."""

from collections.abc import Callable
from dataclasses import dataclass

from secagg.audit.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A variant of the real code with one thing changed.

    Attributes:
        number: Its number in the list of planted bugs, from 1.
        bug: What is wrong with it, a phrase such as "noise at 0.9 times the planned deviation".
        claim: The id of the claim that it breaks.
        caught_by: The id of the check that is meant for it.
        subject: Makes the subject that has the bug.
    """

    number: int
    bug: str
    claim: str
    caught_by: str
    subject: Callable[[], Subject]
