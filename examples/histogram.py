"""A differentially private histogram through a secure sum: the server learns noisy counts and no client's answer.

Each client has one answer, so its vector has one entry that is not zero, and the L2 sensitivity of the counts is 1.
Clients multiply counts by `SCALE` before they add noise. The reason: the discrete Gaussian noise of a single client
must have a standard deviation of at least 2. Without the factor, that would be more noise than needed.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dp import DistributedDiscreteGaussian, Ledger, calibrate_noise
from protocols import SecAggPlus, Session, simulate

BINS, CLIENTS, COLLUDING, SCALE = 16, range(200), 10, 32
generator = np.random.default_rng(3)
answers = {client: int(generator.binomial(BINS - 1, 0.3)) for client in CLIENTS}

protocol, threshold = SecAggPlus.suggest(clients=len(CLIENTS), adversarial=0.05, dropout=0.1)
noise = calibrate_noise(
    DistributedDiscreteGaussian,
    epsilon=1.0,
    delta=1e-4,
    releases=1,
    l2_sensitivity=SCALE,
    dimension=BINS,
    minimum_contributors=threshold - COLLUDING,  # Only noise shares of clients that do not collude count.
)
# The modulus has room for all counts and, with probability at least 1 - 2^-40, for the noise in all of them.
largest = len(CLIENTS) * SCALE + noise.tail_bound(contributors=len(CLIENTS), failure=2.0**-40)
modulus = 1 << (2 * largest + 1).bit_length()


def vector_of(answer: int) -> NDArray[np.uint64]:
    """Return what one client puts into the secure sum: its answer plus its noise share."""
    one_hot = np.zeros(BINS, dtype=np.int64)
    one_hot[answer] = SCALE
    noised = one_hot + noise.share(os.urandom)
    return np.mod(noised, modulus).astype(np.uint64)


session = Session(session_id=os.urandom(16), clients=tuple(CLIENTS), threshold=threshold, length=BINS, modulus=modulus)
with (
    tempfile.TemporaryDirectory() as folder,  # Keep a real ledger for as long as data of these people exist.
    Ledger.create(Path(folder, "budget.sqlite"), epsilon=1.0, delta=1e-4, population=len(CLIENTS)) as ledger,
):
    ticket = ledger.reserve(noise.event, "histogram of answers")  # Reserve before anything is sent.
    vectors = {client: vector_of(answer) for client, answer in answers.items()}
    outcome = simulate(protocol, session, vectors, drops={"mask_input": [3, 4, 5]})
    contributors = len(outcome.contributors)
    ledger.commit(ticket, contributors=contributors, realised=noise.realised(contributors - COLLUDING))
    spent = ledger.spent()

total = outcome.total.astype(np.int64)
counts = np.where(total >= modulus // 2, total - modulus, total) / SCALE
exact = np.bincount([answers[client] for client in outcome.contributors], minlength=BINS)
deviation = noise.central_sigma / SCALE * np.sqrt(contributors / noise.minimum_contributors)
print(f"noisy counts {counts.round(1)}")
print(f"exact counts {exact}")
print(
    f"the noise has standard deviation {deviation:.2f}; epsilon {spent.epsilon:.3f} at delta {spent.delta:g} is spent"
)
