r"""Distributed noise of exact size for every tolerated dropout: clients add surplus noise, which is then removed.

Source: Jiang, Wang, Chen, "Dordis: Efficient Federated Learning with Dropout-Resilient Differential Privacy" (EuroSys
2024, arXiv 2209.12528), whose scheme is called XNoise. Let n clients take part and at most T of them drop out. Each
client adds Skellam noise in components. Each component has its own seed, and they have the variances

    v_0 = s / n,        v_k = s / ((n - k + 1) (n - k)) = s / (n - k) - s / (n - k + 1)     for k = 1..T.

After d <= T clients have dropped out, the seeds of the components k > d are opened for each of the n - d contributors,
and their noise is subtracted from the sum. The noise v_0 + ... + v_d of each contributor stays. This telescoping sum is
s / (n - d), so for every d the noise of all contributors together is exactly s. Sums of Skellam noises are Skellam
noise, so this is exact.

Colluding clients tell the server all their seeds. With c of them among the contributors, the part (n - d - c) / (n - d)
of s stays unknown to the server. This part is smallest for d = T. Therefore s is (n - T) / (n - T - c) times the
target: the other clients are hidden by the target after T dropouts, and by a little more after fewer.

Adversary: anyone who sees the sum and the opened seeds, together with up to c of the contributors. If the server is
part of the adversary, then either it follows the protocol, or the protocol prevents two things: opening a sum of fewer
than n - T vectors, and opening seeds for another number of dropouts than that of the sum. The adversary is assumed to
be unable to distinguish AES-256 in counter mode from uniform bits, even given a hash of the key; protocols publish such
a hash of each attached secret. Nothing protects the sum from a client. If a client attaches another seed than the one
of its noise, wrong noise stays in the sum for every component that is opened, and nobody notices. That client could
also have sent a wrong vector.

The variances, and the choice of the components to remove, are those of the reference code (SamuelGong/Dordis, commit
75ea0da, `get_xnoise_params`, type "simple"). The factor for colluding clients is derived above. Departures from that
code: beyond the tolerance nothing is released (there: with noise that falls short); seeds have 256 bits (there: 32);
its second type, of about log2(T) components, does not leave the target exactly and is left out.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.checks import integer_at_least, magnitude, positive_real
from dp.errors import InvalidParameter, TooManyDropped
from dp.events import SkellamEvent
from dp.noise.discrete_gaussian import MAXIMUM_SIZE, SEED_BYTES, Entropy, fresh_seed
from dp.noise.distributed import rounded_down, skellam_reach
from dp.noise.skellam import MAXIMUM_VARIANCE, MINIMUM_VARIANCE, skellam

MAXIMUM_TOLERANCE: Final = 64
"""The most attached secrets of each client that a session of the protocols carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovableSkellam:
    """A secure sum of integer vectors with Skellam noise of the target's variance for every tolerated dropout.

    All quantities are in steps of the integer grid, after scaling and rounding.

    Attributes:
        target_variance: Variance, in each coordinate of a released sum, of the noise that the adversary does not know.
            Above 0, and such that every component has a variance from 2**-30 to 2**32; the exact value of the float.
        clients: The number n of clients that start, 1 to 2**53.
        tolerance: The number T of clients that may be missing from a released sum, 0 to 64, below `clients`.
        colluding: The number c of contributors that may tell the adversary their seeds, 0 to
            `clients - tolerance - 1`.
        l2_sensitivity: The largest L2 norm of one client's integer vector; 1e-30 to 1e30. `noise_multiplier` must be
            within the same range.
        dimension: The number of coordinates, 1 to 2**32.

    Formal guarantees:
        Sensitivity: `l2_sensitivity` in L2. Relation: zero-out, one client's vector replaced by zero with its noise
        staying in the sum; the number and names of the contributors are public. Unit: client. Releasing the sum over
        all clients but d <= `tolerance`, together with the seeds of `removed(d)` of its contributors and all seeds of
        `colluding` of them, costs at most `realised(d)`, which costs at most `event`, by every accountant. Seeds are
        independent, so given the opened seeds, the sum is a known vector plus Skellam noise of that variance.

    Raises:
        InvalidParameter: An attribute is out of range.
    """

    target_variance: float
    clients: int
    tolerance: int
    colluding: int
    l2_sensitivity: float
    dimension: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_variance", positive_real("target_variance", self.target_variance))
        object.__setattr__(self, "clients", integer_at_least("clients", self.clients, 1))
        object.__setattr__(self, "tolerance", self._checked_tolerance())
        contributors = self.minimum_contributors
        object.__setattr__(
            self, "colluding", integer_at_least("colluding", self.colluding, 0, maximum=contributors - 1)
        )
        object.__setattr__(self, "l2_sensitivity", magnitude("l2_sensitivity", self.l2_sensitivity))
        object.__setattr__(self, "dimension", integer_at_least("dimension", self.dimension, 1, maximum=MAXIMUM_SIZE))
        for component, variance in enumerate(self.variances):
            if not MINIMUM_VARIANCE <= variance <= MAXIMUM_VARIANCE:
                raise InvalidParameter(
                    f"target_variance: expected a variance from {float(MINIMUM_VARIANCE):.6g} to "
                    f"{float(MAXIMUM_VARIANCE):.6g} squared steps of the integer grid for each component of a client's "
                    f"noise, found {float(variance):.6g} for component {component}. Use a finer grid (a larger scale) "
                    "to raise it, a coarser one to lower it."
                )
        magnitude("noise_multiplier", self.noise_multiplier)

    def draw(self, entropy: Entropy = os.urandom) -> tuple[NDArray[np.int64], tuple[bytes, ...]]:
        """Draw one client's noise, all components, and the seeds by which the components from 1 on can be removed.

        Add the noise to the vector and use it for nothing else. The seeds are secret until the protocol opens them. The
        seed at index k - 1 is that of component k. It is opened if 0 to k - 1 clients are missing from the sum.

        Returns:
            The noise, shape `(dimension,)`, int64, and `tolerance` seeds of 32 bytes.

        Raises:
            EntropyFailure: `entropy` did not return the bytes that were asked for.
        """
        seeds = tuple(fresh_seed(entropy) for _ in range(self.tolerance))
        noise = skellam(self._variance(0), self.dimension, entropy)
        for component, seed in enumerate(seeds, start=1):
            noise += self._expanded(component, seed)
        return noise, seeds

    def removed(self, dropped: int) -> range:
        """Return the components to remove from each contributor's noise if `dropped` clients are missing from the sum.

        Raises:
            TooManyDropped: `dropped` is above `tolerance`.
            InvalidParameter: `dropped` is not an integer of at least 0.
        """
        return range(self._checked_dropped(dropped) + 1, self.tolerance + 1)

    def excess(self, dropped: int, seeds: Sequence[Sequence[bytes]]) -> NDArray[np.int64]:
        """Return the surplus noise to subtract from the sum.

        Memory: at most two vectors.

        Args:
            dropped: The number of clients that are missing from the sum.
            seeds: For each contributor, in any order, the opened seeds, 32 bytes each: the seeds of the components of
                `removed(dropped)`, in ascending order.

        Returns:
            Shape `(dimension,)`, int64.

        Raises:
            TooManyDropped: `dropped` is above `tolerance`; in this case do not release the sum.
            InvalidParameter: `dropped` is not an integer of at least 0. Or there are not seeds of `clients - dropped`
                contributors, one of 32 bytes for each component to remove.
        """
        components = self.removed(dropped)
        self._check_seeds(components, self.clients - self._checked_dropped(dropped), seeds)
        total = np.zeros(self.dimension, dtype=np.int64)
        # One component after the other, each for all contributors, because they use the same table of the sampler.
        for position, component in enumerate(components):
            for opened in seeds:
                total += self._expanded(component, opened[position])
        return total

    @property
    def variances(self) -> tuple[Fraction, ...]:
        """The variance of each component of one client's noise, from component 0 to component `tolerance`."""
        return tuple(self._variance(component) for component in range(self.tolerance + 1))

    @property
    def minimum_contributors(self) -> int:
        """The least number of clients in a released sum."""
        return self.clients - self.tolerance

    @property
    def central_sigma(self) -> float:
        """Standard deviation, to within rounding, of the noise that is certain to be left in a released sum."""
        return math.sqrt(self.target_variance)

    @property
    def noise_multiplier(self) -> float:
        """`central_sigma` over `l2_sensitivity`."""
        return self.central_sigma / self.l2_sensitivity

    @property
    def event(self) -> SkellamEvent:
        """The accounting event of one release, for every dropout within the tolerance."""
        return self.realised(self.tolerance)

    def realised(self, dropped: int) -> SkellamEvent:
        """Return the accounting event of a sum without `dropped` clients, after its surplus noise was removed.

        Its variance is that of the noise which `colluding` contributors do not know, rounded down.

        Raises:
            TooManyDropped: `dropped` is above `tolerance`.
            InvalidParameter: `dropped` is not an integer of at least 0.
        """
        contributors = self.clients - self._checked_dropped(dropped)
        unknown = contributors - self.colluding
        return SkellamEvent(
            variance=rounded_down(self._inflated * unknown / contributors),
            contributors=unknown,
            l2_sensitivity=self.l2_sensitivity,
            dimension=self.dimension,
        )

    def tail_bound(self, contributors: int, failure: float) -> int:
        """Return a B that some coordinate of a sum of noises exceeds in magnitude with probability <= `failure`.

        Args:
            contributors: The number of clients whose noise, with all components, is in the sum, 1 to `clients`.
            failure: The probability that some coordinate exceeds the bound, strictly between 0 and 1.

        Raises:
            InvalidParameter: An argument is out of range.
        """
        shares = integer_at_least("contributors", contributors, 1, maximum=self.clients)
        return skellam_reach(shares * self._inflated / self.minimum_contributors, self.dimension, failure)

    @property
    def _inflated(self) -> Fraction:
        """The variance s of the noise in a released sum, including the noise of colluding clients."""
        contributors = self.minimum_contributors
        return Fraction(self.target_variance) * contributors / (contributors - self.colluding)

    def _checked_tolerance(self) -> int:
        tolerance = integer_at_least("tolerance", self.tolerance, 0, maximum=self.clients - 1)
        if tolerance > MAXIMUM_TOLERANCE:
            raise InvalidParameter(
                f"tolerance: expected at most {MAXIMUM_TOLERANCE}, found {tolerance}. Each tolerated dropout needs one "
                f"secret of every client, and a session carries at most {MAXIMUM_TOLERANCE}. Plan noise shares for the "
                "worst case instead (DistributedSkellam), or tolerate fewer dropouts."
            )
        return tolerance

    def _checked_dropped(self, dropped: int) -> int:
        missing = integer_at_least("dropped", dropped, 0)
        if missing > self.tolerance:
            raise TooManyDropped(
                f"dropped: expected at most {self.tolerance} of {self.clients} clients, for which the noise was "
                f"planned, found {missing} missing from the sum. The sum is not released, because it has too little "
                "noise. Plan for a greater tolerance."
            )
        return missing

    def _variance(self, component: int) -> Fraction:
        left = self.clients - component
        return self._inflated / (self.clients if component == 0 else (left + 1) * left)

    def _expanded(self, component: int, seed: bytes) -> NDArray[np.int64]:
        return skellam(self._variance(component), self.dimension, lambda _: seed)

    def _check_seeds(self, components: range, contributors: int, seeds: Sequence[Sequence[bytes]]) -> None:
        if len(seeds) != contributors:
            raise InvalidParameter(
                f"seeds: expected those of {contributors} contributors, found those of {len(seeds)}. Give the seeds of "
                "every contributor and of nobody else."
            )
        for opened in seeds:
            if len(opened) != len(components):
                raise InvalidParameter(
                    f"seeds: expected {len(components)} of each contributor, for components {components.start} to "
                    f"{self.tolerance}, found {len(opened)}. Give one seed for each component in `removed`."
                )
            if any(type(seed) is not bytes or len(seed) != SEED_BYTES for seed in opened):
                raise InvalidParameter(
                    f"seeds: expected {SEED_BYTES} bytes each, found others. Give the seeds as `draw` made them."
                )
