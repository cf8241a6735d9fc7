"""The state that a model's layers keep besides their weights, which is reset before each client's training.

Integer counters, the state of a stateful recurrent layer and a user's own variables are not weights, so the global
model does not contain them. In a simulation, all clients train one model object. Without a reset, what one client's
training leaves in such a variable would enter the next client's update. A change of one client's data would then change
two updates.
"""

from collections.abc import Collection
from typing import Any

from secagg.models.tensorflow import written_by


class LayerState:
    """The variables to which training or evaluation writes, and which are neither weights nor the optimizer's."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[Any, Any]] = {}

    def note(self, traced: Collection[Any], *, apart: Collection[int]) -> None:
        """Remember the present values of such variables.

        Args:
            traced: Concrete functions of one model. None of them has been run with these variables yet.
            apart: The `id` of each `tensorflow.Variable` that is a weight or belongs to the optimizer.
        """
        written = {handle for function in traced for handle in written_by(function)}
        for variable in (variable for function in traced for variable in function.graph.variables):
            if id(variable.handle) in written and id(variable) not in {*apart, *self._first}:
                self._first[id(variable)] = (variable, variable.numpy())

    def reset(self) -> None:
        """Set the variables back to the values that `note` remembered."""
        for variable, value in self._first.values():
            variable.assign(value)
