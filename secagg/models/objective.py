"""What a Keras model is trained for: the loss that fits its output layer, its targets, its accuracy.

| output layer | loss | targets |
|---|---|---|
| softmax over N > 1 units | sparse categorical cross-entropy | classes in `[0, N)` |
| N > 1 linear units (logits) | the same, from logits | classes in `[0, N)` |
| one sigmoid unit | binary cross-entropy | 0 or 1 |
| one linear unit | mean squared error | numbers |

For anything else the caller names the loss.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.inputs import check_classes, check_values, fits


class Targets(Enum):
    """What the targets of a model are, and with that what its accuracy is."""

    CLASSES = "class labels, one integer for each distribution over classes"
    ONE_HOT = "distributions over classes"
    BINARY = "0 or 1 for each unit"
    NUMBERS = "a number for each unit; there is no accuracy"
    ANY = "whatever the caller's loss takes; there is no accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a Keras model and the kind of its targets.

    Attributes:
        loss: Called as `loss(targets, outputs)`, gives a scalar or a loss per example.
        targets: What the targets are.
        output_shape: Of one example's output, None standing for any size; None if the model does not say, or has
            several outputs.
        threshold: The output over which a binary prediction is 1.
    """

    loss: Any
    targets: Targets
    output_shape: tuple[int | None, ...] | None
    threshold: float = 0.5

    def check(self, y: NDArray[Any], examples: int) -> NDArray[Any]:
        """Return the targets in the dtype and shape that the loss takes.

        Raises:
            DataError: They do not fit the model's output.
        """
        match self.targets:
            case Targets.CLASSES:
                checked: NDArray[Any] = check_classes(y, examples, self.output_shape[-1] if self.output_shape else None)
                wanted = self.output_shape[:-1] if self.output_shape else None
            case Targets.BINARY:
                checked, wanted = check_values(y, examples), self.output_shape
                if not np.isin(checked, (0, 1)).all():
                    raise DataError(f"expected targets that are 0 or 1, found {checked.min()} to {checked.max()}")
                checked = checked.astype(np.float32, copy=False)
            case Targets.ONE_HOT | Targets.NUMBERS | Targets.ANY:
                checked = check_values(y, examples)
                wanted = None if self.targets is Targets.ANY else self.output_shape
            case _ as unreachable:
                assert_never(unreachable)
        if self.targets is not Targets.CLASSES and self.output_shape == (1,) and checked.ndim == 1:
            checked = checked.reshape(-1, 1)  # As a row each, they do not broadcast against the outputs.
        if wanted is not None and not fits(checked.shape[1:], wanted):
            raise DataError(f"expected targets of shape {wanted} each, found {checked.shape[1:]}")
        return checked

    def accuracy(self, tensorflow: Any, targets: Any, outputs: Any) -> Any:
        """Build the share of targets that the outputs hit, a float32 scalar; nan where there is none."""
        match self.targets:
            case Targets.CLASSES:
                hits = tensorflow.equal(tensorflow.argmax(outputs, axis=-1), targets)
            case Targets.ONE_HOT:
                hits = tensorflow.equal(tensorflow.argmax(outputs, axis=-1), tensorflow.argmax(targets, axis=-1))
            case Targets.BINARY:
                hits = tensorflow.equal(outputs > self.threshold, targets > 0.5)
            case Targets.NUMBERS | Targets.ANY:
                return tensorflow.constant(float("nan"), tensorflow.float32)
            case _ as unreachable:
                assert_never(unreachable)
        return tensorflow.reduce_mean(tensorflow.cast(hits, tensorflow.float32))


def choose_objective(keras: Any, model: Any, loss: Any) -> Objective:
    """Find the loss that fits the model's output layer, or take the one given.

    Args:
        keras: The Keras that the model belongs to.
        model: A built Keras model.
        loss: A Keras loss, its name, a callable `loss(targets, outputs)`, or None to choose.

    Raises:
        ConfigurationError: `loss` is not a loss.
        ModelError: No loss was given, and none follows from the output layer.
    """
    shape = _output_shape(model)
    if loss is None:
        return _fitting(keras, model, shape)
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"expected a Keras loss, its name or a callable, found {loss!r}") from error
    name = getattr(found, "__name__", type(found).__name__).replace("_", "").lower()
    kinds = {
        "sparsecategoricalcrossentropy": Targets.CLASSES,
        "categoricalcrossentropy": Targets.ONE_HOT,
        "binarycrossentropy": Targets.BINARY,
        "meansquarederror": Targets.NUMBERS,
        "meanabsoluteerror": Targets.NUMBERS,
    }
    threshold = 0.0 if getattr(found, "from_logits", False) else 0.5
    return Objective(loss=found, targets=kinds.get(name, Targets.ANY), output_shape=shape, threshold=threshold)


def _fitting(keras: Any, model: Any, shape: tuple[int | None, ...] | None) -> Objective:
    activation = _output_activation(model)
    if shape is not None and len(shape) == 1 and shape[0] is not None:
        losses = keras.losses
        match activation, shape[0]:
            case "softmax", units if units > 1:
                return Objective(
                    loss=losses.SparseCategoricalCrossentropy(), targets=Targets.CLASSES, output_shape=shape
                )
            case "linear", units if units > 1:
                logits = losses.SparseCategoricalCrossentropy(from_logits=True)
                return Objective(loss=logits, targets=Targets.CLASSES, output_shape=shape)
            case "sigmoid", 1:
                return Objective(loss=losses.BinaryCrossentropy(), targets=Targets.BINARY, output_shape=shape)
            case "linear", 1:
                return Objective(loss=losses.MeanSquaredError(), targets=Targets.NUMBERS, output_shape=shape)
    outputs = getattr(model, "outputs", None) or ()
    found = f"{len(outputs)} outputs" if len(outputs) > 1 else f"{activation or 'unknown'} units of shape {shape}"
    raise ModelError(
        "expected one output layer of softmax or linear units, or a single sigmoid unit, to choose a loss for; "
        f"found {found}: pass loss= with a Keras loss or a callable"
    )


def _output_shape(model: Any) -> tuple[int | None, ...] | None:
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return None
    return tuple(None if size is None else int(size) for size in outputs[0].shape[1:])


def _output_activation(model: Any) -> str | None:
    """Name the activation that ends the model; None where it cannot be told."""
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return None
    names = getattr(model, "output_names", None)
    # A Sequential of Keras 3 has no output names; its output layer is its last.
    layer = model.layers[-1] if not names else next((one for one in model.layers if one.name == names[0]), None)
    if layer is None:
        return None
    if hasattr(layer, "layers"):
        return _output_activation(layer)
    if type(layer).__name__ == "Softmax":
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)
