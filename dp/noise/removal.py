r"""Distributed noise that is exact whoever drops out: too much is added at first, and what is too much is removed.

Source: Jiang, Wang, Chen, "Dordis: Efficient Federated Learning with Dropout-Resilient Differential Privacy" (EuroSys
2024, arXiv 2209.12528), whose scheme is called XNoise. Let n clients take part and at most T of them drop out. Each
adds Skellam noise in components, each with a seed of its own, of the variances

    v_0 = s / n,        v_k = s / ((n - k + 1) (n - k)) = s / (n - k) - s / (n - k + 1)     for k = 1..T.

After d <= T have dropped out, the seeds of the components k > d are opened for each of the n - d contributors, and
their noise is subtracted from the sum. A contributor keeps v_0 + ... + v_d, a telescoping sum that is s / (n - d), and
all of them keep s: no less and no more, for every d. Sums of Skellam noises are Skellam noise, so this is exact.

Colluders tell the server all their seeds. With c of them among the contributors, (n - d - c) / (n - d) of s is left
unknown to it, least for d = T; s is therefore (n - T) / (n - T - c) times the target, and what hides the others is the
target after T drop-outs and a little more after fewer.

Adversary: whoever sees the sum and the opened seeds, together with up to c of the contributors. A server among them
follows the protocol, or the protocol keeps it from opening a sum of fewer than n - T vectors, and seeds by another
count of drop-outs than the sum's. The adversary is taken to be unable to tell AES-256 in counter mode from uniform
bits, also given a hash of the key, which protocols publish of what is attached. Nothing protects the sum from a client:
one that attaches another seed than it drew its noise from leaves wrong noise in it, for every component that is opened,
and no one notices; it could as well have sent a wrong vector.

The variances, and which of them are removed, are those of the reference code (SamuelGong/Dordis, commit 75ea0da,
`get_xnoise_params`, type "simple"); the factor for colluders is derived above. Departures from that code: beyond the
tolerance nothing is released (there: with noise that falls short); seeds have 256 bits (there: 32); its second type,
of about log2(T) components, does not leave the target exactly and is left out.
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
"""A session of the protocols carries at most so many attached secrets of each client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovableSkellam:
    """A secure sum of integer vectors with Skellam noise, which is the target's for every tolerated dropout.

    All quantities are in units of the integer lattice, after scaling and rounding.

    Attributes:
        target_variance: variance, in each coordinate of a released sum, of the noise that the adversary does not know;
            above 0, and so that every component has 2**-30 to 2**32; the exact value of the float.
        clients: n, the number of clients that start, 1 to 2**53.
        tolerance: T, how many of them may be missing from a released sum, 0 to 64, below `clients`.
        colluding: c, how many contributors may tell the adversary their seeds, 0 to `clients - tolerance - 1`.
        l2_sensitivity: the most, in L2, that one client's integer vector can be away from zero; 1e-30 to 1e30, as is
            `noise_multiplier`.
        dimension: number of coordinates, 1 to 2**32.

    Formal guarantees:
        Sensitivity: `l2_sensitivity` in L2. Relation: zero-out, one client's vector replaced by zero with its noise
        staying in the sum; the number and names of the contributors are public. Unit: client. Releasing the sum over
        all clients but d <= `tolerance`, together with the seeds of `removed(d)` of its contributors and all seeds of
        `colluding` of them, has the Renyi divergences of `realised(d)`, which are at most those of `event`: seeds are
        independent, so given the opened ones, the sum is a known vector plus Skellam noise of that variance.

    Raises:
        InvalidParameter: an attribute is out of range.
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
                    f"target_variance: component {component} of each client's noise would have variance "
                    f"{float(variance):.6g}, expected {float(MINIMUM_VARIANCE):.6g} to {float(MAXIMUM_VARIANCE):.6g} "
                    f"squared lattice units; a finer lattice (a larger scale) raises it, a coarser one lowers it"
                )
        magnitude("noise_multiplier", self.noise_multiplier)

    def draw(self, entropy: Entropy = os.urandom) -> tuple[NDArray[np.int64], tuple[bytes, ...]]:
        """Draw one client's noise, all components, and the seeds by which those from 1 on can be removed.

        The noise goes into the sum and nowhere else. The seeds are secret until the protocol opens them: the one at
        index k - 1 is that of component k, to be opened where 0 to k - 1 clients are missing from the sum.

        Returns:
            The noise, shape `(dimension,)`, int64, and `tolerance` seeds of 32 bytes.

        Raises:
            EntropyFailure: `entropy` did not return what it was asked for.
        """
        seeds = tuple(fresh_seed(entropy) for _ in range(self.tolerance))
        noise = skellam(self._variance(0), self.dimension, entropy)
        for component, seed in enumerate(seeds, start=1):
            noise += self._expanded(component, seed)
        return noise, seeds

    def removed(self, dropped: int) -> range:
        """Return which components are removed from each contributor where `dropped` clients are missing from the sum.

        Raises:
            TooManyDropped: `dropped` is above `tolerance`.
            InvalidParameter: `dropped` is not an integer of at least 0.
        """
        return range(self._checked_dropped(dropped) + 1, self.tolerance + 1)

    def excess(self, dropped: int, seeds: Sequence[Sequence[bytes]]) -> NDArray[np.int64]:
        """Return the noise to subtract from the sum.

        Memory: two vectors at the most.

        Args:
            dropped: how many clients are missing from the sum.
            seeds: for each contributor, in any order, the opened seeds, 32 bytes each: those of the components of
                `removed(dropped)`, ascending.

        Returns:
            Shape `(dimension,)`, int64.

        Raises:
            TooManyDropped: `dropped` is above `tolerance`; there must not be a release then.
            InvalidParameter: `dropped` is not an integer of at least 0, or the seeds are not those of `clients -
                dropped` contributors, as many as are to be opened, of 32 bytes each.
        """
        components = self.removed(dropped)
        self._check_seeds(components, self.clients - self._checked_dropped(dropped), seeds)
        total = np.zeros(self.dimension, dtype=np.int64)
        # One component of all contributors after the other: they share the sampler's table.
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
        """The accounting event of one release, whoever drops out within the tolerance."""
        return self.realised(self.tolerance)

    def realised(self, dropped: int) -> SkellamEvent:
        """Return the accounting event of a sum that `dropped` clients are missing from, its excess removed.

        Its variance is that of the noise which `colluding` of the contributors do not know, rounded down.

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
        """Return a B that no coordinate of a sum of noises, all components in it, exceeds but with some probability.

        Args:
            contributors: number of noises in the sum, 1 to `clients`.
            failure: probability that some coordinate exceeds the bound in magnitude, strictly between 0 and 1.

        Raises:
            InvalidParameter: an argument is out of range.
        """
        shares = integer_at_least("contributors", contributors, 1, maximum=self.clients)
        return skellam_reach(shares * self._inflated / self.minimum_contributors, self.dimension, failure)

    @property
    def _inflated(self) -> Fraction:
        """The variance s that is left in a released sum, colluders' noise included."""
        contributors = self.minimum_contributors
        return Fraction(self.target_variance) * contributors / (contributors - self.colluding)

    def _checked_tolerance(self) -> int:
        tolerance = integer_at_least("tolerance", self.tolerance, 0, maximum=self.clients - 1)
        if tolerance > MAXIMUM_TOLERANCE:
            raise InvalidParameter(
                f"tolerance: expected at most {MAXIMUM_TOLERANCE}, found {tolerance}; each tolerated drop-out takes a "
                f"secret of every client, of which a session carries {MAXIMUM_TOLERANCE}; plan shares for the worst "
                f"case instead (DistributedSkellam), or let fewer drop out"
            )
        return tolerance

    def _checked_dropped(self, dropped: int) -> int:
        missing = integer_at_least("dropped", dropped, 0)
        if missing > self.tolerance:
            raise TooManyDropped(
                f"{missing} of {self.clients} clients are missing from the sum, at most {self.tolerance} were to be: "
                f"the release is blocked, its noise would be too little; plan for a greater tolerance"
            )
        return missing

    def _variance(self, component: int) -> Fraction:
        left = self.clients - component
        return self._inflated / (self.clients if component == 0 else (left + 1) * left)

    def _expanded(self, component: int, seed: bytes) -> NDArray[np.int64]:
        return skellam(self._variance(component), self.dimension, lambda _: seed)

    def _check_seeds(self, components: range, contributors: int, seeds: Sequence[Sequence[bytes]]) -> None:
        if len(seeds) != contributors:
            raise InvalidParameter(f"seeds: expected those of {contributors} contributors, found {len(seeds)}")
        for opened in seeds:
            if len(opened) != len(components):
                raise InvalidParameter(
                    f"seeds: expected {len(components)} of each contributor, of components {components.start} to "
                    f"{self.tolerance}, found {len(opened)}"
                )
            if any(type(seed) is not bytes or len(seed) != SEED_BYTES for seed in opened):
                raise InvalidParameter(f"seeds: expected {SEED_BYTES} bytes each, found something else")
