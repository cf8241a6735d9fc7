from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.ledger.ledger import Ledger
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.memory import InMemory
from secagg.errors import ModelError
from secagg.models.base import ArrayRole
from secagg.models.keras import KerasModel
from secagg.models.private import PrivateKerasModel
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow
from secagg.models.variables import underlying
from secagg.privacy.example_level import ExampleLevel
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import ServerStep

pytestmark = pytest.mark.tensorflow

TRAINED, STATISTIC, VARIANCE, FIXED = ArrayRole
CLIENTS, ROWS = 5, 12
X = np.random.default_rng(1).normal(size=(CLIENTS * ROWS, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
SHARDS = list(zip(np.array_split(X, CLIENTS), np.array_split(Y, CLIENTS), strict=True))


@pytest.fixture(params=["tf_keras", "keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    load_tensorflow()
    return pytest.importorskip(request.param)


def own_layer(keras: Any) -> Any:
    """A layer of a user's own: it keeps a running variance by a function of its own, counts, and has a fixed scale."""
    tensorflow = load_tensorflow()

    class CustomLayer(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def build(self, shape: Any) -> None:
            settings: dict[str, Any] = {"shape": (), "initializer": "ones", "trainable": False}
            self.running = self.add_weight(name="running_variance", **settings)
            self.latest = self.add_weight(name="latest", **settings)
            self.fixed = self.add_weight(name="fixed_scale", **settings)
            self.count = self.add_weight(name="count", dtype="int64", **settings)

        def call(self, x: Any, training: bool = False) -> Any:
            if training:

                @tensorflow.function  # type: ignore[untyped-decorator]
                def observe(values: Any) -> None:
                    self.running.assign(tensorflow.math.reduce_variance(values))

                observe(x)
                tensorflow.cond(
                    tensorflow.shape(x)[0] > 1,
                    lambda: underlying(tensorflow, self.latest).assign(tensorflow.reduce_mean(x)),
                    lambda: underlying(tensorflow, self.latest).value(),
                )
                self.count.assign_add(1)
            return x * self.fixed

    return CustomLayer()


def backbone(keras: Any) -> Any:
    """A frozen base with batch normalisation under a trained head, which has batch normalisation too."""
    layers = keras.layers
    base = keras.Sequential([keras.Input((6,)), layers.Dense(7, "relu"), layers.BatchNormalization()], name="base")
    base.trainable = False
    return keras.Sequential(
        [keras.Input((6,)), base, layers.Dense(4), layers.BatchNormalization(), layers.Dense(3, "softmax")]
    )


def test_roles_follow_what_a_training_step_writes(keras: Any) -> None:
    layers = keras.layers
    fitted = layers.Normalization()
    fitted.adapt(3 * X + 2)

    def builder() -> Any:
        return keras.Sequential(
            [keras.Input((6,)), fitted, *backbone(keras).layers[:-1], own_layer(keras), layers.Dense(3, "softmax")]
        )

    model = KerasModel(builder, seed=1)
    before = model.get_weights()
    roles = model.roles(X, Y)
    normalisation = (TRAINED, TRAINED, STATISTIC, VARIANCE)
    assert roles == (
        *(FIXED,) * 2,
        *(FIXED,) * 6,
        *(TRAINED, TRAINED),
        *normalisation,
        *(VARIANCE, STATISTIC, FIXED),
        *(TRAINED, TRAINED),
    )
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    model.fit(X, Y, epochs=2, batch_size=8, seed=1)
    changed = [not np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True)]
    assert changed == [role.travels for role in roles]


@pytest.mark.example_level
def test_roles_of_batch_normalisation_that_is_called_for_inference_are_fixed() -> None:
    """In Keras 2; a functional model of Keras 3 trains its layers whatever they were first called with."""
    keras = load_legacy_keras()
    layers = keras.layers

    def builder() -> Any:
        inputs = keras.Input((6,))
        hidden = layers.BatchNormalization()(inputs, training=False)
        return keras.Model(inputs, layers.Dense(3, "softmax")(hidden))

    assert KerasModel(builder, seed=1).roles(X, Y) == (TRAINED, TRAINED, FIXED, FIXED, TRAINED, TRAINED)


@pytest.mark.example_level
def test_roles_of_a_frozen_embedding_and_of_a_subclass() -> None:
    keras = load_legacy_keras()
    layers = keras.layers
    tokens = np.arange(24).reshape(8, 3) % 10

    def builder() -> Any:
        stack = [keras.Input((3,), dtype="int32"), layers.Embedding(10, 4, trainable=False), layers.Flatten()]
        return keras.Sequential([*stack, layers.Dense(3, "softmax")])

    assert KerasModel(builder, seed=1).roles(tokens, Y[:8]) == (FIXED, TRAINED, TRAINED)

    class CustomModel(keras.Model):  # type: ignore[misc, name-defined]  # Keras is untyped
        def __init__(self) -> None:
            super().__init__()
            self.base, self.head = layers.Dense(4, trainable=False), layers.Dense(3)

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.head(self.base(inputs))

    def subclass() -> Any:
        model = CustomModel()
        model(X)
        return model

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert KerasModel(subclass, loss=loss, seed=1).roles(X, Y) == (FIXED, FIXED, TRAINED, TRAINED)


def test_roles_of_lora_leave_the_base_kernel_in_place() -> None:
    load_tensorflow()
    keras = pytest.importorskip("keras")

    def builder() -> Any:
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dense(3, "softmax")])
        model.layers[0].enable_lora(2)
        return model

    model = KerasModel(builder, optimizer="sgd", learning_rate=0.5, seed=1)
    shapes = [array.shape for array in model.get_weights()]
    travelling = [shape for shape, role in zip(shapes, model.roles(X, Y), strict=True) if role.travels]
    assert sorted(travelling) == sorted([(6, 2), (2, 5), (5,), (5, 3), (3,)])


def test_federated_training_leaves_a_frozen_base_alone_and_saves_what_it_evaluated(keras: Any, tmp_path: Path) -> None:
    model = KerasModel(lambda: backbone(keras), optimizer="sgd", learning_rate=0.3, seed=1)
    frozen = [array.copy() for array in model.model.get_layer("base").get_weights()]
    devices = Devices(model=model, shards=SHARDS, epochs=1, batch_size=4, seed=1)
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=devices.clients,
        minimum_contributors=CLIENTS,
        shapes=devices.shapes,
        clip_l2=0.5,
        target=Target(epsilon=8, delta=1e-3, releases=3, colluding=1),
    )
    assert mean.encoding.dimension == (7 * 4 + 4) + 4 * 4 + (4 * 3 + 3)
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=8, delta=1e-3, population=CLIENTS) as ledger:
        with pytest.warns(UserWarning, match="8 entries of running statistics"):
            training = SecureAveraging(
                engine=InMemory(devices),
                model=devices.model,
                test=(X, Y),
                mean=mean,
                ledger=ledger,
                step=ServerStep(learning_rate=2.0, momentum=0.9),
            )
        for _ in range(3):
            record = training.round()
    weights = training.state.weights
    for array, right in zip(weights, frozen, strict=False):
        assert array.astype(np.float32).tobytes() == right.tobytes()
    model.set_weights(weights)
    for layer, kept in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(layer, kept.astype(np.float32))  # variances below zero among them
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = np.argmax(np.asarray(loaded(X)), axis=1)
    assert float(np.mean(found == Y)) == pytest.approx(record.accuracy, abs=1e-6)


