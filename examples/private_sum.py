"""One differentially private sum with the package `dp` alone: a trusted party holds the data and adds the noise.

The guarantee does not hold against that party. It records the release in a ledger before it is made, scales each
person's vector down to a bound, rounds it to integers, sums exactly, and adds discrete Gaussian noise once. Rounding is
towards zero, so it cannot increase a norm.
"""

import tempfile
from pathlib import Path

import numpy as np

from dp import DistributedDiscreteGaussian, Ledger, calibrate_noise, clip_l2

PEOPLE, COORDINATES, BOUND, SCALE = 500, 3, 2.0, 1000  # One integer step stands for 1/1000.
generator = np.random.default_rng(4)
spending = generator.gamma(shape=2.0, scale=0.4, size=(PEOPLE, COORDINATES))

noise = calibrate_noise(
    DistributedDiscreteGaussian,
    epsilon=0.5,
    delta=1e-4,
    releases=1,
    l2_sensitivity=BOUND * SCALE,
    dimension=COORDINATES,
    minimum_contributors=1,  # One party adds all of the noise.
)
with (
    tempfile.TemporaryDirectory() as folder,  # Keep a real ledger for as long as data of these people exist.
    Ledger.create(Path(folder, "budget.sqlite"), epsilon=0.5, delta=1e-4, population=PEOPLE) as ledger,
):
    ticket = ledger.reserve(noise.event, "sum of spending")
    clipped = [clip_l2([row], bound=BOUND).arrays[0] for row in spending]
    steps = np.trunc(np.array(clipped) * SCALE).astype(np.int64)
    released = (steps.sum(axis=0) + noise.share()) / SCALE
    ledger.commit(ticket, contributors=PEOPLE, realised=noise.event)
    spent = ledger.spent()

print(f"released sum {released.round(2)}, with noise of standard deviation {noise.local_sigma / SCALE:.2f}")
print(f"exact sum    {spending.sum(axis=0).round(2)}; clipping removed {(spending - clipped).sum(axis=0).round(2)}")
print(f"epsilon {spent.epsilon:.3f} at delta {spent.delta:g} is spent")
