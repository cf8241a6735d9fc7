import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.base import Model
from secagg.models.keras import KerasModel
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow, load_tensorflow_privacy

pytestmark = pytest.mark.tensorflow

X = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


@pytest.fixture(params=["tf_keras", "keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    load_tensorflow()
    return pytest.importorskip(request.param)


def dense(keras: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])


def everything(keras: Any) -> Any:
    """A functional model with a nested one, normalisation, dropout at two depths and a penalty."""
    layers = keras.layers
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(7), layers.Dropout(0.3)], name="inner")
    inputs = keras.Input((6,))
    hidden = layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    hidden = layers.Dropout(0.5)(layers.BatchNormalization()(hidden))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="last")(inner(hidden)))


def same(first: list[NDArray[Any]], second: list[NDArray[Any]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def train(model: Model, seed: int = 0) -> list[NDArray[Any]]:
    model.fit(X, Y, epochs=2, batch_size=16, seed=seed)
    return model.get_weights()


def test_keras_equal_seeds_give_equal_weights(keras: Any) -> None:
    first, again, other = (KerasModel(lambda: everything(keras), seed=seed) for seed in (2**40, 2**40, 1))
    assert same(first.get_weights(), again.get_weights())
    assert not same(first.get_weights(), other.get_weights())
    assert same(train(first), train(again))


def test_keras_building_leaves_other_generators_alone(keras: Any) -> None:
    python, numpy = random.getstate(), np.random.get_state(legacy=False)
    KerasModel(lambda: dense(keras), seed=0)
    assert random.getstate() == python
    assert str(np.random.get_state(legacy=False)) == str(numpy)


def test_keras_weights_are_the_models_own_in_order(keras: Any) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    theirs = model.model.get_weights()
    assert len(model.get_weights()) == len(theirs) == 10
    assert same(model.get_weights(), theirs)
    train(model)
    assert same(model.get_weights(), model.model.get_weights())
    model.set_weights([array + 1 for array in theirs])
    assert same(model.model.get_weights(), [array + 1 for array in theirs])


def test_keras_weights_of_shared_layers_and_subclasses_come_once(keras: Any) -> None:
    def shared() -> Any:
        layer = keras.layers.Dense(6)
        inputs = keras.Input((6,))
        return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(layer(layer(inputs))))

    assert len(KerasModel(shared, seed=0).get_weights()) == 4

    class CustomModel(keras.Model):  # type: ignore[misc]  # Keras is untyped
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)
            self.shift = self.add_weight(name="shift", shape=(6,), initializer="zeros")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs + self.shift)

    def subclassed() -> Any:
        model = CustomModel()
        model(np.zeros((1, 6), np.float32))
        return model

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = KerasModel(subclassed, loss=loss, learning_rate=0.05, seed=0)
    assert sorted(array.shape for array in model.get_weights()) == [(3,), (6,), (6, 3)]
    before = model.evaluate(X, Y)
    for _ in range(5):
        after = train(model)
    assert model.evaluate(X, Y).loss < before.loss
    assert any(array.shape == (6,) and array.any() for array in after)
    with pytest.raises(ModelError, match="loss="):
        KerasModel(subclassed, seed=0)


