"""The models that the command offers by name."""

import math
from typing import Any, Final

from secagg.checks import check_integer
from secagg.errors import ConfigurationError
from secagg.models.base import Model
from secagg.models.keras import KerasModel
from secagg.models.private import PrivateKerasModel
from secagg.models.softmax import SoftmaxRegression
from secagg.models.tensorflow import load_keras, load_legacy_keras
from secagg.privacy.example_level import ExampleLevel
from secagg.suggestions import did_you_mean

NAMES: Final = ("softmax", "mlp", "cnn", "numpy-softmax")
SUFFIXES: Final = (KerasModel.suffix, SoftmaxRegression.suffix)
"""The suffixes of the files in which these models are saved."""


def build(
    name: str,
    features_shape: tuple[int, ...],
    classes: int,
    *,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    private: ExampleLevel | None = None,
    seed: int,
) -> Model:
    """Return a new classifier, by name.

    - `softmax`: one Keras layer of softmax units.
    - `mlp`: a hidden layer of 64 rectified units before it.
    - `cnn`: two 3x3 convolutions of 16 and 32 channels, each with 2x2 pooling, before it; for images.
    - `numpy-softmax`: softmax regression in numpy by gradient descent, without TensorFlow.

    Args:
        name: One of `NAMES`.
        features_shape: Shape of one example; for `cnn` `(height, width)` or `(height, width, channels)`, at least 4x4.
        classes: Number of classes, at least 2.
        optimizer: Name of a Keras optimizer, `adam` if None. `numpy-softmax` supports only `sgd`.
        learning_rate: Learning rate, above 0. None means the optimizer's default (0.1 for `numpy-softmax`).
        private: How local training protects every example. It applies only to Keras models with `sgd`. None means no
            such protection.
        seed: Seed of the initial weights, at least 0.

    Raises:
        ConfigurationError: The name is unknown, or arguments do not fit the model or one another.
        MissingExtraError: The model is a Keras model, and TensorFlow is not installed. Or examples are protected, and
            tensorflow-privacy is not installed.
    """
    if name not in NAMES:
        raise ConfigurationError(
            f"model: expected one of {', '.join(NAMES)}, found {name!r}{did_you_mean(name, NAMES)}"
        )
    check_integer("classes", classes, minimum=2)
    for size in features_shape:
        check_integer("every size of features_shape", size, minimum=1)
    if private is not None and name == "numpy-softmax":
        raise ConfigurationError(
            "model: expected a Keras model if examples are protected, found numpy-softmax, which has no gradients "
            "of single examples. Use softmax, the same model in Keras."
        )
    if private is not None and optimizer not in (None, "sgd"):
        raise ConfigurationError(
            f"optimizer: expected sgd if examples are protected, found {optimizer!r}. Use sgd. The server's "
            "momentum (server_momentum) costs no privacy."
        )
    if name == "numpy-softmax":
        if optimizer not in (None, "sgd"):
            raise ConfigurationError(f"optimizer: expected sgd for numpy-softmax, found {optimizer!r}. Use sgd.")
        rate = {} if learning_rate is None else {"learning_rate": learning_rate}
        return SoftmaxRegression(math.prod(features_shape), classes, **rate, seed=seed)
    if name == "cnn" and (len(features_shape) not in (2, 3) or min(features_shape[:2]) < 4):
        raise ConfigurationError(
            f"expected images of (height, width) or (height, width, channels), at least 4x4, for cnn, "
            f"found examples of shape {features_shape}. Use softmax or mlp, which take any shape."
        )
    if private is not None:
        return PrivateKerasModel(
            lambda: _keras_model(load_legacy_keras(), name, features_shape, classes),
            training=private,
            learning_rate=0.01 if learning_rate is None else learning_rate,
            seed=seed,
        )
    return KerasModel(
        lambda: _keras_model(load_keras(), name, features_shape, classes),
        optimizer=optimizer or "adam",
        learning_rate=learning_rate,
        seed=seed,
    )


def _keras_model(keras: Any, name: str, features_shape: tuple[int, ...], classes: int) -> Any:
    layers = keras.layers
    stack = [keras.Input(features_shape)]
    if name == "cnn":
        if len(features_shape) == 2:
            stack.append(layers.Reshape((*features_shape, 1)))
        for channels in (16, 32):
            stack += [layers.Conv2D(channels, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    if name == "cnn" or len(features_shape) > 1:
        stack.append(layers.Flatten())
    if name == "mlp":
        stack.append(layers.Dense(64, activation="relu"))
    return keras.Sequential([*stack, layers.Dense(classes, activation="softmax")])
