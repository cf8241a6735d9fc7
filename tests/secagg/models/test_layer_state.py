"""What layers keep besides weights does not pass from one simulated client to the next."""

from typing import Any

import numpy as np
import pytest

from secagg.models.keras import KerasModel
from secagg.models.tensorflow import load_legacy_keras
from secagg.simulation.devices import Devices
from tests.support.federation import updates_of

pytestmark = pytest.mark.tensorflow


def both_kerases() -> list[Any]:
    import keras

    return [
        pytest.param(lambda: keras, id="Keras 3"),
        pytest.param(load_legacy_keras, id="Keras 2", marks=pytest.mark.example_level),
    ]


def counting(keras: Any) -> Any:
    """A model whose layer adds up integers over all the examples that it has ever seen in training."""

    class Counting(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.seen = self.add_weight(name="seen", shape=(), dtype="int32", initializer="zeros", trainable=False)

        def call(self, x: Any, training: bool = False) -> Any:
            import tensorflow

            if training:
                added = tensorflow.cast(tensorflow.reduce_sum(tensorflow.abs(x)), "int32")
                self.seen.assign(tensorflow.convert_to_tensor(self.seen) + added)
            return x * (1.0 + tensorflow.cast(tensorflow.convert_to_tensor(self.seen), "float32") / 100.0)

    layers = keras.layers
    return keras.Sequential([keras.Input((3,)), Counting(), layers.Dense(2, "softmax")])


def stateful(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input(batch_shape=(4, 3, 1)), layers.LSTM(3, stateful=True), layers.Dense(2, "softmax")]
    )


def update_of_second(keras: Any, build: Any, shape: tuple[int, ...], first: float) -> list[Any]:
    """The second client's update in the second round, for given examples of the first client."""
    y = np.arange(4) % 2
    shards = [(np.full((4, *shape), first, np.float32), y), (np.ones((4, *shape), np.float32), y)]
    model = KerasModel(lambda: build(keras), optimizer="sgd", learning_rate=0.5, seed=1)
    devices = Devices(model=model, shards=shards, epochs=2, batch_size=4, seed=1)
    start = model.get_weights()
    model.evaluate(*shards[0])
    for number in (1, 2):
        updates = updates_of(devices, start, number)
    return updates[1]


@pytest.mark.parametrize("keras", both_kerases())
@pytest.mark.parametrize(("build", "shape"), [(counting, (3,)), (stateful, (3, 1))], ids=["counter", "recurrent"])
def test_update_of_a_client_does_not_depend_on_what_another_trained_on(keras: Any, build: Any, shape: Any) -> None:
    one, other = (update_of_second(keras(), build, shape, first) for first in (1.0, 30.0))
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
