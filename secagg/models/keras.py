"""Any Keras model behind the interface of federated training.

One model object stands for every simulated client in turn: `set_weights`, `fit`, `get_weights`. So the cost of the
calls around a step matters. The training step is therefore one traced TensorFlow function for any batch size, and
weights and optimizer state are assigned directly. Models of Keras 2 (tf-keras) and of Keras 3 on TensorFlow both work.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_integer, check_positive
from secagg.data.columns import Columns, count_rows, map_columns, take_rows
from secagg.errors import ConfigurationError, ModelError
from secagg.files import write_whole
from secagg.interruption import HeldInterrupts
from secagg.models.base import ArrayRole, Metrics
from secagg.models.inputs import batches, check_examples, check_suffix
from secagg.models.layer_state import LayerState
from secagg.models.layout import input_layout
from secagg.models.objectives import choose_objectives
from secagg.models.tensorflow import has_legacy_keras, load_legacy_keras, load_tensorflow
from secagg.models.variables import LayerRandomness, ModelWeights, OptimizerState, underlying

_EVALUATION_BATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class _Program:
    """The traced functions for one kind of example. Both take `(x, y)` of any batch size, in the model's form."""

    train: Any
    evaluate: Any


class KerasModel:
    """A Keras model with the interface of `secagg.models.base.Model`.

    `get_weights` returns every floating-point variable, frozen variables and moving statistics included, and `roles`
    says what training does to each. Integer variables (random generators) stay local. Building the model seeds
    TensorFlow's global generator. The generators of numpy and of Python's `random` are restored afterwards. Do not
    share an object between threads.

    Args:
        builder: A callable that makes the model, of Keras 2 or 3, with its weights created (let it begin with an
            `Input`).
        optimizer: The name of a Keras optimizer, or a callable that makes one, of the same Keras as the model.
        learning_rate: Learning rate of an optimizer that is given by name. None means that optimizer's default.
        loss: A Keras loss that takes the mean over examples, its name, or a callable `loss(targets, outputs)`. None
            chooses the loss that fits the output layer, see `secagg.models.objective`. For several outputs, a list or
            dict of losses whose sum is minimised, see `secagg.models.objectives`.
        seed: Seed of the initial weights, at least 0. Equal seeds give equal weights.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        ConfigurationError: An argument is out of range, or this class cannot use the optimizer.
        ModelError: The builder returns something other than a Keras model, or a model without trainable weights, with
            nested inputs or outputs, or whose loss must be named.
    """

    suffix: Final = ".keras"

    def __init__(
        self,
        builder: Callable[[], Any],
        *,
        optimizer: str | Callable[[], Any] = "adam",
        learning_rate: float | None = None,
        loss: Any = None,
        seed: int,
    ) -> None:
        tensorflow = load_tensorflow()
        self._tensorflow = tensorflow
        self._model = _build(builder, check_integer("seed", seed, minimum=0))
        keras = _keras_of(self._model)
        self._inputs = input_layout(self._model)
        self._weights = ModelWeights(tensorflow, self._model)
        self._trained = list(self._model.trainable_variables)
        if not self._trained:
            raise ModelError("expected a model with trainable weights, found none. Make a layer trainable.")
        self._objectives = choose_objectives(keras, self._model, loss)
        # AutoGraph is for the user's own layers and losses. It cannot convert the match statement here, and need not.
        self._accuracy = tensorflow.autograph.experimental.do_not_convert(self._objectives.accuracy)
        self._optimizer = _make_optimizer(keras, optimizer, learning_rate)
        _create_state(self._optimizer, self._trained)
        self._optimizer_state = OptimizerState(tensorflow, self._optimizer, self._trained)
        self._randomness: LayerRandomness | None = None
        self._layer_state = LayerState()
        self._programs: dict[str, _Program] = {}

    def __repr__(self) -> str:
        return f"KerasModel({self._model.name!r}, weights={len(self._weights.get())})"

    @property
    def model(self) -> Any:
        """The Keras model itself, with the current weights."""
        return self._model

    def roles(self, x: Columns, y: Columns) -> tuple[ArrayRole, ...]:
        """Return what training on such examples does to each array of `get_weights`. This changes nothing.

        Raises:
            DataError: The examples or targets do not fit the model.
        """
        trained = [underlying(self._tensorflow, variable) for variable in self._trained]
        if not self._weights.untrained(trained):
            return (ArrayRole.TRAINED,) * len(self._weights.get())
        x, y = self._checked(x, y)
        with HeldInterrupts():
            return self._weights.roles(self._program(x, y).train, trained)

    def get_weights(self) -> list[NDArray[Any]]:
        """Return copies of the weights, layer by layer: float64 if the variable is float64, float32 otherwise."""
        with HeldInterrupts():
            return self._weights.get()

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """Replace the weights, layer by layer, all or none. A number counts as an array of shape `()`.

        Raises:
            ModelError: The number of arrays, a shape or a dtype differs, or an entry is not finite.
        """
        with HeldInterrupts():
            self._weights.set(weights)

    def fit(self, x: Columns, y: Columns, *, epochs: int, batch_size: int, seed: int) -> None:
        """Train from the current weights with a fresh optimizer state, over shuffled minibatches.

        Give several inputs as a list or tuple in the model's order, or as a dict by their names. Give the targets of
        several outputs in the same way. If the model itself takes or returns a dict, give a dict with its keys. A
        Ctrl-C takes effect between two steps and leaves the weights of the last complete step.

        Raises:
            DataError: The examples or targets do not fit the model.
            ConfigurationError: `epochs`, `batch_size` or `seed` is out of range.
        """
        check_integer("epochs", epochs, minimum=1)
        check_integer("batch_size", batch_size, minimum=1)
        check_integer("seed", seed, minimum=0)
        x, y = self._checked(x, y)
        convert = self._tensorflow.convert_to_tensor
        with HeldInterrupts() as interrupts:
            train = self._program(x, y).train
            if self._randomness is None:
                self._randomness = LayerRandomness(self._tensorflow, self._model)
            self._layer_state.reset()
            self._randomness.reseed(seed)
            self._optimizer_state.reset()
            for batch in batches(count_rows(x), epochs=epochs, batch_size=batch_size, seed=seed):
                train(*(map_columns(convert, take_rows(each, batch)) for each in (x, y)))
                interrupts.check()

    def evaluate(self, x: Columns, y: Columns) -> Metrics:
        """Measure the mean loss, penalties included, and the accuracy. See `fit` for several inputs or outputs.

        Raises:
            DataError: The examples or targets do not fit the model.
        """
        x, y = self._checked(x, y)
        convert = self._tensorflow.convert_to_tensor
        total, examples = np.zeros(2), count_rows(x)
        with HeldInterrupts() as interrupts:
            evaluate = self._program(x, y).evaluate
            self._layer_state.reset()
            for start in range(0, examples, _EVALUATION_BATCH):
                part = slice(start, start + _EVALUATION_BATCH)
                results = evaluate(*(map_columns(convert, take_rows(each, part)) for each in (x, y)))
                total += min(_EVALUATION_BATCH, examples - start) * np.array([float(result) for result in results])
                interrupts.check()
        loss, accuracy = (total / examples).tolist()
        return Metrics(loss=loss, accuracy=accuracy)

    def save(self, path: Path) -> None:
        """Write the model to a `.keras` file, which `load_model` of the model's own Keras can read.

        Raises:
            ModelError: The suffix of `path` is not `.keras`.
            OSError: The file cannot be written there.
        """
        check_suffix(path, self.suffix)
        write_whole(path, self._model.save)

    def _checked(self, x: Columns, y: Columns) -> tuple[Columns, Columns]:
        """Return examples and targets in the dtypes, the shapes and the form that the model takes."""
        if self._inputs is None:  # A subclassed model does not say what it takes.
            x = map_columns(lambda array: check_examples(array, None, np.float32), x)
        else:
            layout, tensors = self._inputs
            shapes = [tuple(tensor.shape[1:]) for tensor in tensors]
            dtypes = [self._tensorflow.as_dtype(tensor.dtype).as_numpy_dtype for tensor in tensors]
            x = layout.checked(
                "examples", x, lambda position, array: check_examples(array, shapes[position], dtypes[position])
            )
        return x, self._objectives.check(y, count_rows(x))

    def _program(self, x: Columns, y: Columns) -> _Program:
        """Return the traced functions for such examples. They are traced once for all batch sizes."""
        spec = self._tensorflow.TensorSpec
        return self._traced([map_columns(lambda one: spec((None, *one.shape[1:]), one.dtype), each) for each in (x, y)])

    def _traced(self, signature: list[Any]) -> _Program:
        key, traced = repr(signature), self._tensorflow.function
        if key not in self._programs:
            try:
                self._programs[key] = _Program(
                    train=traced(self._train_step).get_concrete_function(*signature),
                    evaluate=traced(self._evaluate_step).get_concrete_function(*signature),
                )
                self._note_layer_state(self._programs[key])
            except Exception as error:
                if isinstance(error.__context__, ModelError):  # AutoGraph wraps our error in one of its own.
                    raise error.__context__ from None
                raise
        return self._programs[key]

    def _note_layer_state(self, program: _Program) -> None:
        """Remember the state that layers keep besides weights, before it first changes."""
        apart = self._weights.ids | self._optimizer_state.ids
        self._layer_state.note((program.train, program.evaluate), apart=apart)

    def _train_step(self, x: Any, y: Any) -> None:
        with self._tensorflow.GradientTape() as tape:
            loss = self._loss(y, self._model(x, training=True))
        gradients = tape.gradient(loss, self._trained)
        self._optimizer.apply_gradients(zip(gradients, self._trained, strict=True))

    def _evaluate_step(self, x: Any, y: Any) -> tuple[Any, Any]:
        outputs = self._model(x, training=False)
        return self._loss(y, outputs), self._accuracy(self._tensorflow, y, outputs)

    def _loss(self, y: Any, outputs: Any) -> Any:
        loss = self._objectives.loss(self._tensorflow, y, outputs)
        penalties = [self._tensorflow.cast(penalty, loss.dtype) for penalty in self._model.losses]
        return self._tensorflow.add_n([loss, *penalties])


