"""A Keras model whose local training protects every example: DP-SGD through tensorflow-privacy's Keras optimizer.

Adversary: anyone who sees the weights after each round of training and the examples of all other clients.
`secagg.models.clipped_sum` says what is noised, and with what sensitivity. `secagg.privacy.example_level` says how
often that happens, and what it costs.

Departures from how tensorflow-privacy's optimizers are used elsewhere:

- Minibatches are Poisson samples, as the accounting assumes, not shuffled minibatches of one size.
- The noisy sum is divided by the expected number of examples, not by the number in the sample, which is not public.
- A sample is filled up to a power of two, at least one, with rows of weight zero. The optimizer divides by that size.
  The result is multiplied by the same size again. Both are exact, so the size of a sample leaves no trace in the
  weights.
- Gradients are computed with each example in a minibatch of its own, vectorized, not as the Jacobian of all losses. In
  a Jacobian, one example whose activations overflow makes the gradients of all examples NaN (zero times infinity), and
  a layer may mix examples. In both cases one example would change the sum by more than its own clipped gradient.
- TensorFlow cannot vectorize every model, for example not the loop over time in an LSTM or a GRU. The gradients of such
  a model are computed by a loop over the examples, which gives the same numbers more slowly.
"""

import logging
import os
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_integer
from secagg.data.columns import Columns, count_rows, map_columns, take_rows
from secagg.errors import ConfigurationError, ModelError
from secagg.interruption import HeldInterrupts
from secagg.models.clipped_sum import SEED_BYTES, ClippedNoisySum
from secagg.models.keras import KerasModel
from secagg.models.operations import check_examples_apart, check_nothing_kept, operations_in
from secagg.models.poisson import poisson_sample
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow_privacy, written_by
from secagg.models.variables import underlying
from secagg.privacy.example_level import ExampleLevel