def private(build: Any) -> PrivateKerasModel:
    training = ExampleLevel(noise_multiplier=1e-20, clip_l2=0.7, examples=ROWS, clients=1, epochs=1, batch_size=ROWS)
    return PrivateKerasModel(build, training=training, learning_rate=float(ROWS), seed=3)


@pytest.mark.example_level
def test_example_level_training_clips_gradients_of_what_is_trained_alone() -> None:
    """A frozen layer with batch normalisation: what is subtracted is the sum of the head's clipped gradients."""
    keras = load_legacy_keras()
    layers = keras.layers

    def builder() -> Any:
        base = keras.Sequential([keras.Input((6,)), layers.Dense(5, "tanh"), layers.BatchNormalization()])
        base.trainable = False
        return keras.Sequential([keras.Input((6,)), base, layers.Dense(3, activation="softmax")])

    model = private(builder)
    x, y = 4 * X[:ROWS], Y[:ROWS]
    assert model.roles(x, y) == (*(FIXED,) * 6, TRAINED, TRAINED)
    start = model.get_weights()
    hidden = np.tanh(x.astype(np.float64) @ start[0] + start[1]) / np.sqrt(1 + 1e-3)
    scores = np.exp(hidden @ start[6] + start[7])
    residual = scores / scores.sum(axis=1, keepdims=True) - np.eye(3)[y]
    rows = np.hstack([(hidden[:, :, None] * residual[:, None, :]).reshape(ROWS, -1), residual])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    assert norms.max() > 0.7
    expected = (rows / np.maximum(norms / 0.7, 1)).sum(axis=0)
    model.fit(x, y, epochs=1, batch_size=ROWS, seed=0)
    after = model.get_weights()
    assert all(one.tobytes() == other.tobytes() for one, other in zip(start[:6], after[:6], strict=True))
    step = np.concatenate([(one.astype(np.float64) - other).ravel() for one, other in zip(start, after, strict=True)])
    np.testing.assert_allclose(step[-expected.size :], expected, atol=2e-6)


@pytest.mark.example_level
def test_example_level_training_refuses_statistics_and_chance_before_anything_runs() -> None:
    keras = load_legacy_keras()
    layers = keras.layers

    def dropping() -> Any:
        return keras.Sequential([keras.Input((6,)), layers.Dropout(0.5), layers.Dense(3, "softmax")])

    with pytest.raises(ModelError, match="keeps no statistics"):
        private(lambda: backbone(keras))
    with pytest.raises(ModelError, match="without random layers"):
        Devices(model=private(dropping), shards=SHARDS, epochs=1, batch_size=ROWS, seed=1)


@pytest.mark.example_level
def test_weights_of_a_layer_that_is_named_like_a_statistic_are_not_clamped() -> None:
    keras = load_legacy_keras()
    layers = keras.layers
    model = KerasModel(
        lambda: keras.Sequential(
            [keras.Input((3,)), layers.BatchNormalization(name="running_var"), layers.Dense(2, name="moving_var")]
        ),
        seed=1,
    )
    start = [np.full_like(array, -0.5) for array in model.get_weights()]
    model.set_weights(start)
    found = model.get_weights()
    clamped = [not np.array_equal(one, other) for one, other in zip(start, found, strict=True)]
    assert clamped == [False, False, False, True, False, False]  # moving_variance alone
