"""The parameter of a distributed mechanism: the range that a client can draw, and what a search needs to know."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """The parameter of a mechanism for which a search is made.

    Attributes:
        name: The parameter in words.
        unit: The unit in words.
        lowest: The least value that a client can draw noise for.
        least: The least value in words.
        highest: The greatest value.
        reference: The value whose noise multiplier is computed, as a base for the first guess.
        power: The power of the standard deviation that the parameter is.
    """

    name: str
    unit: str
    lowest: float
    least: str
    highest: float
    reference: float
    power: int

    @property
    def sigmas(self) -> tuple[float, float]:
        """The least and the greatest standard deviation of a client's noise share."""
        return self.lowest ** (1 / self.power), self.highest ** (1 / self.power)

    def guess(self, noise_multiplier: float, *, at_reference: float) -> float:
        """Return about the parameter of a noise multiplier, given the noise multiplier of the reference."""
        if self.power == 1:
            return noise_multiplier * (self.reference / at_reference)
        return (noise_multiplier / at_reference) ** self.power * self.reference
