"""What a node trains: a Keras model on the node's own part of the digits. Replace the data by your own.

TensorFlow takes seconds to import, and every message to a node starts a process. So it is imported where it is used.
"""

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.engines.base import Update
from secagg.engines.work import Work

SEED = 1


@cache
def model() -> Any:
    """Return the model, which is that of `secagg train --model softmax`."""
    import keras

    keras.utils.set_random_seed(SEED)
    made = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, "softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


@cache
def examples(node: int, nodes: int) -> tuple[Any, Any]:
    """Return a node's examples."""
    from secagg.data.load import load_dataset
    from secagg.data.partition import partition

    data = load_dataset("digits", seed=SEED)
    mine = partition(data.train_y, clients=nodes, seed=SEED, alpha=None)[node]
    return data.train_x[mine], data.train_y[mine]


def fit(
    arrays: Sequence[NDArray[Any]], *, node: int, nodes: int, learning_rate: float, epochs: int
) -> list[NDArray[Any]]:
    """Train from these arrays on a node's examples, and return the trained ones."""
    x, y = examples(node, nodes)
    local = model()
    local.set_weights(list(arrays))
    local.optimizer.learning_rate = learning_rate
    local.fit(x, y, epochs=epochs, batch_size=8, verbose=0)
    return [np.asarray(array) for array in local.get_weights()]


def accuracy(arrays: Sequence[NDArray[Any]]) -> float:
    """Return the accuracy on the examples that no node trains on."""
    from secagg.data.load import load_dataset

    data = load_dataset("digits", seed=SEED)
    model().set_weights(list(arrays))
    return float(model().evaluate(data.test_x, data.test_y, verbose=0)[1])


def train(work: Work) -> Update:
    """Return a node's update, for `secagg node serve HOME --train flower_digits.training:train`.

    `DIGITS_NODE` is the number of the node, from 0, and `DIGITS_NODES` how many there are.
    """
    node, nodes = int(os.environ["DIGITS_NODE"]), int(os.environ["DIGITS_NODES"])
    rate, epochs = float(work.settings["learning-rate"]), int(work.settings["epochs"])
    trained = fit(work.arrays, node=node, nodes=nodes, learning_rate=rate, epochs=epochs)
    return Update(
        [new - old for new, old in zip(trained, work.arrays, strict=True)], examples=len(examples(node, nodes)[0])
    )
