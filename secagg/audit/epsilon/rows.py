"""One line of a report's table of epsilons: a lower bound, beside the exact epsilon and the ledger's."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonRow:
    """A lower bound on epsilon that an audit measured, and what it is compared with.

    Attributes:
        unit: The privacy unit, "client" or "example".
        relation: The neighbouring relation, such as "zero-out".
        delta: The delta of all three epsilons.
        ledger: The epsilon that the ledger counts, an upper bound; None if no ledger is concerned.
        exact: The exact epsilon of the noise and the sensitivity in force; None if it is not known.
        lower_bound: The epsilon below which the truth is not, except with a chance of 1 - `confidence`.
        confidence: The confidence of the lower bound, such as 0.95.
        method: How the lower bound was computed, in a few words.
        trials: The number of releases with the canary, and as many without; of one run, the number of canaries.
        rests_on: A phrase that names what the lower bound assumes, and what the attacker of the audit knows.
    """

    unit: str
    relation: str
    delta: float
    ledger: float | None
    exact: float | None
    lower_bound: float
    confidence: float
    method: str
    trials: int
    rests_on: str

    @property
    def part(self) -> float | None:
        """The lower bound as a part of the exact epsilon; None if that is not known or 0."""
        return self.lower_bound / self.exact if self.exact else None
