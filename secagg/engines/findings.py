"""What a protocol says of the parties of a sum that it has released."""

from dataclasses import dataclass

from protocols.secure_sum import Complaint, Finish
from protocols.simulate import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a protocol says of the parties of a sum that it has released; see `protocols.secure_sum.Finish`.

    Attributes:
        verified: False if a committee member could have changed the sum without being noticed.
        culprits: The parties that were shown to break the rules and did no harm to the sum.
        complaints: What committee members said of clients' messages.
    """

    verified: bool = True
    culprits: frozenset[int] = frozenset()
    complaints: tuple[Complaint, ...] = ()

    @classmethod
    def of(cls, end: Finish | Outcome) -> "Findings":
        """Return those of a sum."""
        return cls(verified=end.verified, culprits=end.culprits, complaints=end.complaints)
