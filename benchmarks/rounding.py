"""Whether any integer vector exceeds the norm that its noise was sized for: `python -m benchmarks.rounding`.

Random updates and adversarial ones go through the whole of `Encoding.encode`: clipped, rotated, bounded, scaled and
rounded at random.  Each result's squared norm, in Python's integers, is held against the exact square of the stated
sensitivity.  The check costs nothing where no vector comes near: what is reported besides is how many had to be
rounded again because the first try went beyond, and how many were rounded towards zero at last.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice, product
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.machine import Machine
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.rotation import Rotation
from secagg.aggregation.rounding import TRIES
from secagg.aggregation.weighting import Weighting
from secagg.errors import ModulusTooSmall

VECTORS: Final = 1_000_000

Vector = NDArray[np.float64]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        vectors: How many were encoded.
        violations: Whose squared norm was above the square of the sensitivity.
        rounded_again: For which the first try was beyond it.
        rounded_towards_zero: For which every try was.
        largest: Norm, as a fraction of the sensitivity.
        by_kind: Vectors of each kind.
        seconds: In all.
    """

    machine: Machine
    vectors: int
    violations: int
    rounded_again: int
    rounded_towards_zero: int
    largest: float
    by_kind: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Case:
    """An encoding, with one rotation, and the exact square of its sensitivity."""

    encoding: Encoding
    rotation: Rotation
    most: Fraction

    @property
    def cells(self) -> int:
        """Coordinates of the update, without the weight."""
        return self.encoding.dimension - (self.encoding.weighting is Weighting.WEIGHTED)

    def turned_back(self, rotated: Vector) -> Vector:
        """The update that the rotation makes this vector of, as nearly as padding and weight allow."""
        return self.rotation.restore(rotated)[: self.cells]


class Counted:
    """Entropy that counts how often it is asked, fresh each time or always the same.

    Args:
        entropy: Where the bytes come from.
        stuck: Whether every try is to get the bytes of the first.
    """

    def __init__(self, entropy: Callable[[int], bytes], *, stuck: bool) -> None:
        self._entropy, self._stuck, self._first = entropy, stuck, b""
        self.asked = 0

    def __call__(self, size: int) -> bytes:
        """Return `size` bytes of the source."""
        self.asked += 1
        if self._stuck and self._first:
            return self._first
        self._first = self._entropy(size)
        return self._first


def cases() -> list[Case]:
    """From one coordinate to some hundred, from the coarsest lattice to the finest, from tiny clips to huge ones."""
    found: list[Case] = []
    for dimension, bits, clip, weighting in product(
        (1, 16, 33, 128), (6, 8, 11, 14, 24, 62), (1e-270, 0.3, 1e270), Weighting
    ):
        try:
            encoding = Encoding.fit(
                shapes=[(dimension,)], clip_l2=clip, clients=2, modulus_bits=bits, weighting=weighting
            )
        except ModulusTooSmall:
            continue
        turn = Rotation(encoding.dimension, b"%d" % len(found))
        found.append(Case(encoding, turn, Fraction(encoding.l2_sensitivity) ** 2))
    return found


def spread(case: Case, generator: np.random.Generator) -> Vector:
    """Magnitudes over hundreds of decades, some of the entries zero."""
    least, most = np.sort(generator.uniform(-320, 300, 2)).tolist()
    vector = generator.normal(size=case.cells) * 10.0 ** generator.uniform(least, most, case.cells)
    return np.where(generator.random(case.cells) < generator.random(), vector, 0.0)


def at_the_clip(case: Case, generator: np.random.Generator) -> Vector:
    """A random direction at the clip, or a last digit below or above it."""
    vector = generator.normal(size=case.cells)
    vector *= case.encoding.clip_l2 / np.linalg.norm(vector)
    return np.asarray(vector * (1 + int(generator.integers(-1, 2)) * 2.0**-52))


