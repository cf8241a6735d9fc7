"""What is audited."""

from abc import ABC
from typing import ClassVar, Final

from secagg.audit.claims import Claim


class Subject(ABC):
    """Something that makes claims and can be observed; each kind of subject adds the ways to observe it.

    Attributes:
        kind: The kind of subject, as reports name it, such as "protocol".
        name: The name of this subject, unique within a report.
        claims: The claims that the subject makes of itself. A check that tests none of them does not apply.
    """

    kind: ClassVar[str]
    name: str
    claims: tuple[Claim, ...]

    def claims_any(self, ids: tuple[str, ...]) -> bool:
        """Return whether the subject makes one of these claims."""
        return any(claim.id in ids for claim in self.claims)


KINDS: Final = ("protocol", "mechanism", "mean", "training", "run", "transcript", "ledger", "node")
"""All kinds of subjects."""