def test_keras_step_is_kerass_own(keras: Any) -> None:
    model = KerasModel(lambda: dense(keras), optimizer="adam", learning_rate=0.01, seed=0)
    own = dense(keras)
    own.set_weights(model.get_weights())
    own.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=3, batch_size=len(X), seed=0)
    own.fit(X, Y, epochs=3, batch_size=len(X), shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    loss, accuracy = own.evaluate(X, Y, verbose=0)
    metrics = model.evaluate(X, Y)
    assert metrics.loss == pytest.approx(loss, abs=1e-4)
    assert metrics.accuracy == pytest.approx(accuracy)


def test_keras_evaluation_counts_penalties_and_every_chunk(keras: Any) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    own = model.model
    own.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = np.tile(X, (150, 1)), np.tile(Y, 150)  # More than one evaluation batch, the last one partial.
    x[:4096] *= 2
    loss, accuracy = own.evaluate(x, y, verbose=0)
    metrics = model.evaluate(x, y)
    assert metrics.loss == pytest.approx(loss, abs=1e-4)
    assert metrics.accuracy == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "optimizer"),
    [
        (everything, "adam"),
        *((dense, name) for name in ("sgd", "nadam", "adamax", "adagrad", "adadelta", "rmsprop", "ftrl")),
    ],
)
def test_keras_fit_repeats_exactly_whatever_came_before(keras: Any, make: Callable[[Any], Any], optimizer: str) -> None:
    model = KerasModel(lambda: make(keras), optimizer=optimizer, seed=0)
    start = model.get_weights()
    first = train(model, seed=1)
    assert not same(start, first)
    model.set_weights(start)
    other = train(model, seed=2)
    model.set_weights(start)
    assert same(train(model, seed=1), first)
    assert not same(other, first)


def test_keras_dropout_follows_the_seed_and_changes_by_step(keras: Any) -> None:
    def build() -> Any:
        inputs = keras.Input((6,))
        return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dropout(0.5)(inputs)))

    model = KerasModel(build, optimizer="sgd", learning_rate=1.0, seed=0)
    start = [np.zeros((6, 1), np.float32), np.zeros(1, np.float32)]
    steps = []
    # With one example whose gradient is dropped or doubled by entry, the kernel shows the mask of each step.
    for seed, epochs in ((0, 1), (0, 1), (1, 1), (2, 1), (3, 1)):
        model.set_weights(start)
        model.fit(np.ones((1, 6), np.float32), np.ones(1), epochs=epochs, batch_size=1, seed=seed)
        steps.append((model.get_weights()[0] > 0).astype(int).ravel().tolist())
    assert steps[0] == steps[1]
    assert len({tuple(mask) for mask in steps}) > 1  # Four masks of 64 all equal: 4e-6, and seeds are fixed.


def test_keras_batch_normalisation_statistics_take_part(keras: Any) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    start = model.get_weights()
    assert len(model.model.trainable_variables) == len(start) - 2
    moved = [not np.array_equal(a, b) for a, b in zip(start, train(model), strict=True)]
    assert all(moved)
    assert all(array.dtype == np.float32 for array in start)


def test_keras_shards_of_any_size_share_one_trace(keras: Any) -> None:
    traces = []

    class Counting(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def call(self, inputs: Any) -> Any:
            traces.append(inputs.shape)
            return inputs

    model = KerasModel(
        lambda: keras.Sequential([keras.Input((6,)), Counting(), keras.layers.Dense(3, activation="softmax")]), seed=0
    )
    train(model)
    model.evaluate(X, Y)
    count = len(traces)
    for size in range(1, 12):
        model.fit(X[:size], Y[:size], epochs=1, batch_size=5, seed=0)
        model.evaluate(X[:size], Y[:size])
    assert len(traces) == count


@pytest.mark.parametrize(
    ("units", "activation", "y", "has_accuracy"),
    [
        (3, "softmax", Y, True),
        (3, None, Y, True),
        (1, "sigmoid", Y % 2, True),
        (1, "sigmoid", (Y % 2).astype(np.float64)[:, np.newaxis], True),
        (1, None, X[:, 2] * 3, False),
    ],
)
def test_keras_loss_fits_the_output_layer(
    keras: Any, units: int, activation: str | None, y: NDArray[Any], has_accuracy: bool
) -> None:
    def build() -> Any:
        return keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(units, activation=activation)]
        )

    model = KerasModel(build, learning_rate=0.03, seed=0)
    before = model.evaluate(X, y)
    model.fit(X, y, epochs=40, batch_size=16, seed=0)
    after = model.evaluate(X, y)
    assert after.loss < before.loss / 2
    assert after.accuracy > 0.85 if has_accuracy else np.isnan(after.accuracy)