def one_coordinate(case: Case, generator: np.random.Generator) -> Vector:
    """All of the clip, or far more, in one coordinate, before the rotation or after it."""
    place = int(generator.integers(case.encoding.length))
    size = case.encoding.clip_l2 * float(generator.choice([1.0, 1e30]))
    if generator.random() < 0.5:
        return case.turned_back(size * np.eye(1, case.encoding.length, place)[0])
    return np.asarray(size * np.eye(1, case.cells, place % case.cells)[0])


def equal_fractions(case: Case, generator: np.random.Generator) -> Vector:
    """After the rotation, coordinates all of one fraction: just above or below a half, or almost whole."""
    fraction = float(generator.choice([0.5, 0.5 + 1e-9, 0.5 - 1e-9, 1e-9, 1 - 1e-9, 0.25, 0.0]))
    largest = case.encoding.clip_l2 / case.encoding.granularity / np.sqrt(case.encoding.length)
    # As many steps as the clip has room for, or few.
    whole = np.floor(max(0.0, largest - fraction)) if generator.random() < 0.5 else float(generator.integers(3))
    signs = generator.choice([-1.0, 1.0], case.encoding.length) if generator.random() < 0.5 else 1.0
    return case.turned_back(np.full(case.encoding.length, (whole + fraction) * case.encoding.granularity) * signs)


def least_numbers(case: Case, generator: np.random.Generator) -> Vector:
    """Subnormal numbers, alone or with one entry beyond the clip among them."""
    vector = np.full(case.cells, 5e-324) * generator.integers(-9, 10, case.cells)
    if generator.random() < 0.5:
        vector[int(generator.integers(case.cells))] = -1e300
    return np.asarray(vector)


KINDS: Final[tuple[Callable[[Case, np.random.Generator], Vector], ...]] = (
    spread,
    at_the_clip,
    one_coordinate,
    equal_fractions,
    least_numbers,
)


def turns(seed: int) -> Iterator[tuple[str, Case, Vector, bool]]:
    """Every kind for every case in turn, without end; one in four with entropy that is stuck."""
    generator = np.random.default_rng(seed)
    for case, kind in cycle(product(cases(), KINDS)):
        yield kind.__name__, case, kind(case, generator), bool(generator.random() < 0.25)


def measure(vectors: int, *, seed: int, entropy: Callable[[int], bytes] = os.urandom) -> Report:
    """Encode that number of vectors, and check every norm."""
    violations = again = towards_zero = 0
    largest, by_kind = 0.0, dict.fromkeys((kind.__name__ for kind in KINDS), 0)
    begun = time.process_time()
    for name, case, vector, stuck in islice(turns(seed), vectors):
        encoding, coins = case.encoding, Counted(entropy, stuck=stuck)
        weight = 1.0 if encoding.weighting is Weighting.WEIGHTED else None
        integers = encoding.encode([vector], weight=weight, rotation=case.rotation, entropy=coins).tolist()
        squared = sum(integer * integer for integer in integers)
        violations += squared > case.most
        again += coins.asked > 1
        towards_zero += coins.asked == TRIES
        largest = max(largest, float(squared / case.most))
        by_kind[name] += 1
    return Report(
        machine=Machine.here(["numpy"]),
        vectors=vectors,
        violations=violations,
        rounded_again=again,
        rounded_towards_zero=towards_zero,
        largest=float(np.sqrt(largest)),
        by_kind=by_kind,
        seconds=time.process_time() - begun,
    )


def main(
    vectors: Annotated[int, typer.Option(min=1, help="How many to encode.")] = VECTORS,
    seed: Annotated[int, typer.Option(min=0, help="Of the updates; coins are the system's.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Encode random and adversarial updates, and look at the norms of all their integers."""
    report = measure(vectors, seed=seed)
    Console().print(
        f"{report.vectors} vectors, {report.violations} above the sensitivity; the largest at {report.largest:.6f} of "
        f"it; {report.rounded_again} rounded again, {report.rounded_towards_zero} towards zero ({report.seconds:.0f} s)"
    )
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if report.violations:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
