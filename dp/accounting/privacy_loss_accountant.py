"""The accountant by privacy loss distributions: Gaussian noise, and integer noise that Gaussian noise dominates.

It is nearly always tighter than Renyi DP. For Gaussian noise without sampling it is exact
(`dp.accounting.privacy_loss`). Integer noise is accounted as the Gaussian noise that dominates it
(`dp.accounting.lattice`).
"""

from typing import ClassVar, Final

from dp.accounting.accountant import QUICK_POINTS, Accountant, Bound, Releases
from dp.accounting.lattice import dominating_gaussian, no_gaussian_reason
from dp.accounting.privacy_loss import (
    MAXIMUM_DISTINCT_RELEASES,
    composed_multiplier,
    loss_epsilon,
    split_gaussian,
)
from dp.events import GaussianEvent, decompose

MINIMUM_NOISE_MULTIPLIER: Final = 1e-3
MAXIMUM_NOISE_MULTIPLIER: Final = 1e9

EXACT_METHOD: Final = "exact for Gaussian noise (arXiv 1805.06530v2 Theorem 8)"
LATTICE: Final = "with integer noise counted as the Gaussian noise that dominates it (docs/lattice-gaussian.md)"
METHOD: Final = "privacy loss distributions (arXiv 2207.04380v1)"


class PrivacyLossAccountant(Accountant):
    """The accountant by privacy loss distributions."""

    name: ClassVar = "pld"
    title: ClassVar = "privacy loss distributions"

    def unsupported_reason(self, releases: Releases, delta: float) -> str | None:  # noqa: ARG002
        """Return why this accountant cannot bound these releases, or None if it can."""
        if not releases:
            return "nothing was released"
        sampled, unsampled, others = split_gaussian(releases)
        if others:
            return f"no Gaussian noise is known to dominate {no_gaussian_reason(next(iter(others)))}"
        multipliers = [event.noise_multiplier for event in sampled]
        if sampled and unsampled:
            multipliers.append(composed_multiplier(unsampled))
        if not sampled:
            return None
        if not all(MINIMUM_NOISE_MULTIPLIER <= one <= MAXIMUM_NOISE_MULTIPLIER for one in multipliers):
            return f"a noise multiplier outside {MINIMUM_NOISE_MULTIPLIER:g} to {MAXIMUM_NOISE_MULTIPLIER:g}"
        if len(multipliers) > MAXIMUM_DISTINCT_RELEASES:
            return f"more than {MAXIMUM_DISTINCT_RELEASES} different releases"
        return None

    def epsilon(self, releases: Releases, delta: float) -> Bound:
        """Return the bound; with sampling this takes up to several seconds for each noise.

        Raises:
            InvalidParameter: `releases` is empty, or contains noise that no Gaussian noise is known to dominate.
        """
        found = loss_epsilon(releases, delta=delta)
        grid = found.discretisation
        method = f"{METHOD} on a grid of {grid:.3g}" if grid else EXACT_METHOD
        if any(not isinstance(decompose(event)[2], GaussianEvent) for event in releases):
            method += f", {LATTICE}"
        return Bound(accountant=self.name, title=self.title, epsilon=found.epsilon, method=method)

    def quick_epsilon(self, releases: Releases, delta: float, *, points: int = QUICK_POINTS) -> float:
        """Return a bound on a coarser grid, which is a few ten-thousandths greater and takes hundredths of a second."""
        return loss_epsilon(releases, delta=delta, points=points).epsilon

    def takes_long(self, releases: Releases) -> bool:
        """Return whether there is a sampled release, whose losses are discretised."""
        return any(rate < 1 and dominating_gaussian(noisy) is not None for _, rate, noisy in map(decompose, releases))