class PrivateKerasModel(KerasModel):
    """A tf-keras model that trains only by DP-SGD, with the interface of `secagg.models.base.Model`.

    Args:
        builder: As for `KerasModel`. The model's weights must be float32, and each trained or frozen. The model must
            not contain penalties, random layers, statistics that training keeps, or layers that keep a state from one
            example to the next. It must not contain other stateful operations of TensorFlow
            (`secagg.models.operations`) either, for example Python code.
        training: What one call of `fit` does.
        learning_rate: Learning rate of stochastic gradient descent, above 0.
        seed: Seed of the initial weights, at least 0.
        entropy: A source of secret randomness for samples and noise. Called with a number of bytes, it returns that
            number of bytes.

    Formal guarantees:
        The weights after `fit`, given those before it, are one `training.event`: unit, relation and sensitivity are
        `ExampleLevel`'s. Samples come from `entropy`. Noise comes from a generator of TensorFlow that each `fit` seeds
        from `entropy`. No public seed influences either. The noise is not one of the package's own exact noises but an
        approximation in float64, see `ClippedNoisySum`. Gradients are float32, and their rounding may depend on how
        many other examples are computed beside an example: that is not covered.

    Raises:
        MissingExtraError: TensorFlow or tensorflow-privacy is not installed.
        ConfigurationError: An argument is out of range.
        ModelError: As for `KerasModel`, or the model's examples cannot be protected. To find this out, a step on a
            minibatch without examples is run here.
    """

    def __init__(
        self,
        builder: Callable[[], Any],
        *,
        training: ExampleLevel,
        learning_rate: float,
        seed: int,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        privacy = load_tensorflow_privacy()  # First, because the builder is not to blame if it is missing.
        super().__init__(builder, optimizer="sgd", learning_rate=learning_rate, seed=seed)
        tensorflow = self._tensorflow
        self._training, self._entropy = training, entropy
        self._check_protectable()
        operations = operations_in(self._forward().graph)
        check_examples_apart(operations)
        # AutoGraph is only for the user's own layers.
        self._check_apart = tensorflow.autograph.experimental.do_not_convert(_check_apart)
        self._generator = tensorflow.random.Generator.from_state(self._seed_state(), alg="philox")
        query = ClippedNoisySum(
            tensorflow, self._generator, clip_l2=training.clip_l2, noise_stddev=training.noise_stddev
        )
        self._optimizer = privacy.GenericDPSGDOptimizer(query, learning_rate=learning_rate)
        # The number of rows of the present minibatch that are examples.
        self._present = tensorflow.Variable(0, dtype=tensorflow.int32, trainable=False)
        # TensorFlow fails to vectorize the loops of recurrent layers, after seconds of trying.
        self._is_vectorized = not operations & {"While", "StatelessWhile"}
        self._rehearse()

    def fit(self, x: Columns, y: Columns, *, epochs: int, batch_size: int, seed: int) -> None:
        """Train from the current weights, as planned.

        Two calls never give the same weights, because samples and noise are secret. A Ctrl-C takes effect between two
        steps. The weights of the last complete step are private too, and cost no more than the whole call.

        Args:
            x: Examples.
            y: Their targets.
            epochs: The plan's number of epochs.
            batch_size: The plan's batch size.
            seed: At least 0. It is not used: nothing here follows from a seed that others know.

        Raises:
            DataError: The examples or targets do not fit the model.
            ConfigurationError: `epochs` or `batch_size` is not the plan's, or `seed` is out of range.
        """
        plan = self._training
        if (epochs, batch_size) != (plan.epochs, plan.batch_size):
            raise ConfigurationError(
                f"expected the {plan.epochs} epochs and batches of {plan.batch_size} for which the noise was planned, "
                f"found {epochs} and {batch_size}. Use the plan's numbers, or plan again."
            )
        check_integer("seed", seed, minimum=0)
        x, y = self._checked(x, y)
        with HeldInterrupts() as interrupts:
            train = self._program(x, y).train
            self._generator.reset(self._seed_state())
            for _ in range(plan.steps):
                sample = poisson_sample(count_rows(x), plan.sampling_rate, self._entropy)
                self._present.assign(len(sample))
                train(*(map_columns(self._filled_up, take_rows(each, sample)) for each in (x, y)))
                interrupts.check()

    def _train_step(self, x: Any, y: Any) -> None:
        tensorflow = self._tensorflow
        rows = tensorflow.shape(tensorflow.nest.flatten(x)[0])[0]
        gradients = _RowsByThemselves(tensorflow, self._gradients(x, y), tensorflow.range(rows) < self._present)
        noisy_means = self._optimizer._compute_gradients(tensorflow.zeros([rows]), self._trained, tape=gradients)
        factor = tensorflow.cast(rows, tensorflow.float32) / self._training.expected_examples
        self._optimizer.apply_gradients([(factor * gradient, variable) for gradient, variable in noisy_means])

    def _gradients(self, x: Any, y: Any) -> list[Any]:
        """Return the gradients of the examples' losses, stacked, for each variable."""
        tensorflow = self._tensorflow

        def of_one(example: tuple[Any, Any]) -> list[Any]:
            row, target = tensorflow.nest.map_structure(lambda part: tensorflow.expand_dims(part, 0), example)
            with tensorflow.GradientTape() as tape:
                loss = self._objectives.loss(tensorflow, target, self._model(row, training=True))
            self._check_penalties()
            unconnected = tensorflow.UnconnectedGradients.ZERO
            gradients = tape.gradient(loss, self._trained, unconnected_gradients=unconnected)
            self._check_apart(tensorflow.compat.v1.get_default_graph())  # A layer may have a gradient of its own.
            return [tensorflow.convert_to_tensor(gradient) for gradient in gradients]

        if not self._is_vectorized:
            specs = [tensorflow.TensorSpec(variable.shape, variable.dtype) for variable in self._trained]
            looped: list[Any] = tensorflow.map_fn(of_one, (x, y), fn_output_signature=specs)
            return looped
        logger = tensorflow.get_logger()
        level = logger.level
        # It logs a remark on convolutions, which it computes one by one, and prints what it cannot do before it raises.
        logger.setLevel(logging.CRITICAL)
        try:
            stacked: list[Any] = tensorflow.vectorized_map(of_one, (x, y))
        finally:
            logger.setLevel(level)
        return stacked

    def _rehearse(self) -> None:
        """Take a step on a minibatch without examples, to find out beforehand whether the model can take one.

        It also decides how gradients are computed: vectorized, or by a loop if that fails.

        Raises:
            ModelError: The step cannot be taken.
        """
        signature, start = self._signature(), self.get_weights()
        has_sizes = all(None not in spec.shape[1:] for spec in self._tensorflow.nest.flatten(signature))
        with HeldInterrupts():
            for vectorized in (True, False) if self._is_vectorized else (False,):
                self._is_vectorized = vectorized
                self._programs.clear()
                try:
                    program = self._traced(signature)
                    # Training may read what an evaluation of the model has written.
                    check_nothing_kept(operations_in(program.evaluate.graph))
                    if has_sizes:
                        self._present.assign(0)
                        program.train(*self._tensorflow.nest.map_structure(_blank, signature))
                    return
                except ModelError:
                    raise
                except Exception as error:  # noqa: BLE001 - layers are code of others, and vectorizing has no error of its own
                    wrapped = error.__context__  # AutoGraph wraps the layer's error in one of its own.
                    failure = wrapped if hasattr(wrapped, "ag_error_metadata") else error
                finally:
                    self.set_weights(start)
        reason = (str(failure).strip() or "no reason given").splitlines()[0]
        raise ModelError(
            "expected a model for which TensorFlow can compute the gradient of one example, found that it fails "
            f"({type(failure).__name__}: {reason}). Replace the layer at fault."
        ) from failure

    def _signature(self) -> list[Any]:
        """Return the signature of a step, for any batch size: the model's inputs, and the targets of its outputs."""
        spec, found = self._tensorflow.TensorSpec, self._inputs
        if found is None or self._objectives.layout is None:
            raise ModelError(
                "expected a model that declares its inputs and outputs, found a subclass that does not. Build it as a "
                "Sequential or functional model."
            )
        layout, tensors = found
        inputs = layout.packed([spec((None, *tensor.shape[1:]), tensor.dtype) for tensor in tensors])
        parts = [part.targets_of_one for part in self._objectives.parts]
        return [inputs, self._objectives.layout.packed([spec((None, *shape), dtype) for shape, dtype in parts])]

    def _note_layer_state(self, program: Any) -> None:
        """Do nothing: layers that keep a state are refused, and the generator of the noise must never be reset."""

    def _filled_up(self, rows: NDArray[Any]) -> Any:
        return self._tensorflow.convert_to_tensor(filled_up(rows))

    def _seed_state(self) -> Any:
        drawn = self._entropy(SEED_BYTES)
        if len(drawn) != SEED_BYTES:
            raise ConfigurationError(f"expected {SEED_BYTES} bytes of entropy, found {len(drawn)}")
        return self._tensorflow.constant(np.frombuffer(drawn, dtype="<i8"))

    def _check_protectable(self) -> None:
        if not isinstance(self._model, load_legacy_keras().Model):
            raise ModelError("expected a model of tf-keras, which tensorflow-privacy's optimizers train, found Keras 3")
        self._check_without_statistics()
        if any(variable.dtype != self._tensorflow.float32 for variable in self._trained):
            raise ModelError("expected float32 weights, which tensorflow-privacy's optimizers train, found others")
        self._check_penalties()

    def _forward(self) -> Any:
        """Return the model's forward pass on one example, traced."""
        tensorflow = self._tensorflow
        rows = tensorflow.nest.map_structure(
            lambda spec: tensorflow.TensorSpec((1, *spec.shape[1:]), spec.dtype), self._signature()[0]
        )
        return tensorflow.function(lambda row: self._model(row, training=True)).get_concrete_function(rows)

    def _check_without_statistics(self) -> None:
        """Raise `ModelError` if the model keeps statistics of examples in weights that no optimizer changes."""
        trained = [underlying(self._tensorflow, variable) for variable in self._trained]
        untrained = {id(variable.handle) for variable in self._weights.untrained(trained)}
        if untrained and not untrained.isdisjoint(written_by(self._forward())):
            raise ModelError(
                "expected a model that keeps no statistics of examples, found arrays that training changes without an "
                "optimizer, such as batch normalisation's: they would be released without noise. Freeze that layer "
                "(trainable=False), or use layer normalisation."
            )

    def _check_penalties(self) -> None:
        if self._model.losses:
            raise ModelError(
                "expected a model without penalties, found regularised layers. Remove the penalties; clipping and "
                "noise regularise the model already."
            )


class _RowsByThemselves:
    """A tape whose Jacobian has been computed row by row. It is zero in rows that hold no example."""

    def __init__(self, tensorflow: Any, gradients: list[Any], present: Any) -> None:
        self._tensorflow, self._gradients, self._present = tensorflow, gradients, present

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: nothing was recorded."""

    def jacobian(self, losses: Any, variables: Any, unconnected_gradients: Any) -> list[Any]:  # noqa: ARG002 - the optimizer's interface
        """Return the gradients, one row for each of the losses."""
        tensorflow = self._tensorflow
        return [
            tensorflow.where(tensorflow.reshape(self._present, [-1] + [1] * (len(each.shape) - 1)), each, 0.0)
            for each in self._gradients
        ]


def _check_apart(graph: Any) -> None:
    check_examples_apart(operations_in(graph))


def _blank(spec: Any) -> NDArray[Any]:
    return np.zeros((1, *spec.shape[1:]), spec.dtype.as_numpy_dtype)


def filled_up(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the rows, followed by rows of zeros up to a number of rows that is a power of two, at least one."""
    size = 1 << max(len(rows) - 1, 0).bit_length()
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
