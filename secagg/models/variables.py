"""The variables of a Keras model: its weights, what training does to each, and the local state that is not a weight.

The weights are all floating-point variables, also those that are not trained by gradients. The traced training step
shows their roles: which the optimizer trains, which the step writes to otherwise (the moving statistics of batch
normalisation), and which it never changes. Integer variables, such as the state of a dropout layer's random generator,
stay local. So does the state of the optimizer.

Everything is read and assigned through the underlying `tensorflow.Variable`, which costs a fraction of Keras's calls.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.models.base import ArrayRole
from secagg.models.inputs import converted_weights
from secagg.models.tensorflow import written_by

_NEVER_NEGATIVE: Final = re.compile(r"(moving|running|renorm)_(variance|var|stddev|std)(?![a-z])")
"""Names of statistics that are variances or standard deviations, in Keras or by convention."""


def _is_never_negative(name: str) -> bool:
    """Return whether a variable's own name is such a name. In Keras 2, the names of its layers precede it."""
    return bool(_NEVER_NEGATIVE.search(name.rpartition("/")[2].partition(":")[0]))


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer's weights.

    Attributes:
        layer: The layer's name.
        names: The variables' names.
        variables: The `tensorflow.Variable` of each, in the layer's order.
    """

    layer: str
    names: tuple[str, ...]
    variables: tuple[Any, ...]

    def assign(self, arrays: Iterable[NDArray[Any]]) -> None:
        """Assign to each variable its array, which has the variable's dtype."""
        for variable, array in zip(self.variables, arrays, strict=True):
            variable.assign(array)


