"""One step of example-level training: the sum of clipped gradients with noise, called as training calls it.

A step is audited in two ways. The first calls the query as the optimizer does: an empty state, one record after the
other, and the sum with noise. The second trains a model of the toolkit for one step, in which every example takes part:
a linear model with weights of zero and a target of -1/2, whose gradient is the example itself. TensorFlow is imported
when a check runs.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.entropy import Entropy
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.claims import Claim, claimed
from secagg.audit.mechanisms.law import Moments
from secagg.audit.mechanisms.statistics import in_words, variance_p
from secagg.audit.seeds import Tape, generator_of
from secagg.audit.subject import Subject
from secagg.errors import MissingExtraError
from secagg.models.clipped_sum import SEED_BYTES, ClippedNoisySum
from secagg.models.private import PrivateKerasModel
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow
from secagg.privacy.example_level import ExampleLevel

CLIP_L2: Final = 1.5
"""The bound on one example's gradient in an audit."""
NOISE_STDDEV: Final = 3.0
"""The deviation of the noise in each coordinate in an audit."""
Query = Callable[[Any, Any, float, float], Any]
"""Returns a query, given TensorFlow, its generator, the clip of an example and the deviation of the noise."""

_HUGE: Final = 1e6
_RECORDS: Final = 8
_WIDTH: Final = 64
_EXPECTED: Final = 16
_NEARLY_NONE: Final = 1e-20  # Such a noise multiplier is lost in the rounding of float32.


class Step(Protocol):
    """A step of training."""

    def __call__(self, gradients: NDArray[np.float32], entropy: Entropy, *, noise_stddev: float) -> NDArray[np.float32]:
        """Return the noisy sum of these gradients, one a row, each clipped to `CLIP_L2`."""
        ...


class StepSubject(Subject):
    """A step that is audited.

    Args:
        step: The step.
        name: The name in reports.
        claims: What the sum claims.
        load: Imports what the step needs; it raises `MissingExtraError` if that is not installed.
        finite: Whether the step refuses gradients that are not finite, before it begins.
        levels: The levels at which there is time for it.
    """

    kind: ClassVar[str] = "mechanism"

    def __init__(
        self,
        step: Step,
        *,
        name: str,
        claims: Sequence[Claim] | None = None,
        load: Callable[[], object] = load_tensorflow,
        finite: bool = False,
        levels: Sequence[Level] = tuple(Level),
    ) -> None:
        self.name = name
        self.claims = claimed("C-15", "C-18") if claims is None else tuple(claims)
        self.sum = step
        self.load = load
        self.finite = finite
        self.levels = tuple(levels)


def clipped_noisy_sum(tensorflow: Any, generator: Any, clip_l2: float, noise_stddev: float) -> ClippedNoisySum:
    """Return the query of example-level training."""
    return ClippedNoisySum(tensorflow, generator, clip_l2=clip_l2, noise_stddev=noise_stddev)


def step_of_query(made: Query) -> Step:
    """Return the step that a query makes, with gradients in two tensors as those of two variables."""

    def step(gradients: NDArray[np.float32], entropy: Entropy, *, noise_stddev: float) -> NDArray[np.float32]:
        tensorflow = load_tensorflow()
        state = tensorflow.constant(np.frombuffer(entropy(SEED_BYTES), dtype="<i8"))
        generator = tensorflow.random.Generator.from_state(state, alg="philox")
        query = made(tensorflow, generator, CLIP_L2, noise_stddev)
        half = gradients.shape[1] // 2
        overall = query.initial_global_state()
        params = query.derive_sample_params(overall)
        total = query.initial_sample_state([tensorflow.zeros(half), tensorflow.zeros(gradients.shape[1] - half)])
        for row in gradients:
            record = [tensorflow.constant(part) for part in (row[:half], row[half:])]
            total = query.accumulate_record(params, total, record)
        noised, _, _ = query.get_noised_result(total, overall)
        return np.concatenate([part.numpy() for part in noised])

    return step


def step_of_training(gradients: NDArray[np.float32], entropy: Entropy, *, noise_stddev: float) -> NDArray[np.float32]:
    """Return what one step of training subtracts from the weights of a linear model."""
    keras = load_legacy_keras()
    training = ExampleLevel(
        clip_l2=CLIP_L2,
        noise_multiplier=max(noise_stddev / CLIP_L2, _NEARLY_NONE),
        examples=_EXPECTED,
        clients=1,
        epochs=1,
        batch_size=_EXPECTED,
    )

    def builder() -> Any:
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        return keras.Sequential([keras.Input((gradients.shape[1],)), layer])

    # With this learning rate, a step subtracts the noisy sum itself.
    model = PrivateKerasModel(
        builder, training=training, learning_rate=training.expected_examples, seed=0, entropy=entropy
    )
    targets = np.full(len(gradients), -0.5, dtype=np.float32)
    model.fit(gradients, targets, epochs=training.epochs, batch_size=training.batch_size, seed=0)
    return np.asarray(-model.get_weights()[0].reshape(-1), dtype=np.float32)


