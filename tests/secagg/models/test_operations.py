"""DP-SGD refuses layers by which one example meets what depends on the others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from secagg.errors import ModelError
from secagg.models.operations import check_examples_apart
from secagg.models.private import PrivateKerasModel
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow
from secagg.privacy.example_level import ExampleLevel

pytestmark = [pytest.mark.tensorflow, pytest.mark.example_level]

PLAN = ExampleLevel(noise_multiplier=1.0, clip_l2=1.0, examples=4, clients=1, epochs=1, batch_size=4)
SHAPE = (4, 4, 1)


def private(call: Callable[[Any, Any, bool], Any]) -> PrivateKerasModel:
    """A model whose first layer is this function of TensorFlow, its examples and whether it trains."""
    tensorflow, keras = load_tensorflow(), load_legacy_keras()

    class CustomLayer(keras.layers.Layer):  # type: ignore[misc, name-defined]  # Keras is untyped
        def call(self, x: Any, training: bool = False) -> Any:
            return call(tensorflow, x, training)

    def builder() -> Any:
        layers = keras.layers
        return keras.Sequential([keras.Input(SHAPE), layers.Dense(2), CustomLayer(), layers.Flatten(), layers.Dense(2)])

    return PrivateKerasModel(builder, training=PLAN, learning_rate=0.1, seed=1)


def sampled(tensorflow: Any, x: Any, _: bool) -> Any:
    drawn = tensorflow.random.uniform_candidate_sampler(
        tensorflow.zeros([1, 1], tensorflow.int64), num_true=1, num_sampled=1, unique=True, range_max=9
    )
    return x + tensorflow.cast(drawn.sampled_candidates[0], x.dtype)


def with_a_gradient_of_its_own(tensorflow: Any, x: Any, _: bool) -> Any:
    @tensorflow.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped
    def unchanged(values: Any) -> Any:
        return tensorflow.identity(values), lambda upstream: upstream * tensorflow.random.truncated_normal([])

    return unchanged(x)


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        (lambda tf, x, training: x + tf.random.truncated_normal([]) if training else x, "TruncatedNormal"),
        (lambda tf, x, _: tf.nn.fractional_max_pool(x, [1.0, 1.3, 1.3, 1.0])[0], "FractionalMaxPool"),
        (lambda tf, x, _: tf.nn.fractional_avg_pool(x, [1.0, 1.3, 1.3, 1.0])[0], "FractionalAvgPool"),
        (sampled, "UniformCandidateSampler"),
        (with_a_gradient_of_its_own, "TruncatedNormal"),
    ],
    ids=["truncated normal", "fractional max pool", "fractional average pool", "candidates", "gradient"],
)
def test_private_model_with_an_operation_that_draws_is_refused(call: Any, operation: str) -> None:
    with pytest.raises(ModelError, match=f"without random layers.*draws by {operation}:"):
        private(call)


def python(function: str) -> Callable[[Any, Any, bool], Any]:
    def call(tensorflow: Any, x: Any, _: bool) -> Any:
        stateless = {"stateful": False} if function == "stateless" else {}
        wrap = tensorflow.py_function if function == "py_function" else tensorflow.numpy_function
        found = wrap(lambda values: values, [tensorflow.stop_gradient(x)], tensorflow.float32, **stateless)
        found.set_shape(x.shape)
        return x + found

    return call


@pytest.mark.parametrize(
    ("function", "operation"),
    [("numpy_function", "PyFunc"), ("stateless", "PyFuncStateless"), ("py_function", "EagerPyFunc")],
)
def test_private_model_that_calls_python_is_refused(function: str, operation: str) -> None:
    with pytest.raises(ModelError, match=f"calls Python by {operation}:"):
        private(python(function))


def test_private_model_with_another_stateful_operation_is_refused() -> None:
    with pytest.raises(ModelError, match="inputs and variables alone, found the operation Timestamp:"):
        private(lambda tf, x, _: x + tf.cast(tf.timestamp(), x.dtype))


@pytest.mark.parametrize("written_in", [True, False], ids=["training", "evaluation"])
def test_private_model_that_writes_to_a_table_is_refused(written_in: bool) -> None:
    tensorflow = load_tensorflow()
    table = tensorflow.lookup.experimental.MutableHashTable(tensorflow.int64, tensorflow.float32, 0.0)
    key = tensorflow.constant([0], tensorflow.int64)

    def call(tf: Any, x: Any, training: bool) -> Any:
        if training == written_in:
            table.insert(key, tf.reduce_sum(x)[None])
        return x + tf.reshape(table.lookup(key), [])

    with pytest.raises(ModelError, match=r"keeps nothing .* LookupTableInsertV2"):
        private(call)


def test_private_model_that_reads_a_table_of_constants_checks_and_prints_trains() -> None:
    tensorflow = load_tensorflow()
    filling = tensorflow.lookup.KeyValueTensorInitializer([0, 1], [2.0, 3.0], tensorflow.int64, tensorflow.float32)
    table = tensorflow.lookup.StaticHashTable(filling, 0.0)

    def call(tf: Any, x: Any, _: bool) -> Any:
        tf.debugging.assert_all_finite(x, "finite")
        tf.debugging.assert_less(x, 1e9)
        if tf.reduce_sum(x) > 1e8:
            tf.print("large")
        return x * table.lookup(tf.constant([1], tf.int64))

    model = private(call)
    start = model.get_weights()
    x, y = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32), np.arange(4) % 2
    model.fit(x, y, epochs=1, batch_size=4, seed=0)
    assert not np.array_equal(start[0], model.get_weights()[0])


def test_operations_that_tensorflow_does_not_know_are_refused() -> None:
    check_examples_apart({"MatMul", "CudnnRNNV3", "ReadVariableOp"})
    with pytest.raises(ModelError, match="OfSomebodyElse"):
        check_examples_apart({"MatMul", "OfSomebodyElse"})
    with pytest.raises(ModelError, match="draws by CudnnRNNV3 with dropout"):
        check_examples_apart({"CudnnRNNV3 with dropout"})
