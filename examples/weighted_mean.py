"""A secure mean of plain arrays, in which each client counts by its number of examples.

No model and no training is involved: a client has one array of measurements, and the server learns their weighted mean.
The number of examples is secret as well: it travels inside the masked vector.
"""

import numpy as np

from protocols import SecAggPlus
from secagg import SecureMean, Weighting, simulate_mean

generator = np.random.default_rng(1)
clients = range(60)
measured = {client: [generator.normal(loc=2.0, scale=0.5, size=4)] for client in clients}  # a list of one array
examples = {client: int(generator.integers(10, 200)) for client in clients}

protocol, threshold = SecAggPlus.suggest(clients=60, adversarial=0.05, dropout=0.1)
mean = SecureMean.plan(
    protocol=protocol,
    clients=clients,
    minimum_contributors=threshold,
    shapes=[(4,)],
    clip_l2=10.0,  # Without noise, choose a bound that no client's array reaches: then nothing is clipped.
    weighting=Weighting.WEIGHTED,
    max_weight=200,  # A client counts for at most 200 examples.
)
release = simulate_mean(mean, measured, weights=examples, drops={"mask_input": [7, 8]})

contributors = release.contributors
exact = np.average(
    [measured[client][0] for client in contributors], axis=0, weights=[examples[c] for c in contributors]
)
print(f"weighted mean of {len(contributors)} clients: {release.mean[0].round(4)}")
print(f"computed in the clear it is              {exact.round(4)}")
print(f"they differ by at most {release.rounding_bound:.1e}, the bound on rounding")
