"""A secure mean of named arrays, such as the state dictionaries of PyTorch models.

For a PyTorch model, make the dictionary with
    {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
and load the result with
    model.load_state_dict({name: torch.from_numpy(array) for name, array in averaged.items()}).
Counters, such as `num_batches_tracked` of batch normalisation, are integers. They are not averaged and stay local.
Average updates (weights after training minus weights before it) and not weights. Their norm is smaller, so the clipping
bound can be smaller. If noise is added, it is then smaller too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols import SecAgg
from secagg import SecureMean, simulate_mean

Named = Mapping[str, NDArray[Any]]


def averaged_names(state: Named) -> list[str]:
    """Return the names of the arrays to average, those of floats, in an order that all clients agree on."""
    return sorted(name for name, array in state.items() if np.issubdtype(array.dtype, np.floating))


def as_list(state: Named, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return the named arrays as the list that a secure mean takes."""
    return [state[name] for name in names]


def as_dict(arrays: Sequence[NDArray[Any]], names: Sequence[str], like: Named) -> dict[str, NDArray[Any]]:
    """Return a list of means as a dictionary again, with the dtypes of `like`."""
    return {name: array.astype(like[name].dtype) for name, array in zip(names, arrays, strict=True)}


generator = np.random.default_rng(2)


def update_of_one_client() -> dict[str, NDArray[Any]]:
    """Return what a client's training has changed; here the numbers are random."""
    return {
        "linear.weight": generator.normal(scale=0.1, size=(3, 5)).astype(np.float32),
        "linear.bias": generator.normal(scale=0.1, size=3).astype(np.float32),
        "temperature": np.array(generator.normal(scale=0.1), dtype=np.float32),
        "norm.num_batches_tracked": np.array(17),
    }


updates = {client: update_of_one_client() for client in range(20)}
names = averaged_names(updates[0])
protocol, threshold = SecAgg.suggest(clients=20, adversarial=0.05, dropout=0.2)
mean = SecureMean.plan(
    protocol=protocol,
    clients=list(updates),
    minimum_contributors=threshold,
    shapes=[np.shape(updates[0][name]) for name in names],
    clip_l2=1.0,
)
release = simulate_mean(mean, {client: as_list(update, names) for client, update in updates.items()})
averaged = as_dict(release.mean, names, like=updates[0])

for name, array in averaged.items():
    exact = np.mean([update[name] for update in updates.values()], axis=0)
    print(
        f"{name}: shape {array.shape}, {array.dtype}, differs from the exact mean by {np.abs(array - exact).max():.1e}"
    )
print(f"{len(release.contributors)} updates are in the mean; {sorted(set(updates[0]) - set(names))} stayed local")
