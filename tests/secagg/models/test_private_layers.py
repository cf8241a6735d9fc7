"""Layers that TensorFlow cannot vectorize, under DP-SGD: each clipped gradient is the one of its example alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.errors import ModelError
from secagg.models.private import PrivateKerasModel
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow
from secagg.privacy.example_level import ExampleLevel

pytestmark = [pytest.mark.tensorflow, pytest.mark.example_level]

EXAMPLES, STEPS, TOKENS, CLIP = 6, 4, 9, 0.05
X = np.random.default_rng(1).integers(1, TOKENS, size=(EXAMPLES, STEPS))
X[:2, 2:] = 0  # two short texts, where 0 is masked
Y = np.arange(EXAMPLES) % 2
PLAN = ExampleLevel(noise_multiplier=1e-20, clip_l2=CLIP, examples=EXAMPLES, clients=1, epochs=1, batch_size=EXAMPLES)


def text_model(middle: Callable[[Any, Any], Any], *, mask: bool = False) -> Callable[[], Any]:
    keras = load_legacy_keras()

    def builder() -> Any:
        tokens = keras.Input((STEPS,), dtype="int32")
        embedded = keras.layers.Embedding(TOKENS, 3, mask_zero=mask)(tokens)
        return keras.Model(tokens, keras.layers.Dense(1, "sigmoid")(middle(keras.layers, embedded)))

    return builder


def recurrent(layers: Any, embedded: Any) -> Any:
    sequences = layers.LSTM(2, return_sequences=True)(embedded)
    return layers.GRU(3)(layers.TimeDistributed(layers.Dense(2, "tanh"))(sequences))


def attending(layers: Any, embedded: Any) -> Any:
    attended = layers.MultiHeadAttention(1, 2)(embedded, embedded)
    return layers.GlobalAveragePooling1D()(layers.Attention()([attended, embedded]))


def alone(model: PrivateKerasModel, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """The sum of the clipped gradients, each computed eagerly from its example by itself."""
    tensorflow = load_tensorflow()
    total = np.zeros(sum(array.size for array in model.get_weights()))
    for row, target in zip(x, y, strict=True):
        with tensorflow.GradientTape() as tape:
            output = model.model(row[None], training=True)[0, 0]
            loss = -tensorflow.math.log(output if target else 1 - output)
        gradients = tape.gradient(loss, model.model.trainable_variables)
        flat = np.concatenate([tensorflow.convert_to_tensor(each).numpy().ravel() for each in gradients]).astype(float)
        total += flat / max(1.0, float(np.linalg.norm(flat)) / CLIP)
    return total


def step(model: PrivateKerasModel, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """What a step from the model's first weights subtracts."""
    start = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=EXAMPLES, seed=0)
    after = model.get_weights()
    model.set_weights(start)
    return np.concatenate([(a.astype(np.float64) - b).ravel() for a, b in zip(start, after, strict=True)])


@pytest.mark.parametrize(
    ("middle", "mask"),
    [
        (recurrent, True),
        (lambda layers, embedded: layers.Bidirectional(layers.SimpleRNN(2))(embedded), False),
        pytest.param(lambda layers, embedded: layers.LSTM(3, unroll=True)(embedded), False, marks=pytest.mark.long),
        (attending, False),
    ],
    ids=["LSTM and GRU with a mask", "both ways", "unrolled LSTM", "attention"],
)
def test_private_step_of_a_text_model_is_the_sum_of_gradients_by_themselves(middle: Any, mask: bool) -> None:
    model = PrivateKerasModel(text_model(middle, mask=mask), training=PLAN, learning_rate=float(EXAMPLES), seed=1)
    start = model.get_weights()
    whole = step(model, X, Y)
    np.testing.assert_allclose(whole, alone(model, X, Y), atol=5e-7)
    rest = step(model, X[1:], Y[1:])
    np.testing.assert_allclose(whole - rest, alone(model, X[:1], Y[:1]), atol=1e-6)
    for one, other in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # building the model, which takes a step, has left no trace


def test_private_step_leaves_out_a_recurrent_example_that_is_not_finite() -> None:
    keras = load_legacy_keras()

    def builder() -> Any:
        return keras.Sequential(
            [keras.Input((STEPS, 2)), keras.layers.SimpleRNN(2, activation="linear"), keras.layers.Dense(1, "sigmoid")]
        )

    x = 0.01 * np.random.default_rng(2).normal(size=(EXAMPLES, STEPS, 2)).astype(np.float32)
    model = PrivateKerasModel(builder, training=PLAN, learning_rate=float(EXAMPLES), seed=1)
    kernel, _, bias, *rest = model.get_weights()
    model.set_weights([10 * np.abs(kernel), np.array([[1, -1], [-1, 1]], dtype=np.float32), bias, *rest])
    assert np.isfinite(alone(model, x, Y)).all()
    beyond = np.concatenate([x, np.full((1, STEPS, 2), 3e38, np.float32)])
    assert np.isnan(alone(model, beyond[-1:], Y[:1])).all()
    np.testing.assert_array_equal(step(model, beyond, np.append(Y, 0)), step(model, x, Y))


def test_private_model_with_a_stateful_layer_is_refused() -> None:
    """It would begin each example with the state in which another one has ended."""
    keras = load_legacy_keras()

    def builder() -> Any:
        return keras.Sequential(
            [keras.Input(batch_shape=(1, STEPS, 2)), keras.layers.LSTM(2, stateful=True), keras.layers.Dense(1)]
        )

    with pytest.raises(ModelError, match="stateful"):
        PrivateKerasModel(builder, training=PLAN, learning_rate=0.1, seed=1)


def test_private_model_whose_gradient_fails_is_refused_when_it_is_made() -> None:
    tensorflow, keras = load_tensorflow(), load_legacy_keras()

    @tensorflow.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped
    def without_gradient(values: Any) -> Any:
        def gradient(_: Any) -> Any:
            raise LookupError("no gradient\nand why")

        return tensorflow.identity(values), gradient

    def builder() -> Any:
        return keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(2), keras.layers.Lambda(without_gradient), keras.layers.Dense(1)]
        )

    with pytest.raises(ModelError, match=r"TensorFlow can compute the gradient.*no gradient\)"):
        PrivateKerasModel(builder, training=PLAN, learning_rate=0.1, seed=1)


def _noise(x: Any) -> Any:
    return x + load_tensorflow().random.truncated_normal((1, 4))


def _python(x: Any) -> Any:
    tensorflow = load_tensorflow()
    return tensorflow.ensure_shape(tensorflow.numpy_function(lambda rows: rows, [x], x.dtype), x.shape)


@pytest.mark.parametrize(("function", "message"), [(_noise, "without random layers"), (_python, "calls Python")])
def test_layers_that_draw_or_call_python_are_refused_at_construction(function: Any, message: str) -> None:
    keras = load_legacy_keras()

    def builder() -> Any:
        layers = keras.layers
        return keras.Sequential(
            [keras.Input((4,)), layers.Lambda(function, output_shape=(4,)), layers.Dense(2, "softmax")]
        )

    with pytest.raises(ModelError, match=message):
        PrivateKerasModel(builder, training=PLAN, learning_rate=0.1, seed=1)
