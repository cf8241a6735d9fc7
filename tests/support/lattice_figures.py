"""The tables of `docs/lattice-gaussian.md`, computed anew: `python -m tests.support.lattice_figures`.

The first table is computed with forty digits. Exact epsilons are computed from enumerated laws, without `dp`.
"""

import math
from typing import Any, Final, NamedTuple

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information

from dp.accounting.guarantee import Guarantee, guarantee
from dp.events import GaussianEvent, NoisyEvent, PoissonSampledEvent
from tests.support.lattice_events import ADD_OR_REMOVE, deviation_of, event_of
from tests.support.lattice_laws import Noise, Shares, Skellam, epsilon, law

DIGITS: Final = 40
DEVIATIONS: Final[list[Noise]] = [
    *(Shares(sigma) for sigma in (0.6, 1.0, 2.0, 4.0, 30.0)),
    *(Shares(sigma, number) for sigma, number in ((0.7, 10), (1.0, 3), (1.0, 20), (2.0, 2), (2.0, 100))),
    *(Skellam(variance) for variance in (0.6, 1.0, 2.0, 4.0, 10.0, 25.0, 100.0, 400.0, 1e4, 3e5)),
]
LOSSES: Final = (2, 4, 10, 30, 1000)
VARIATIONS: Final[list[Noise]] = [Shares(1.0), Shares(2.0), Skellam(4.0), Skellam(25.0), Shares(0.7, 2)]


class Releases(NamedTuple):
    """A number of releases with one noise, each sampled at a rate."""

    noise: Noise
    sensitivity: float
    times: int
    delta: float
    rate: float = 1.0
    dimension: int | None = None

    @property
    def coordinates(self) -> int:
        """The dimension; by default as many coordinates as integers of this norm can differ from 0 in."""
        return round(self.sensitivity**2) if self.dimension is None else self.dimension

    def spent(self) -> Guarantee:
        """Return the guarantee of the releases."""
        return self._spent(event_of(self.noise, l2_sensitivity=self.sensitivity, dimension=self.coordinates))

    def continuous(self) -> Guarantee:
        """Return the guarantee of as many releases with continuous Gaussian noise of the same variance."""
        lattice = event_of(self.noise, l2_sensitivity=self.sensitivity, dimension=self.coordinates)
        return self._spent(GaussianEvent(noise_multiplier=lattice.noise_multiplier, relation=ADD_OR_REMOVE))

    def exact(self) -> tuple[float, float]:
        """Return the epsilons of a unit that moves one coordinate by all it can, and of one that moves many by 1.

        They are computed on two grids and extrapolated.
        """
        shift = round(self.sensitivity)
        ways = ((shift, self.times), (1, self.times * shift**2))
        along, across = (
            tuple(epsilon(self.noise, shift=moved, times=times, delta=self.delta, parts=parts) for parts in (250, 500))
            for moved, times in ways
        )
        return (4 * along[1] - along[0]) / 3, (4 * across[1] - across[0]) / 3

    def _spent(self, event: NoisyEvent) -> Guarantee:
        sampled = PoissonSampledEvent(sampling_rate=self.rate, event=event)
        return guarantee({sampled if self.rate < 1 else event: self.times}, delta=self.delta, relation=ADD_OR_REMOVE)


SMALL: Final = [
    Releases(Shares(2.0, 4), 1, 4, 1e-5),
    Releases(Shares(2.0, 10), 2, 8, 1e-5),
    Releases(Shares(3.0, 20), 5, 16, 1e-6),
    Releases(Shares(4.0, 50), 10, 30, 1e-3),
    Releases(Shares(2.0, 100), 10, 30, 1e-5),
    Releases(Skellam(1.0), 1, 1, 1e-5),
    Releases(Skellam(4.0), 1, 1, 1e-5),
    Releases(Skellam(4.0), 2, 4, 1e-5),
    Releases(Skellam(10.0), 3, 2, 1e-6),
    Releases(Skellam(25.0), 5, 1, 1e-5),
    Releases(Skellam(100.0), 10, 4, 1e-5),
    Releases(Skellam(400.0), 20, 1, 1e-3),
    Releases(Skellam(400.0), 20, 10, 1e-5),
    Releases(Skellam(1e4), 100, 10, 1e-5),
]
LARGE: Final = [
    Releases(Skellam(1144900.0), 1000, 1500, 1 / 3400, 100 / 3400, 2**20),
    Releases(Shares(10682.0, 100), 1e5, 1500, 1 / 3400, 100 / 3400, 2**20),
    Releases(Shares(2.0, 100), 40, 1000, 1e-6, 0.001, 2**20),
    Releases(Skellam(100.0), 10, 10_000, 1e-6, 0.01, 2**20),
    Releases(Skellam(2e9), 15_700, 30, 1e-3, 1.0, 2**20),
    Releases(Skellam(3e5), 180, 30, 1e-3, 1.0, 2**20),
]