def test_keras_logits_and_probabilities_agree(keras: Any) -> None:
    probabilities = KerasModel(lambda: dense(keras), seed=0)
    logits = KerasModel(lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)]), seed=0)
    nested = KerasModel(lambda: keras.Sequential([keras.Input((6,)), dense(keras)]), seed=0)
    layer = KerasModel(
        lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(3), keras.layers.Softmax()]), seed=0
    )
    for model in (logits, nested, layer):
        model.set_weights(probabilities.get_weights())
        assert model.evaluate(X, Y).loss == pytest.approx(probabilities.evaluate(X, Y).loss, abs=1e-5)


def test_keras_asks_for_a_loss_where_none_fits(keras: Any) -> None:
    def ending(last: Any) -> Callable[[], Any]:
        return lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), last()])

    def two_outputs() -> Any:
        inputs = keras.Input((6,))
        return keras.Model(inputs, [keras.layers.Dense(3)(inputs), keras.layers.Dense(2, "relu")(inputs)])

    for build in (
        two_outputs,
        ending(lambda: keras.layers.Dense(3, activation="relu")),
        ending(lambda: keras.layers.Dense(3, activation="sigmoid")),
        ending(lambda: keras.layers.Dense(1, activation="softmax")),
        ending(lambda: keras.layers.Reshape((2, 2))),
    ):
        with pytest.raises(ModelError, match="loss="):
            KerasModel(build, seed=0)


def test_keras_takes_a_loss_that_is_named_or_called(keras: Any) -> None:
    one_hot = np.eye(3, dtype=np.float32)[Y]
    tensorflow = load_tensorflow()
    reference = KerasModel(lambda: dense(keras), seed=0).evaluate(X, Y)
    named = KerasModel(lambda: dense(keras), loss="categorical_crossentropy", seed=0)
    assert named.evaluate(X, one_hot).loss == pytest.approx(reference.loss, abs=1e-5)
    assert named.evaluate(X, one_hot).accuracy == reference.accuracy
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    binary = KerasModel(lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]), loss=logits, seed=0)
    outputs = binary.model(X).numpy().ravel()
    assert binary.evaluate(X, Y % 2).accuracy == pytest.approx(((outputs > 0) == Y % 2).mean())

    def squares(targets: Any, outputs: Any) -> Any:
        return tensorflow.reduce_mean(tensorflow.square(targets - outputs), axis=-1)

    called = KerasModel(lambda: dense(keras), loss=squares, seed=0)
    expected = np.square(one_hot - called.model(X).numpy()).mean()
    assert called.evaluate(X, one_hot).loss == pytest.approx(expected, abs=1e-6)
    one_unit = KerasModel(lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]), loss=squares, seed=0)
    expected = np.square(X[:, 0] - one_unit.model(X).numpy()[:, 0]).mean()
    assert one_unit.evaluate(X, X[:, 0]).loss == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ConfigurationError, match="loss"):
        KerasModel(lambda: dense(keras), loss="no_such_loss", seed=0)


def test_keras_takes_an_optimizer_that_is_made(keras: Any) -> None:
    by_name = KerasModel(lambda: dense(keras), optimizer="sgd", learning_rate=0.5, seed=0)
    made = KerasModel(lambda: dense(keras), optimizer=lambda: keras.optimizers.SGD(0.5), seed=0)
    assert same(train(by_name), train(made))
    for name in ("no such optimizer", "lossscaleoptimizer"):
        with pytest.raises(ConfigurationError, match=f"name of a Keras optimizer, found '{name}'"):
            KerasModel(lambda: dense(keras), optimizer=name, seed=0)
    with pytest.raises(ConfigurationError, match="learning_rate: expected None with an optimizer"):
        KerasModel(lambda: dense(keras), optimizer=lambda: keras.optimizers.SGD(), learning_rate=0.1, seed=0)
    for rate in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="learning_rate"):
            KerasModel(lambda: dense(keras), learning_rate=rate, seed=0)


