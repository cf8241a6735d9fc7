"""A secure mean of plain arrays, in which each client counts by its number of examples.

There is no model and no training. Each client has one array of measurements, and the server learns their weighted mean.
The numbers of examples stay secret too, because they are part of the masked vectors. There is no noise here, so the
mean is not differentially private.
"""

import numpy as np

from protocols import SecAggPlus
from secagg import SecureMean, Weighting, simulate_mean

generator = np.random.default_rng(1)
clients = range(60)
measured = {client: [generator.normal(loc=2.0, scale=0.5, size=4)] for client in clients}  # A list of one array.
examples = {client: int(generator.integers(10, 200)) for client in clients}

protocol, threshold = SecAggPlus.suggest(clients=60, adversarial=0.05, dropout=0.1)
mean = SecureMean.plan(
    protocol=protocol,
    clients=clients,
    minimum_contributors=threshold,
    shapes=[(4,)],
    clip_l2=10.0,  # Without noise, choose a bound that no client's array reaches, so that nothing is clipped.
    weighting=Weighting.WEIGHTED,
    max_weight=200,  # A client counts for at most 200 examples.
)
release = simulate_mean(mean, measured, weights=examples, drops={"mask_input": [7, 8]})

contributors = release.contributors
exact = np.average(
    [measured[client][0] for client in contributors], axis=0, weights=[examples[c] for c in contributors]
)
print(f"weighted mean of {len(contributors)} clients: {release.mean[0].round(4)}")
print(f"computed without a protocol, it is {exact.round(4)}")
print(f"rounding can change each entry by at most {release.rounding_bound:.1e}")
