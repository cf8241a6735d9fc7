"""The objective of a whole Keras model: one objective for each output.

The loss of a model with several outputs is the sum of the outputs' mean losses, each with weight 1. Its accuracy is the
mean of the accuracies of those outputs that classify, or nan if none does. Both are Keras's own conventions for
`compile` without weights, except that Keras reports an accuracy for each output.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secagg.data.columns import Columns, map_columns
from secagg.errors import ConfigurationError, DataError
from secagg.models.layout import Layout, output_layout
from secagg.models.objective import Objective, Output, choose_objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """The objectives of all outputs of a Keras model.

    Attributes:
        layout: The layout of the outputs. None if one loss takes the whole output of the model.
        parts: One objective for each output, in the layout's order.
    """

    layout: Layout | None
    parts: tuple[Objective, ...]

    def check(self, y: Columns, examples: int) -> Columns:
        """Return the targets in the dtype, shape and form that the losses take.

        Raises:
            DataError: The targets do not fit the model's outputs.
        """
        if self.layout is not None:
            return self.layout.checked("targets", y, lambda position, one: self.parts[position].check(one, examples))
        only = self.parts[0]
        checked: Columns = map_columns(lambda one: only.check(one, examples), y if only.takes_several else _single(y))
        return checked

    def loss(self, tensorflow: Any, targets: Any, outputs: Any) -> Any:
        """Return the sum over the outputs of the mean loss over the examples, a scalar tensor."""
        if self.layout is None:
            return self.parts[0].mean_loss(tensorflow, targets, outputs)
        pairs = zip(self.parts, self.layout.unpacked(targets), self.layout.unpacked(outputs), strict=True)
        losses = [part.mean_loss(tensorflow, target, output) for part, target, output in pairs]
        return tensorflow.add_n([tensorflow.cast(loss, losses[0].dtype) for loss in losses])

    def accuracy(self, tensorflow: Any, targets: Any, outputs: Any) -> Any:
        """Return the mean accuracy of the outputs that classify, a float32 scalar tensor; nan if none does."""
        if self.layout is None:
            return self.parts[0].accuracy(tensorflow, targets, outputs)
        pairs = zip(self.parts, self.layout.unpacked(targets), self.layout.unpacked(outputs), strict=True)
        found = [part.accuracy(tensorflow, target, output) for part, target, output in pairs if part.classifies]
        return tensorflow.add_n(found) / len(found) if found else tensorflow.constant(float("nan"), tensorflow.float32)


def choose_objectives(keras: Any, model: Any, loss: Any) -> Objectives:
    """Return the objectives with the losses that fit the model's outputs, or with the given losses.

    Args:
        keras: The Keras to which the model belongs.
        model: A built Keras model.
        loss: A Keras loss, its name, a callable `loss(targets, outputs)`, or None to choose one. Give one of these for
            all outputs, or a list or dict with one for each output. If the caller's own callable is given for several
            outputs, it takes all targets and all outputs, in the model's own form.

    Raises:
        ConfigurationError: A loss is not a Keras loss, its name or a callable, or losses do not match the outputs.
        ModelError: No loss was given for an output, and no loss follows from its layer.
    """
    found = output_layout(model)
    several = isinstance(loss, list | tuple | Mapping)
    if found is None and not several:
        return Objectives(layout=None, parts=(choose_objective(keras, Output(), loss),))
    if found is None:  # A subclass does not declare its outputs, so the losses define their form.
        losses = dict(loss) if isinstance(loss, Mapping) else list(loss)
        names = iter(range(len(losses)))
        layout, outputs = Layout.of(losses, lambda _: f"output {next(names)}"), [Output() for _ in losses]
    else:
        layout, outputs = found[0], [Output.of(tensor) for tensor in found[1]]
    if len(outputs) > 1 and _is_callers_own(keras, loss):
        return Objectives(layout=None, parts=(choose_objective(keras, Output(), loss),))
    try:
        losses = layout.arranged("losses", loss) if several else [loss] * len(outputs)
    except DataError as error:
        raise ConfigurationError(str(error)) from None
    parts = tuple(choose_objective(keras, output, one) for output, one in zip(outputs, losses, strict=True))
    return Objectives(layout=layout, parts=parts)


def _is_callers_own(keras: Any, loss: Any) -> bool:
    """Return whether a loss is a plain callable of the caller. Keras's own losses take one output each."""
    home = str(getattr(loss, "__module__", "")).partition(".")[0]
    return callable(loss) and not isinstance(loss, keras.losses.Loss) and home != keras.__name__


def _single(y: Columns) -> Columns:
    if isinstance(y, list | tuple | Mapping):
        raise DataError(f"expected targets as one array, found a {type(y).__name__} of {len(y)}")
    return y
