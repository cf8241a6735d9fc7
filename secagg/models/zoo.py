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
"""Of the files that these models are saved in."""


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
    """Make a classifier by name.

    - `softmax`: one Keras layer of softmax units.
    - `mlp`: a hidden layer of 64 rectified units before it.
    - `cnn`: two 3x3 convolutions of 16 and 32 channels, each with 2x2 pooling, before it; for images.
    - `numpy-softmax`: softmax regression in numpy by gradient descent, without TensorFlow.

    Args:
        name: One of `NAMES`.
        features_shape: Shape of one example; for `cnn` `(height, width)` or `(height, width, channels)`, at least 4x4.
        classes: At least 2.
        optimizer: Name of a Keras optimizer, `adam` if None; `numpy-softmax` knows `sgd` alone.
        learning_rate: Over 0; None takes the optimizer's default (0.1 for `numpy-softmax`).
        private: How local training is to protect every example; by `sgd` alone, and by a Keras model.
        seed: Of the initial weights, at least 0.

    Raises:
        ConfigurationError: An unknown name, or arguments that do not fit the model or do not go together.
        MissingExtraError: A Keras model, and TensorFlow is not installed; or examples are to be protected, and
            tensorflow-privacy is not.
    """
    if name not in NAMES:
        raise ConfigurationError(
            f"expected a model out of {', '.join(NAMES)}, found {name!r}{did_you_mean(name, NAMES)}"
        )
    check_integer("classes", classes, minimum=2)
    for size in features_shape:
        check_integer("every size of features_shape", size, minimum=1)
    if private is not None and name == "numpy-softmax":
        raise ConfigurationError(
            "numpy-softmax has no gradients of single examples to protect: softmax is the same model in Keras and does"
        )
    if private is not None and optimizer not in (None, "sgd"):
        raise ConfigurationError(
            f"expected optimizer sgd where examples are protected, found {optimizer!r}; the server's momentum "
            "(server_momentum) costs no privacy"
        )
    if name == "numpy-softmax":
        if optimizer not in (None, "sgd"):
            raise ConfigurationError(f"expected optimizer sgd for numpy-softmax, found {optimizer!r}")
        rate = {} if learning_rate is None else {"learning_rate": learning_rate}
        return SoftmaxRegression(math.prod(features_shape), classes, **rate, seed=seed)
    if name == "cnn" and (len(features_shape) not in (2, 3) or min(features_shape[:2]) < 4):
        raise ConfigurationError(
            f"expected images of (height, width) or (height, width, channels), at least 4x4, for cnn, "
            f"found examples of shape {features_shape}: softmax and mlp take any shape"
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
