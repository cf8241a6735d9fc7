"""The variables of a Keras model: its weights, what training does to each, and the local state that is no weight.

Weights are all floating-point variables, those that are not trained by gradients included. A step of training itself
tells their roles: what the optimizer trains, what else the step writes to (the moving statistics of batch
normalisation), and what it never changes. Integer variables, such as the state of a dropout layer's random generator,
stay where they are; so does the state of the optimizer.

Everything is read and assigned through the `tensorflow.Variable` underneath, which costs a fraction of Keras's calls.
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
"""Names of statistics that are variances or standard deviations, in Keras and by custom."""


def _is_never_negative(name: str) -> bool:
    """Whether a variable is such a statistic, by its own name: in Keras 2 the names of its layers stand before it."""
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
        """Give each variable its array, of the variable's dtype."""
        for variable, array in zip(self.variables, arrays, strict=True):
            variable.assign(array)


class ModelWeights:
    """The weights of a built Keras model, layer by layer.

    Args:
        tensorflow: The module.
        model: A built Keras model, of Keras 2 or 3.
    """

    def __init__(self, tensorflow: Any, model: Any) -> None:
        seen: set[int] = set()
        groups = []
        # A subclassed model may own variables itself: it comes last, with what its layers left over.
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
        # Until `roles` has told more: which arrays a step of training moves, and in which it keeps a variance.
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
        """Copy the weights out, float64 where the variable is, float32 otherwise."""
        arrays = [variable.numpy() for group in self.layers for variable in group.variables]
        return [array if array.dtype in (np.float32, np.float64) else array.astype(np.float32) for array in arrays]

    def set(self, weights: Sequence[NDArray[Any]]) -> None:
        """Assign the weights back, layer by layer, after checking all of them.

        Noise may bring the mean of batch normalisation's moving variances below zero, where the layer would give NaN:
        such entries become zero, which is post-processing. What training never changes stays as it is.

        Raises:
            ModelError: The number of arrays, a shape or a dtype differs, or an entry is not finite in its variable's
                dtype, unless the model holds that array already and never trains it.
        """
        converted = converted_weights(
            weights, shapes=self._shapes, dtypes=self._dtypes, names=self._names, is_held=self._is_held
        )
        arrays = iter([self._readable(position, array) for position, array in enumerate(converted)])
        for group in self.layers:
            group.assign(next(arrays) for _ in group.variables)

    def _is_held(self, position: int, array: NDArray[Any]) -> bool:
        """Whether this is the present array of a variable that training does not move; NaN equals NaN."""
        return not self._is_moved[position] and bool(
            np.array_equal(array, self._variables[position].numpy(), equal_nan=True)
        )

    def _readable(self, position: int, array: NDArray[Any]) -> NDArray[Any]:
        """The array as its layer can read it: entries below zero become zero in a variance that is a new one."""
        if not self._never_negative[position] or not (array < 0).any() or self._is_held(position, array):
            return array
        return np.maximum(array, array.dtype.type(0))

    def untrained(self, trained: Sequence[Any]) -> list[Any]:
        """The `tensorflow.Variable` of each weight that is none of the trained variables."""
        ids = {id(variable) for variable in trained}
        return [variable for group in self.layers for variable in group.variables if id(variable) not in ids]

    def roles(self, step: Any, trained: Sequence[Any]) -> tuple[ArrayRole, ...]:
        """What a step of training does to each weight.

        Args:
            step: The step, a traced function.
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
    """The variables of an optimizer, and the way back to what they were at first.

    Args:
        tensorflow: The module.
        optimizer: A Keras optimizer that has created its variables.
        trained: The variables that the optimizer trains, which are none of its own.
    """

    def __init__(self, tensorflow: Any, optimizer: Any, trained: Sequence[Any]) -> None:
        listed = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
        # Not every optimizer lists all it keeps (Nadam of Keras 2 does not); what it tracks completes the list.
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
        """Forget every step taken."""
        self._reset()


class LayerRandomness:
    """The random generators inside a model's layers (dropout, augmentation), made repeatable.

    Args:
        tensorflow: The module.
        model: A Keras model whose training step has been traced: Keras 2 creates its generators no sooner.
    """

    def __init__(self, tensorflow: Any, model: Any) -> None:
        # Keras 2 tracks its layers' generators for no checkpoint; those of a user's own layer are tracked.
        wrappers = [getattr(layer, "_random_generator", None) for layer in getattr(model, "submodules", ())]
        found = [
            *(getattr(wrapper, "_generator", None) for wrapper in wrappers),
            *tensorflow.train.TrackableView(model).descendants(),
        ]
        generators = {id(one): one for one in found if isinstance(one, tensorflow.random.Generator)}
        self._generators = list(generators.values())
        weights = {id(variable) for variable in model.weights}
        # The state of a Keras 3 SeedGenerator: its seed and how many numbers were drawn.
        self._states = [
            underlying(tensorflow, variable)
            for variable in model.variables
            if id(variable) not in weights and variable.name == "seed_generator_state"
        ]

    def reseed(self, seed: int) -> None:
        """Start every generator anew, each from its own number drawn with `seed`."""
        if self._generators or self._states:
            # Keras 3 keeps a seed in the integer type of its own choice, 32 bits of which always fit.
            draws = np.random.default_rng([seed, 1]).integers(2**31, size=len(self._generators) + len(self._states))
            numbers = iter(draws.tolist())
            for generator in self._generators:
                generator.reset_from_seed(next(numbers))
            for state in self._states:
                state.assign(np.array([next(numbers), 0], dtype=state.dtype.as_numpy_dtype))


def underlying(tensorflow: Any, variable: Any) -> Any:
    """Return the `tensorflow.Variable` of a Keras variable; Keras 2 uses it directly, Keras 3 wraps it."""
    return variable if isinstance(variable, tensorflow.Variable) else variable.value