def test_keras_refuses_an_optimizer_of_another_keras(keras: Any) -> None:
    other = pytest.importorskip({"keras": "tf_keras", "tf_keras": "keras"}[keras.__name__])
    for optimizer in (other.optimizers.SGD, lambda: "sgd"):
        with pytest.raises(ConfigurationError, match=f"optimizer of {keras.__name__}"):
            KerasModel(lambda: dense(keras), optimizer=optimizer, seed=0)


@pytest.mark.example_level
def test_keras_legacy_optimizers_start_afresh_and_private_ones_are_refused() -> None:
    keras = load_legacy_keras()
    model = KerasModel(lambda: dense(keras), optimizer=keras.optimizers.legacy.Adam, seed=0)
    start = model.get_weights()
    first = train(model)
    model.set_weights(start)
    assert same(train(model), first)
    private = load_tensorflow_privacy().DPKerasSGDOptimizer
    with pytest.raises(ConfigurationError, match="tensorflow-privacy"):
        KerasModel(
            lambda: dense(keras),
            optimizer=lambda: private(l2_norm_clip=1.0, noise_multiplier=1.0, learning_rate=0.1),
            seed=0,
        )


def test_keras_model_loads_back_with_equal_predictions(keras: Any, tmp_path: Path) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    train(model)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(X).numpy(), model.model(X).numpy())
    again = KerasModel(lambda: keras.models.load_model(path), seed=5)
    assert again.evaluate(X, Y) == model.evaluate(X, Y)
    model.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    with pytest.raises(ModelError, match=r"\.keras"):
        model.save(tmp_path / "model.h5")


def test_keras_set_weights_is_all_or_nothing_and_names_the_layer(keras: Any) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    start = model.get_weights()
    good = [array + 1 for array in start]
    for bad in (
        good[:-1],
        [*good, good[0]],
        [*good[:-1], np.zeros(4, np.float32)],
        [*good[:-1], np.full(3, np.nan, np.float32)],
        [*good[:-1], np.full(3, np.inf)],
        [*good[:-1], np.full(3, 1e39)],
        [*good[:-1], np.zeros(3, np.int64)],
    ):
        with pytest.raises(ModelError, match=r"layer last|arrays"):
            model.set_weights(bad)
        assert same(model.get_weights(), start)


def test_keras_weights_of_no_dimension_may_be_numbers(keras: Any) -> None:
    class Scaled(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

        def call(self, x: Any) -> Any:
            return x * self.scale

    def builder() -> Any:
        return keras.Sequential([keras.Input((6,)), Scaled(), keras.layers.Dense(3, activation="softmax")])

    model = KerasModel(builder, seed=0)
    start = model.get_weights()
    assert [array.shape for array in start] == [(), (6, 3), (3,)]
    halved = [0.5 * array for array in start]
    assert isinstance(halved[0], np.generic)
    model.set_weights(halved)
    assert same(model.get_weights(), halved)
    model.set_weights([0.25, *start[1:]])
    assert model.get_weights()[0] == 0.25
    for bad in (1, True, 1j, np.float64("nan"), "1", None):
        with pytest.raises(ModelError, match=r"scale.* of layer"):
            model.set_weights([bad, *start[1:]])


def test_keras_weights_cross_between_clients_as_float64(keras: Any) -> None:
    model = KerasModel(lambda: dense(keras), seed=0)
    model.set_weights([array.astype(np.float64) / 3 for array in model.get_weights()])
    assert all(array.dtype == np.float32 for array in model.get_weights())


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X[:, :5], Y),
        (X[..., np.newaxis], Y),
        (X[:0], Y[:0]),
        (X, Y[:-1]),
        (X, Y + 1),
        (X, Y - 1),
        (X, Y.astype(np.float32)),
        (X, np.eye(3, dtype=np.int64)[Y]),
        (np.where(X > 1, np.nan, X), Y),
        (np.where(X > 1, 1e39, X.astype(np.float64)), Y),
        (X > 0, Y),
    ],
)
def test_keras_refuses_bad_data_before_training(keras: Any, x: NDArray[Any], y: NDArray[Any]) -> None:
    model = KerasModel(lambda: dense(keras), seed=0)
    start = model.get_weights()
    with pytest.raises(DataError):
        model.fit(x, y, epochs=1, batch_size=8, seed=0)
    with pytest.raises(DataError):
        model.evaluate(x, y)
    assert same(model.get_weights(), start)


