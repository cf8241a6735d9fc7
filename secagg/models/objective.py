"""The objective of one output of a Keras model: the loss that fits its layer, its targets and its accuracy.

| output layer | loss | targets |
|---|---|---|
| softmax over N > 1 units | sparse categorical cross-entropy | classes in `[0, N)` |
| N > 1 linear units (logits) | the same, from logits | classes in `[0, N)` |
| one sigmoid unit | binary cross-entropy | 0 or 1 |
| one linear unit | mean squared error | numbers |

For any other output layer the caller names the loss. `secagg.models.objectives` combines several outputs.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from secagg.data.labels import NUMBERED
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.inputs import check_classes, check_values, fits


class Targets(Enum):
    """The kind of a model's targets, which also defines its accuracy."""

    CLASSES = "class labels, one integer for each distribution over classes"
    ONE_HOT = "distributions over classes"
    BINARY = "0 or 1 for each unit"
    NUMBERS = "a number for each unit; there is no accuracy"
    ANY = "whatever the caller's loss takes; there is no accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of one output and the kind of its targets.

    Attributes:
        loss: A callable `loss(targets, outputs)`, which returns a scalar or a loss per example.
        targets: The kind of the targets.
        output_shape: The shape of one example's output. A size of None stands for any size. None if the model does not
            say.
        threshold: The output above which a binary prediction is 1.
    """

    loss: Any
    targets: Targets
    output_shape: tuple[int | None, ...] | None
    threshold: float = 0.5

    def check(self, y: NDArray[Any], examples: int) -> NDArray[Any]:
        """Return the targets in the dtype and shape that the loss takes.

        Raises:
            DataError: The targets do not fit the model's output.
        """
        match self.targets:
            case Targets.CLASSES:
                classes, wanted = (self.output_shape[-1], self.output_shape[:-1]) if self.output_shape else (None, None)
                checked: NDArray[Any] = check_classes(y, examples, classes, shape=wanted)
            case Targets.BINARY:
                checked, wanted = check_values(y, examples), self.output_shape
                if not np.isin(checked, (0, 1)).all():
                    raise DataError(
                        f"expected targets that are 0 or 1, found {checked.min()} to {checked.max()}. {NUMBERED}"
                    )
                checked = checked.astype(np.float32, copy=False)
            case Targets.ONE_HOT | Targets.NUMBERS | Targets.ANY:
                checked = check_values(y, examples)
                wanted = None if self.targets is Targets.ANY else self.output_shape
            case _ as unreachable:
                assert_never(unreachable)
        if self.targets is not Targets.CLASSES and self.output_shape == (1,) and checked.ndim == 1:
            checked = checked.reshape(-1, 1)  # As one row each, they do not broadcast against the outputs.
        if wanted is not None and not fits(checked.shape[1:], wanted):
            is_labels = self.targets is Targets.ONE_HOT and checked.dtype.kind == "i"
            advice = f". numpy.eye({wanted[-1]})[labels] makes such rows of class labels." if is_labels else ""
            raise DataError(f"expected targets of shape {wanted} each, found {checked.shape[1:]}{advice}")
        return checked

    @property
    def targets_of_one(self) -> tuple[tuple[int | None, ...], Any]:
        """The shape and dtype of one example's checked targets, if the output's shape is known."""
        shape = self.output_shape or ()
        return (shape[:-1], np.int64) if self.targets is Targets.CLASSES else (shape, np.float32)

    @property
    def classifies(self) -> bool:
        """Whether there is an accuracy."""
        return self.targets in (Targets.CLASSES, Targets.ONE_HOT, Targets.BINARY)

    @property
    def takes_several(self) -> bool:
        """Whether the targets may be several arrays. The caller's own loss then takes all of them."""
        return self.targets is Targets.ANY

    def mean_loss(self, tensorflow: Any, targets: Any, outputs: Any) -> Any:
        """Return the mean loss over the examples, a scalar tensor."""
        if self.targets in (Targets.BINARY, Targets.NUMBERS) and outputs.shape.rank == (targets.shape.rank or 0) + 1:
            targets = tensorflow.expand_dims(targets, -1)  # As rows of one they do not broadcast against the outputs.
        return tensorflow.reduce_mean(self.loss(targets, outputs))

    def accuracy(self, tensorflow: Any, targets: Any, outputs: Any) -> Any:
        """Return the fraction of targets that the outputs predict, a float32 scalar; nan if there is no accuracy."""
        match self.targets:
            case Targets.CLASSES:
                predicted = tensorflow.argmax(outputs, axis=-1)
                hits = tensorflow.equal(predicted, tensorflow.reshape(targets, tensorflow.shape(predicted)))
            case Targets.ONE_HOT:
                hits = tensorflow.equal(tensorflow.argmax(outputs, axis=-1), tensorflow.argmax(targets, axis=-1))
            case Targets.BINARY:
                shaped = tensorflow.reshape(targets, tensorflow.shape(outputs))
                hits = tensorflow.equal(outputs > self.threshold, shaped > 0.5)
            case Targets.NUMBERS | Targets.ANY:
                return tensorflow.constant(float("nan"), tensorflow.float32)
            case _ as unreachable:
                assert_never(unreachable)
        return tensorflow.reduce_mean(tensorflow.cast(hits, tensorflow.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Known properties of an output of a model.

    Attributes:
        activation: The name of the output's last activation. None if it is not known.
        shape: The shape of one example's output. A size of None stands for any size. None if the model does not say.
    """

    activation: str | None = None
    shape: tuple[int | None, ...] | None = None

    @classmethod
    def of(cls, tensor: Any) -> "Output":
        """Return the properties of a symbolic Keras tensor."""
        shape = tuple(None if size is None else int(size) for size in tensor.shape[1:])
        return cls(activation=_activation(tensor), shape=shape)


def choose_objective(keras: Any, output: Output, loss: Any) -> Objective:
    """Return the objective with the loss that fits an output, or with the given loss.

    Args:
        keras: The Keras to which the model belongs.
        output: The known properties of the output.
        loss: A Keras loss, its name, a callable `loss(targets, outputs)`, or None to choose.

    Raises:
        ConfigurationError: `loss` is not a loss.
        ModelError: No loss was given, and no loss follows from the output layer.
    """
    shape = output.shape
    if loss is None:
        return _fitting(keras, output)
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"loss: expected a Keras loss, its name or a callable, found {loss!r}") from error
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


def _fitting(keras: Any, output: Output) -> Objective:
    activation, shape = output.activation, output.shape
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
    raise ModelError(
        "expected an output layer of softmax or linear units, or a single sigmoid unit, so that a loss can be chosen; "
        f"found {activation or 'unknown'} units of shape {shape}. Pass loss= with a Keras loss or a callable."
    )


def _activation(tensor: Any) -> str | None:
    """Return the name of the activation that ends in a symbolic tensor, or None if it is not known."""
    layer, _, position = tensor._keras_history
    if hasattr(layer, "layers"):
        return _activation(layer.outputs[position]) if layer.outputs else None
    if type(layer).__name__ == "Softmax":
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)