class ModelWeights:
    """The weights of a built Keras model, layer by layer.

    Args:
        tensorflow: The module `tensorflow`.
        model: A built Keras model, of Keras 2 or 3.
    """

    def __init__(self, tensorflow: Any, model: Any) -> None:
        seen: set[int] = set()
        groups = []
        # A subclassed model may own variables itself. It comes last, with the variables that no layer owns.
        for owner in (*model.layers, model):
            own = [
                (variable.name, raw)
                for variable in owner.weights
                if (raw := underlying(tensorflow, variable)).dtype.is_floating and id(raw) not in seen
            ]
            seen.update(id(raw) for _, raw in own)
            if own:
                names, raws = zip(*own, strict=True)
                groups.append(LayerWeights(owner.name, names, raws))
        self.layers = tuple(groups)
        variables = [variable for group in groups for variable in group.variables]
        self._shapes = [tuple(variable.shape) for variable in variables]
        self._dtypes = [variable.dtype.as_numpy_dtype for variable in variables]
        self._names = [f"{name} of layer {group.layer}" for group in groups for name in group.names]
        self._variables = variables
        self._is_named_so = [_is_never_negative(name) for group in groups for name in group.names]
        # Until `roles` knows more: which arrays a training step changes, and which of them are variances.
        trained = {id(underlying(tensorflow, variable)) for variable in model.trainable_variables}
        self._is_moved = [id(variable) in trained for variable in variables]
        self._never_negative = [
            named and not moved for named, moved in zip(self._is_named_so, self._is_moved, strict=True)
        ]

    @property
    def ids(self) -> set[int]:
        """The `id` of each weight's `tensorflow.Variable`."""
        return {id(variable) for group in self.layers for variable in group.variables}

    def get(self) -> list[NDArray[Any]]:
        """Return copies of the weights: float64 if the variable is float64, float32 otherwise."""
        arrays = [variable.numpy() for group in self.layers for variable in group.variables]
        return [array if array.dtype in (np.float32, np.float64) else array.astype(np.float32) for array in arrays]

    def set(self, weights: Sequence[NDArray[Any]]) -> None:
        """Replace the weights, layer by layer, after checking all of them.

        Noise may make entries of batch normalisation's averaged moving variances negative, for which the layer would
        return NaN. Such entries become zero, which is post-processing. Arrays that training never changes stay as they
        are.

        Raises:
            ModelError: The number of arrays, a shape or a dtype differs, or an entry is not finite in its variable's
                dtype. The last is allowed if the model already holds that array and never trains it.
        """
        converted = converted_weights(
            weights, shapes=self._shapes, dtypes=self._dtypes, names=self._names, is_held=self._is_held
        )
        arrays = iter([self._readable(position, array) for position, array in enumerate(converted)])
        for group in self.layers:
            group.assign(next(arrays) for _ in group.variables)

    def _is_held(self, position: int, array: NDArray[Any]) -> bool:
        """Return whether this is the present array of a variable that training does not change. NaN equals NaN."""
        return not self._is_moved[position] and bool(
            np.array_equal(array, self._variables[position].numpy(), equal_nan=True)
        )

    def _readable(self, position: int, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array in the form that its layer can use: negative entries of a new variance become zero."""
        if not self._never_negative[position] or not (array < 0).any() or self._is_held(position, array):
            return array
        return np.maximum(array, array.dtype.type(0))

    def untrained(self, trained: Sequence[Any]) -> list[Any]:
        """Return the `tensorflow.Variable` of each weight that is not among the trained variables."""
        ids = {id(variable) for variable in trained}
        return [variable for group in self.layers for variable in group.variables if id(variable) not in ids]

    def roles(self, step: Any, trained: Sequence[Any]) -> tuple[ArrayRole, ...]:
        """Return what a training step does to each weight.

        Args:
            step: The training step, a traced function.
            trained: The `tensorflow.Variable` of each variable that the optimizer trains.
        """
        by_optimizer, written = {id(variable) for variable in trained}, written_by(step)
        roles = tuple(
            ArrayRole.TRAINED
            if id(variable) in by_optimizer
            else ArrayRole.FIXED
            if id(variable.handle) not in written
            else ArrayRole.VARIANCE
            if named
            else ArrayRole.STATISTIC
            for variable, named in zip(self._variables, self._is_named_so, strict=True)
        )
        self._is_moved = [role.travels for role in roles]
        self._never_negative = [role is ArrayRole.VARIANCE for role in roles]
        return roles


class OptimizerState:
    """The variables of an optimizer, and a way to reset them to their first values.

    Args:
        tensorflow: The module `tensorflow`.
        optimizer: A Keras optimizer that has created its variables.
        trained: The variables that the optimizer trains. They are not its own variables.
    """

    def __init__(self, tensorflow: Any, optimizer: Any, trained: Sequence[Any]) -> None:
        listed = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
        # Not every optimizer lists all its variables (Nadam of Keras 2 does not). What it tracks completes the list.
        tracked = tensorflow.train.TrackableView(optimizer).descendants()
        variables = [underlying(tensorflow, variable) for variable in listed]
        variables += [one for one in tracked if isinstance(one, tensorflow.Variable)]
        not_its_own = {id(underlying(tensorflow, variable)) for variable in trained}
        raws = list({id(raw): raw for raw in variables if id(raw) not in not_its_own}.values())
        first = [tensorflow.identity(raw) for raw in raws]
        self.ids = {id(raw) for raw in raws}

        def assign_first() -> None:
            for raw, value in zip(raws, first, strict=True):
                raw.assign(value)

        self._reset = tensorflow.function(assign_first).get_concrete_function()

    def reset(self) -> None:
        """Reset the optimizer to its state before the first step."""
        self._reset()


class LayerRandomness:
    """The random generators inside a model's layers (dropout, augmentation), made repeatable.

    Args:
        tensorflow: The module `tensorflow`.
        model: A Keras model whose training step has been traced. Keras 2 creates its generators only then.
    """

    def __init__(self, tensorflow: Any, model: Any) -> None:
        # Keras 2 does not track its layers' generators for checkpoints. Those of a user's own layer are tracked.
        wrappers = [getattr(layer, "_random_generator", None) for layer in getattr(model, "submodules", ())]
        found = [
            *(getattr(wrapper, "_generator", None) for wrapper in wrappers),
            *tensorflow.train.TrackableView(model).descendants(),
        ]
        generators = {id(one): one for one in found if isinstance(one, tensorflow.random.Generator)}
        self._generators = list(generators.values())
        weights = {id(variable) for variable in model.weights}
        # The state of a Keras 3 SeedGenerator: its seed and the count of numbers drawn.
        self._states = [
            underlying(tensorflow, variable)
            for variable in model.variables
            if id(variable) not in weights and variable.name == "seed_generator_state"
        ]

    def reseed(self, seed: int) -> None:
        """Restart every generator, each from its own number that is drawn with `seed`."""
        if self._generators or self._states:
            # Keras 3 chooses the integer type of its seeds. Numbers below 2^31 always fit.
            draws = np.random.default_rng([seed, 1]).integers(2**31, size=len(self._generators) + len(self._states))
            numbers = iter(draws.tolist())
            for generator in self._generators:
                generator.reset_from_seed(next(numbers))
            for state in self._states:
                state.assign(np.array([next(numbers), 0], dtype=state.dtype.as_numpy_dtype))


def underlying(tensorflow: Any, variable: Any) -> Any:
    """Return the `tensorflow.Variable` of a Keras variable; Keras 2 uses it directly, Keras 3 wraps it."""
    return variable if isinstance(variable, tensorflow.Variable) else variable.value