def _build(builder: Callable[[], Any], seed: int) -> Any:
    """Run the builder, with every generator seeded from which Keras initialises weights."""
    word = int(np.random.SeedSequence(seed).generate_state(1)[0])  # Keras takes seeds of 32 bits.
    with _global_generators_kept(), _resettable_dropout():
        for name in ("tf_keras", "keras"):
            if name in sys.modules:
                sys.modules[name].utils.set_random_seed(word)
        model = builder()
    if not _keras_root(model):
        raise ModelError(f"expected a Keras model from the builder, found {type(model).__name__}")
    try:
        weights = model.weights
    except ValueError:  # A Sequential of Keras 2 raises this until it knows its input.
        weights = []
    if not weights:
        raise ModelError(
            f"expected a model with its weights created, found none in {model.name!r}. Begin with an Input."
        )
    return model


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _resettable_dropout() -> Iterator[None]:
    """Make random layers of Keras 2 keep their generator in a variable, which `fit` can reset to a seed."""
    if not has_legacy_keras():
        yield
        return
    switch = load_legacy_keras().backend.experimental
    if switch.is_tf_random_generator_enabled():
        yield
        return
    switch.enable_tf_random_generator()
    try:
        yield
    finally:
        switch.disable_tf_random_generator()


def _keras_root(model: Any) -> str | None:
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__ if cls.__name__ == "Model"}
    return next((root for root in ("tf_keras", "keras") if root in roots), None)


