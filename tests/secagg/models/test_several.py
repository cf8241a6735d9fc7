"""Models with several inputs and outputs, of Keras 2 and 3, from one step to federated training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secagg.data.columns import Shard
from secagg.engines.memory import InMemory
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.keras import KerasModel
from secagg.models.private import PrivateKerasModel
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow
from secagg.privacy.example_level import ExampleLevel
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging
from tests.support.federation import mean_for

pytestmark = pytest.mark.tensorflow

EXAMPLES = 40
A = np.random.default_rng(1).normal(size=(EXAMPLES, 4)).astype(np.float32)
B = np.random.default_rng(2).normal(size=(EXAMPLES, 3)).astype(np.float32)
KIND = (A[:, 0] + B[:, 0] > 0).astype(np.int64)
SIZE = (A[:, 1] - B[:, 1]).astype(np.float32)


@pytest.fixture(params=["tf_keras", "keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    load_tensorflow()
    return pytest.importorskip(request.param)


def several(keras: Any, *, inputs: str = "list", outputs: str = "list") -> Callable[[], Any]:
    """A classifier and a regressor on the sum of what two inputs say."""
    layers = keras.layers

    def builder() -> Any:
        a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
        together = layers.Concatenate()([a, b])
        kind, size = layers.Dense(2, "softmax", name="kind")(together), layers.Dense(1, name="size")(together)
        forms: dict[str, Any] = {"list": [a, b], "dict": {"b": b, "a": a}}
        given: dict[str, Any] = {"one": kind, "list": [kind, size], "dict": {"size": size, "kind": kind}}
        return keras.Model(forms[inputs], given[outputs])

    return builder


def fitted(model: KerasModel, x: Any, y: Any) -> list[Any]:
    start = model.get_weights()
    model.fit(x, y, epochs=2, batch_size=16, seed=3)
    after = model.get_weights()
    model.set_weights(start)
    return after


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_several_inputs_are_taken_in_the_models_order_or_by_name(keras: Any) -> None:
    model = KerasModel(several(keras, outputs="one"), seed=1)
    expected = fitted(model, [A, B], KIND)
    assert not same(expected, model.get_weights())
    for x, y in (((A, B), KIND[:, np.newaxis]), ({"b": B, "a": A}, KIND), ([A, B], [KIND]), ([A, B], {"kind": KIND})):
        assert same(fitted(model, x, y), expected)
        assert model.evaluate(x, y) == model.evaluate([A, B], KIND)
    by_name = KerasModel(several(keras, inputs="dict", outputs="dict"), seed=1)
    assert by_name.evaluate({"a": A, "b": B}, {"kind": KIND, "size": SIZE}).accuracy > 0
    with pytest.raises(DataError, match="A dict says which is which"):
        by_name.evaluate([B, A], {"kind": KIND, "size": SIZE})


def test_loss_of_several_outputs_is_their_sum_and_accuracy_that_of_those_that_classify(keras: Any) -> None:
    model = KerasModel(several(keras), learning_rate=0.05, seed=1)
    kind, size = (np.asarray(output) for output in model.model([A, B]))
    expected = -np.log(kind[np.arange(EXAMPLES), KIND]).mean() + np.square(size[:, 0] - SIZE).mean()
    found = model.evaluate([A, B], [KIND, SIZE])
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert found.accuracy == pytest.approx((kind.argmax(axis=1) == KIND).mean())
    assert model.evaluate([A, B], {"size": SIZE[:, np.newaxis], "kind": KIND[:, np.newaxis]}) == found
    for _ in range(10):
        model.fit([A, B], [KIND, SIZE], epochs=2, batch_size=16, seed=3)
    assert model.evaluate([A, B], [KIND, SIZE]).loss < found.loss / 2


def test_losses_of_several_outputs_may_be_named_or_taken_together(keras: Any) -> None:
    tensorflow = load_tensorflow()
    chosen = KerasModel(several(keras), seed=1).evaluate([A, B], [KIND, SIZE])
    absolute = KerasModel(several(keras), loss=[None, "mean_absolute_error"], seed=1)
    by_name = KerasModel(several(keras), loss={"size": "mean_absolute_error", "kind": None}, seed=1)
    assert absolute.evaluate([A, B], [KIND, SIZE]) == by_name.evaluate([A, B], [KIND, SIZE])
    assert absolute.evaluate([A, B], [KIND, SIZE]).loss != chosen.loss
    mse = KerasModel(several(keras), loss="mse", seed=1)
    assert np.isnan(mse.evaluate([A, B], [np.eye(2)[KIND], SIZE]).accuracy)

    def together(targets: Any, outputs: Any) -> Any:
        return tensorflow.square(targets[1] - outputs[1][:, 0]) + outputs[0][:, 1]

    own = KerasModel(several(keras), loss=together, seed=1)
    kind, size = (np.asarray(output) for output in own.model([A, B]))
    expected = (np.square(size[:, 0] - SIZE) + kind[:, 1]).mean()
    assert own.evaluate([A, B], [KIND, SIZE]).loss == pytest.approx(expected, rel=1e-5)
    for loss in (["mse"], {"kind": None}, ["mse", "no such loss"]):
        with pytest.raises(ConfigurationError, match="loss"):
            KerasModel(several(keras), loss=loss, seed=1)


def test_subclassed_model_of_several_inputs_and_outputs_takes_what_its_losses_say(keras: Any) -> None:
    class CustomModel(keras.Model):  # type: ignore[misc]  # Keras is untyped
        def __init__(self) -> None:
            super().__init__()
            self.kind, self.size = keras.layers.Dense(2), keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            together = load_tensorflow().concat([inputs["a"], inputs["b"]], axis=-1)
            return {"kind": self.kind(together), "size": self.size(together)}

    def builder() -> Any:
        model = CustomModel()
        model({"a": A[:1], "b": B[:1]})
        return model

    kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = KerasModel(builder, loss={"kind": kind, "size": "mse"}, learning_rate=0.05, seed=1)
    x: dict[str, Any] = {"a": A, "b": B}
    y: dict[str, Any] = {"kind": KIND[:, np.newaxis], "size": SIZE}
    before = model.evaluate(x, y)
    outputs = model.model(x)
    assert before.accuracy == pytest.approx((np.asarray(outputs["kind"]).argmax(axis=1) == KIND).mean())
    assert before.loss > np.square(np.asarray(outputs["size"])[:, 0] - SIZE).mean()
    model.fit(x, y, epochs=10, batch_size=16, seed=3)
    assert model.evaluate(x, y).loss < before.loss
    with pytest.raises(ModelError, match="form of the model's outputs"):
        KerasModel(builder, loss=[kind, "mse"], seed=1).evaluate(x, [KIND, SIZE])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (A, [KIND, SIZE], r"2 arrays \(a, b\), found one array of shape \(40, 4\)"),
        ([A], [KIND, SIZE], "found a list of 1"),
        ((A, B, B), [KIND, SIZE], "found a tuple of 3"),
        ({"a": A, "c": B}, [KIND, SIZE], "dict of a, b, found a, c"),
        ([A, B[:-1]], [KIND, SIZE], r"rows: .*found \[40, 39\]"),
        ([B, A], [KIND, SIZE], r"^a: expected examples of shape \(4,\) each, found \(3,\)"),
        ([A, B * np.nan], [KIND, SIZE], "^b: expected finite"),
        ([A, B], KIND, r"targets as 2 arrays \(kind, size\)"),
        ([A, B], [KIND, SIZE[:-1]], "^size: expected one row"),
        ([A, B], [KIND + 1, SIZE], r"^kind: expected class labels in \[0, 2\)"),
        ([A, B], [KIND], "found a list of 1"),
        ([A, B], {"kind": KIND, "length": SIZE}, "found kind, length"),
        ([A, [B]], [KIND, SIZE], "^b: examples: expected an array"),
        (None, [KIND, SIZE], "found NoneType"),
    ],
)
@pytest.mark.example_level
def test_several_inputs_and_outputs_that_do_not_fit_are_named(x: Any, y: Any, words: str) -> None:
    model = KerasModel(several(load_legacy_keras()), seed=1)
    start = model.get_weights()
    for call in (lambda: model.fit(x, y, epochs=1, batch_size=8, seed=0), lambda: model.evaluate(x, y)):
        with pytest.raises(DataError, match=words):
            call()
    assert same(model.get_weights(), start)


@pytest.mark.example_level
def test_private_step_of_several_inputs_and_outputs_is_the_sum_of_clipped_gradients() -> None:
    tensorflow, keras = load_tensorflow(), load_legacy_keras()
    plan = ExampleLevel(
        noise_multiplier=1e-20, clip_l2=0.5, examples=EXAMPLES, clients=1, epochs=1, batch_size=EXAMPLES
    )
    builder = several(keras, inputs="dict", outputs="dict")
    model = PrivateKerasModel(builder, training=plan, learning_rate=float(EXAMPLES), seed=1)
    start, expected = model.get_weights(), np.zeros(24)
    for a, b, kind, size in zip(A, B, KIND, SIZE, strict=True):
        with tensorflow.GradientTape() as tape:
            outputs = model.model({"a": a[None], "b": b[None]})
            loss = tensorflow.square(outputs["size"][0, 0] - size) - tensorflow.math.log(outputs["kind"][0, int(kind)])
        gradients = tape.gradient(loss, model.model.trainable_variables)
        flat = np.concatenate([each.numpy().ravel() for each in gradients]).astype(np.float64)
        expected += flat / max(1.0, float(np.linalg.norm(flat)) / plan.clip_l2)
    after = fitted_privately(model, {"a": A, "b": B}, {"kind": KIND[:, np.newaxis], "size": SIZE})
    moved = np.concatenate([(one.astype(np.float64) - new).ravel() for one, new in zip(start, after, strict=True)])
    np.testing.assert_allclose(moved, expected, atol=5e-6)


def fitted_privately(model: PrivateKerasModel, x: Any, y: Any) -> list[Any]:
    model.fit(x, y, epochs=1, batch_size=EXAMPLES, seed=0)
    return model.get_weights()


def test_federated_training_takes_shards_of_several_inputs_and_outputs(keras: Any, tmp_path: Path) -> None:
    shards: list[Shard] = [
        ({"a": A[client::4], "b": B[client::4]}, (KIND[client::4], SIZE[client::4])) for client in range(4)
    ]
    model = KerasModel(several(keras), learning_rate=0.05, seed=1)
    devices = Devices(model=model, shards=shards, epochs=2, batch_size=4, seed=1)
    assert [devices.examples(client) for client in devices.clients] == [10] * 4
    training = SecureAveraging(
        engine=InMemory(devices), model=devices.model, test=([A, B], [KIND, SIZE]), mean=mean_for(devices, clip_l2=5.0)
    )
    losses = [training.round().loss for _ in range(4)]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(loaded([A, B])[0]), np.asarray(model.model([A, B])[0]))
    with pytest.raises(ConfigurationError, match=r"client 1: rows: .*\[10, 9\]"):
        Devices(model=model, shards=[shards[0], ([A[:10], B[:9]], KIND[:10])], epochs=1, batch_size=4, seed=1)


def test_models_of_nested_inputs_are_refused(keras: Any) -> None:
    def builder() -> Any:
        a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
        return keras.Model([a, [b]], keras.layers.Dense(2)(keras.layers.Concatenate()([a, b])))

    with pytest.raises(ModelError, match="nested"):
        KerasModel(builder, seed=1)