def exact_ripple(noise: Shares) -> Any:
    """Return L of a sum of noise shares, at mpmath's precision."""
    total = mpmath.mpf(0)
    for k in range(1, noise.number):
        part = -2 * mpmath.pi**2 * mpmath.mpf(noise.sigma) ** 2 * k / (k + 1)
        e = 2 * mpmath.fsum(mpmath.exp(part * i**2) for i in range(1, 12))
        total += mpmath.log((1 + e) / (1 - e))
    return total


def exact_curvature(noise: Noise) -> Any:
    """Return the bound B of a noise, at mpmath's precision."""
    match noise:
        case Shares(sigma, number):
            return 1 / (number * mpmath.mpf(sigma) ** 2) + 2 * exact_ripple(noise)
        case Skellam(variance):
            return -mpmath.log(1 - 1 / mpmath.sqrt(mpmath.mpf(variance) ** 2 + mpmath.mpf(3) / 4))


def exact_deviation(noise: Noise) -> Any:
    """Return s = 1/a for the least a with a^2 - a^4/12 = B, by Newton's method, at mpmath's precision."""
    curvature = exact_curvature(noise)
    square = curvature
    for _ in range(200):
        square -= (square - square**2 / 12 - curvature) / (1 - square / 6)
    return 1 / mpmath.sqrt(square)


def gaussian_total_variation(deviation: float) -> float:
    """Return the total variation of Gaussian noise of a deviation when it is moved by 1."""
    return math.erf(1 / (deviation * math.sqrt(8)))


def words(noise: Noise) -> str:
    """Return a noise in words."""
    match noise:
        case Skellam(variance):
            return f"Skellam {variance:.10g}"
        case Shares(sigma, 1):
            return f"discrete Gaussian {sigma:g}"
        case Shares(sigma, number):
            return f"{number} discrete Gaussians {sigma:g}"


def row(*cells: object) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print all tables."""
    out = []
    with mpmath.workdps(DIGITS):
        for noise in DEVIATIONS:
            ripple = mpmath.nstr(exact_ripple(noise), 8) if isinstance(noise, Shares) else ""
            out.append(row(words(noise), ripple, mpmath.nstr(exact_deviation(noise), 12)))
    out.append("")
    kinds: dict[str, list[Noise]] = {
        "discrete Gaussian": [Shares(float(sigma)) for sigma in LOSSES],
        "Skellam": [Skellam(float(sigma**2)) for sigma in LOSSES],
    }
    for name, noises in kinds.items():
        parts = [1 - deviation_of(noise) / sigma for noise, sigma in zip(noises, LOSSES, strict=True)]
        out.append(row(name, *(f"{100 * part:.3g}%" for part in parts)))
    out.append("")
    for noise in VARIATIONS:
        found = law(noise)
        exact, bound = found[len(found) // 2], gaussian_total_variation(deviation_of(noise))
        out.append(row(words(noise), f"{exact:.10f}", f"{bound:.10f}"))
    out.append("")
    for each in SMALL:
        spent, continuous = each.spent(), each.continuous()
        given = (words(each.noise), f"{each.sensitivity:g}", each.times, f"{each.delta:g}")
        account = (f"{spent.epsilon:.6f}", f"{spent.rdp_epsilon:.4f}", f"{continuous.epsilon:.5f}")
        out.append(row(*given, *(f"{one:.5f}" for one in each.exact()), *account))
    out.append("")
    for each in LARGE:
        spent, continuous = each.spent(), each.continuous()
        account = (f"{spent.epsilon:.6f}", f"{spent.rdp_epsilon:.4f}", f"{continuous.epsilon:.6f}")
        sampled = (f"{each.rate:.5g}", each.times, f"{each.delta:.5g}")
        out.append(row(words(each.noise), f"{each.sensitivity:g}", *sampled, *account))
    print("\n".join(out))  # noqa: T201  # This is a command.


if __name__ == "__main__":
    main()