def _keras_of(model: Any) -> Any:
    """Return the Keras to which the model belongs, with its own losses and optimizers."""
    if _keras_root(model) == "tf_keras":
        return load_legacy_keras()
    keras = sys.modules["keras"]
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ModelError(f"expected Keras 3 on the tensorflow backend, found {backend}. Set KERAS_BACKEND=tensorflow.")
    return keras


def _make_optimizer(keras: Any, optimizer: str | Callable[[], Any], learning_rate: float | None) -> Any:
    if isinstance(optimizer, str):
        try:
            made = keras.optimizers.get(optimizer)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:  # Some names belong to objects that are not optimizers.
            raise ConfigurationError(f"expected the name of a Keras optimizer, found {optimizer!r}") from error
        if learning_rate is not None:
            made.learning_rate = check_positive("learning_rate", learning_rate)
        return made
    if learning_rate is not None:
        raise ConfigurationError(
            "learning_rate: expected None with an optimizer that is passed, found a number. Set it in the optimizer."
        )
    made = optimizer()
    kinds = [keras.optimizers.Optimizer]
    if keras.__name__ == "tf_keras":
        kinds.append(keras.optimizers.legacy.Optimizer)
    if not isinstance(made, tuple(kinds)):
        raise ConfigurationError(
            f"expected an optimizer of {keras.__name__}, the model's own Keras, found {type(made).__module__}"
        )
    if hasattr(made, "_dp_sum_query"):
        raise ConfigurationError(
            "expected a plain Keras optimizer, found one of tensorflow-privacy, which computes its own gradients. Use "
            "PrivateKerasModel to protect examples."
        )
    return made


def _create_state(optimizer: Any, variables: list[Any]) -> None:
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:  # Otherwise, optimizers of tf.keras.optimizers.legacy create their state only at the first step.
        optimizer._create_all_weights(variables)