class _OfSteps(Attack[StepSubject]):
    """A check that needs TensorFlow."""

    subjects = StepSubject

    def plan(self, subject: StepSubject, level: Level) -> Plan | Inapplicable:
        """Return sizes and cost."""
        if level not in subject.levels:
            return Inapplicable(why=f"This check takes too long for the level {level}.")
        try:
            subject.load()
        except MissingExtraError:
            return Inapplicable(why="TensorFlow is not installed. Install the extra example-level.")
        return self.sizes(level)

    @abstractmethod
    def sizes(self, level: Level) -> Plan:
        """Return sizes and cost."""


class StepChange(_OfSteps):
    """The change of a step's sum by one example more."""

    id = "invariant.step.clip"
    title = "The change of a step's sum by one example with a huge gradient is compared with the clip"
    layer = Layer.INVARIANT
    tests = ("C-18",)

    def sizes(self, level: Level) -> Plan:
        """Return the number of cases."""
        return Plan(trials=6, cpu_s=0.3)

    def run(self, subject: StepSubject, plan: Plan, seed: bytes) -> Result:
        """Compare the sums with and without the example, without noise."""
        chosen = generator_of(seed)
        others = chosen.standard_normal((_RECORDS, _WIDTH)).astype(np.float32)
        direction = chosen.standard_normal(_WIDTH)
        direction /= math.hypot(*direction)
        cases = {
            "huge": _HUGE * direction,
            "opposed to the others": -_HUGE * others.sum(axis=0) / math.hypot(*others.sum(axis=0)),
            "at the clip": CLIP_L2 * direction,
            "near the end of float32": 1e38 * direction,
        }
        if not subject.finite:
            cases |= {"not a number": np.full(_WIDTH, np.nan), "infinite": np.full(_WIDTH, np.inf)}
        without = subject.sum(others, Tape(seed), noise_stddev=0.0)
        changes: dict[str, float] = {}
        for name, added in cases.items():
            rows = np.concatenate([others, added[None].astype(np.float32)])
            change = subject.sum(rows, Tape(seed), noise_stddev=0.0).astype(np.float64) - without
            norm = math.hypot(*change)
            changes[name] = norm if math.isfinite(norm) else math.inf
        worst = max(changes, key=changes.__getitem__)
        # The sums are rounded to float32.
        bound = CLIP_L2 + 4 * _WIDTH * float(np.finfo(np.float32).eps) * float(np.abs(without).max() + 1)
        return Result(
            statistic="largest change of a step's sum by one example",
            value=changes[worst] if math.isfinite(changes[worst]) else None,
            threshold=bound,
            rejected=changes[worst] > bound,
            evidence=f"An example whose gradient is {worst} changes the sum of {_RECORDS} others by "
            f"{changes[worst]:.6g}; the clip is {CLIP_L2:g}.",
        )


class StepNoise(_OfSteps):
    """The variance of a step's noise."""

    id = "mechanism.step.variance"
    title = (
        "The variance of the noise in a step's sum of gradients is compared with the planned one, in both directions"
    )
    layer = Layer.MECHANISM
    tests = ("C-15",)
    statistical = True

    def sizes(self, level: Level) -> Plan:
        """Return the sample size and cost."""
        count = {Level.QUICK: 200_000, Level.FULL: 2_000_000}[level]
        return Plan(trials=count, power=in_words(count, Moments(variance=NOISE_STDDEV**2)), cpu_s=0.3)

    def run(self, subject: StepSubject, plan: Plan, seed: bytes) -> Result:
        """Compare the sum of squares of a sum without gradients."""
        zeros = np.zeros((1, plan.trials), dtype=np.float32)
        noise = subject.sum(zeros, Tape(seed), noise_stddev=NOISE_STDDEV).astype(np.float64)
        squares = float(noise @ noise)
        planned = NOISE_STDDEV**2
        return Result(
            statistic="variance of the noise over the planned one",
            value=squares / plan.trials / planned,
            p_value=variance_p(squares, plan.trials, Moments(variance=planned)),
            evidence=f"{plan.trials} coordinates of a step without gradients have the variance "
            f"{squares / plan.trials:.6g}; planned is {planned:.6g}.",
        )


STEPS: Final = (StepChange(), StepNoise())
