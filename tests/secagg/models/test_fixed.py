"""What names say of a model's arrays, and arrays that training never changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols import PlainSum
from secagg.aggregation.mean import SecureMean
from secagg.engines.memory import InMemory
from secagg.errors import ModelError
from secagg.models.base import ArrayRole
from secagg.models.keras import KerasModel
from secagg.models.tensorflow import load_tensorflow
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging

pytestmark = pytest.mark.tensorflow

TRAINED, STATISTIC, VARIANCE, FIXED = ArrayRole
CLIENTS = 3
X = np.random.default_rng(1).normal(size=(24, 4)).astype(np.float32) - 3
Y = np.arange(24) % 2
SHARDS = list(zip(np.array_split(X, CLIENTS), np.array_split(Y, CLIENTS), strict=True))
MASK = np.array([0, -np.inf, np.nan, 0], dtype=np.float32)


@pytest.fixture(params=["tf_keras", "keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    load_tensorflow()
    return pytest.importorskip(request.param)


def fixed(keras: Any, name: str, values: NDArray[np.float32]) -> Any:
    """A layer with a fixed array; it changes nothing."""
    tensorflow = load_tensorflow()

    class Fixed(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def build(self, _: Any) -> None:
            self.values = self.add_weight(name=name, shape=values.shape, initializer="zeros", trainable=False)
            self.values.assign(values)

        def call(self, x: Any) -> Any:
            held = tensorflow.convert_to_tensor(self.values)
            return tensorflow.where(tensorflow.math.is_finite(held), x, tensorflow.zeros_like(x))

    return Fixed(name="held")


def same(some: list[NDArray[Any]], others: list[NDArray[Any]]) -> bool:
    return all(np.array_equal(one, other, equal_nan=True) for one, other in zip(some, others, strict=True))


def test_the_name_of_a_layer_makes_no_variance(keras: Any) -> None:
    layers = keras.layers

    def builder() -> Any:
        normalisation = layers.BatchNormalization(name="running_var")
        return keras.Sequential([keras.Input((4,)), normalisation, layers.Dense(2, name="moving_var")])

    model = KerasModel(builder, seed=1)
    assert model.roles(X, Y) == (TRAINED, TRAINED, STATISTIC, VARIANCE, TRAINED, TRAINED)
    negative = [-1 - np.abs(array) for array in model.get_weights()]
    model.set_weights(negative)
    changed = [not np.array_equal(*pair) for pair in zip(negative, model.get_weights(), strict=True)]
    assert changed == [False, False, False, True, False, False]


def test_arrays_with_a_variance_s_name_that_no_training_keeps_may_be_negative(keras: Any) -> None:
    class CustomLayer(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def build(self, _: Any) -> None:
            self.scale = self.add_weight(name="running_std", shape=(4,), initializer="ones")

        def call(self, x: Any) -> Any:
            return x * self.scale

    def builder() -> Any:
        held = fixed(keras, "moving_variance", np.array([-1, 1, 1, 1], dtype=np.float32))
        return keras.Sequential([keras.Input((4,)), CustomLayer(), held, keras.layers.Dense(2)])

    model = KerasModel(builder, seed=1)
    weights = model.get_weights()
    weights[0] = -weights[0]
    model.set_weights(weights)
    assert same(model.get_weights(), weights)
    assert model.roles(X, Y)[:2] == (TRAINED, FIXED)
    weights[1] = weights[1] - 5  # another one, as of a pretrained model
    model.set_weights(weights)
    assert same(model.get_weights(), weights)


def masked(keras: Any) -> KerasModel:
    def builder() -> Any:
        layers = keras.layers
        stack = [fixed(keras, "mask", MASK), layers.BatchNormalization(), layers.Dense(2)]
        return keras.Sequential([keras.Input((4,)), *stack])

    return KerasModel(builder, optimizer="sgd", learning_rate=0.1, seed=1)


def test_a_fixed_array_that_is_not_finite_can_be_trained_around_and_saved(keras: Any, tmp_path: Path) -> None:
    model = masked(keras)
    devices = Devices(model=model, shards=SHARDS, epochs=1, batch_size=4, seed=1)
    mean = SecureMean.plan(
        protocol=PlainSum(), clients=devices.clients, minimum_contributors=3, shapes=devices.shapes, clip_l2=1.0
    )
    training = SecureAveraging(engine=InMemory(devices), model=devices.model, test=(X, Y), mean=mean)
    initial, config, folder = training.state, TrainingConfig(), RunFolder(tmp_path / "run")
    initial = type(initial).initial(model, initial.clip)
    folder.begin(config)
    for _ in range(2):
        record = training.round()
        folder.save(training.state, record, config)
    assert record.contributors == CLIENTS
    assert same([training.state.weights[0]], [MASK])
    assert np.abs(training.state.weights[-1]).max() > 0
    restored = folder.restore(initial, config)
    assert restored.round == 2
    assert same(restored.weights, training.state.weights)
    model.set_weights(restored.weights)
    model.save(tmp_path / "model.keras")
    assert same([model.get_weights()[0]], [MASK])


@pytest.mark.parametrize("position", range(7))
def test_no_other_array_may_be_infinite(position: int) -> None:
    load_tensorflow()
    model = masked(pytest.importorskip("tf_keras"))
    model.roles(X, Y)
    held = model.get_weights()
    weights = [array.copy() for array in held]
    weights[position][..., 0] = -np.inf
    with pytest.raises(ModelError, match="finite"):
        model.set_weights(weights)
    assert same(model.get_weights(), held)


def test_a_statistic_that_has_become_infinite_is_refused_back() -> None:
    load_tensorflow()
    model = masked(pytest.importorskip("tf_keras"))
    assert model.roles(X, Y)[3] is STATISTIC
    model.model.layers[1].moving_mean.assign(np.full(4, np.inf, np.float32))
    with pytest.raises(ModelError, match="finite"):
        model.set_weights(model.get_weights())