def test_keras_refuses_binary_targets_beside_0_and_1(keras: Any) -> None:
    model = KerasModel(
        lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, activation="sigmoid")]), seed=0
    )
    with pytest.raises(DataError, match="0 or 1"):
        model.evaluate(X, Y)


def test_keras_refuses_value_targets_of_another_shape(keras: Any) -> None:
    model = KerasModel(lambda: keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)]), seed=0)
    for y in (X[:, :2], X[:, :1, np.newaxis]):
        with pytest.raises(DataError, match="targets of shape"):
            model.evaluate(X, y)


def test_keras_refuses_builders_without_a_usable_model(keras: Any) -> None:
    def frozen() -> Any:
        model = dense(keras)
        model.trainable = False
        return model

    for build, words in (
        (lambda: "model", "Keras model"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "Input"),
        (lambda: keras.Sequential([keras.Input((6,)), keras.layers.Softmax()]), "weights"),
        (frozen, "trainable"),
    ):
        with pytest.raises(ModelError, match=words):
            KerasModel(build, seed=0)


def test_keras_refuses_a_bad_schedule_or_seed(keras: Any) -> None:
    model = KerasModel(lambda: dense(keras), seed=0)
    for epochs, batch_size, seed in ((0, 4, 0), (1, 0, 0), (1, 4, -1), (True, 4, 0)):
        with pytest.raises(ConfigurationError):
            model.fit(X, Y, epochs=epochs, batch_size=batch_size, seed=seed)
    for bad in (-1, True, 0.5):
        with pytest.raises(ConfigurationError, match="seed"):
            KerasModel(lambda: dense(keras), seed=bad)  # type: ignore[arg-type]  # the point of the test


def test_keras_interrupted_fit_can_be_repeated(keras: Any) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    start = model.get_weights()
    whole = train(model, seed=1)
    model.set_weights(start)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # the timer belongs to the interrupted call
            timer.start()
            model.fit(X, Y, epochs=10**9, batch_size=16, seed=1)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert not same(model.get_weights(), start)
    model.set_weights(start)
    assert same(train(model, seed=1), whole)


def test_keras_integer_inputs_reach_an_embedding(keras: Any) -> None:
    def build() -> Any:
        layers = keras.layers
        return keras.Sequential(
            [keras.Input((4,), dtype="int32"), layers.Embedding(9, 5), layers.Flatten(), layers.Dense(2)]
        )

    tokens = np.random.default_rng(0).integers(9, size=(30, 4))
    labels = (tokens[:, 0] > 4).astype(np.int64)
    model = KerasModel(build, learning_rate=0.05, seed=0)
    model.fit(tokens, labels, epochs=20, batch_size=10, seed=0)
    assert model.evaluate(tokens, labels).accuracy > 0.9


def test_keras_moving_variance_that_noise_made_negative_becomes_zero(keras: Any) -> None:
    model = KerasModel(lambda: everything(keras), seed=0)
    noisy = [array - 3 for array in model.get_weights()]
    model.set_weights(noisy)
    changed = [
        array for array, before in zip(model.get_weights(), noisy, strict=True) if not np.array_equal(array, before)
    ]
    assert [array.tolist() for array in changed] == [[0.0] * 8]
    assert np.isfinite(model.evaluate(X, Y).loss)
