"""What a site trains, installed at the site: a Keras model on its own part of the digits.

`DIGITS_SITE` is the number of the site, from 1, and `DIGITS_SITES` how many there are. In a federation of your own,
read the site's data instead. The same code is FLARE's for all rounds of a job, so TensorFlow is imported once.
"""

import os
from functools import cache
from typing import Any

import numpy as np

from secagg.data.load import load_dataset
from secagg.data.partition import partition
from secagg.engines.base import Update
from secagg.engines.wire.work import Work

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
def examples() -> tuple[Any, Any]:
    """Return this site's examples."""
    data = load_dataset("digits", seed=SEED)
    site, sites = int(os.environ["DIGITS_SITE"]), int(os.environ["DIGITS_SITES"])
    mine = partition(data.train_y, clients=sites, seed=SEED, alpha=None)[site - 1]
    return data.train_x[mine], data.train_y[mine]


def train(work: Work) -> Update:
    """Return the update of this site."""
    x, y = examples()
    local = model()
    local.set_weights(work.arrays)
    local.optimizer.learning_rate = float(work.settings["learning_rate"])
    local.fit(x, y, epochs=int(work.settings["epochs"]), batch_size=8, verbose=0)
    trained = zip(local.get_weights(), work.arrays, strict=True)
    return Update([np.asarray(new - old) for new, old in trained], examples=len(x))
