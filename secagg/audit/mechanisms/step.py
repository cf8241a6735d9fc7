"""One step of example-level training: the sum of clipped gradients with noise, called as the optimizer calls it.

The interface is that of `DPQuery` of tensorflow-privacy, as far as its `GenericDPSGDOptimizer` uses it: an empty state,
one record after the other, and the sum with noise. TensorFlow is imported when a check runs.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

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
from secagg.models.tensorflow import load_tensorflow

Query = Callable[[Any, Any, float, float], Any]
"""Returns a query, given TensorFlow, its generator, the clip of an example and the deviation of the noise."""

_HUGE: Final = 1e6
_RECORDS: Final = 8
_WIDTH: Final = 64


class StepSubject(Subject):
    """The noisy sum of one step.

    Args:
        query: Makes the query.
        name: The name in reports.
        claims: What the sum claims.

    Attributes:
        clip_l2: The bound on one example's gradient.
        noise_stddev: The deviation of the noise in each coordinate.
    """

    kind: ClassVar[str] = "mechanism"
    clip_l2: ClassVar[float] = 1.5
    noise_stddev: ClassVar[float] = 3.0

    def __init__(self, query: Query, *, name: str, claims: Sequence[Claim] | None = None) -> None:
        self.name = name
        self.claims = claimed("C-15", "C-18") if claims is None else tuple(claims)
        self._query = query

    def sum(self, gradients: NDArray[np.float32], entropy: Entropy, *, noise_stddev: float) -> NDArray[np.float32]:
        """Return a step's sum of these gradients, one a row, split into two tensors as those of two variables.

        Raises:
            MissingExtraError: TensorFlow is not installed.
        """
        tensorflow = load_tensorflow()
        state = tensorflow.constant(np.frombuffer(entropy(SEED_BYTES), dtype="<i8"))
        generator = tensorflow.random.Generator.from_state(state, alg="philox")
        query = self._query(tensorflow, generator, self.clip_l2, noise_stddev)
        half = gradients.shape[1] // 2
        rows = [[tensorflow.constant(part) for part in (row[:half], row[half:])] for row in gradients]
        overall = query.initial_global_state()
        params = query.derive_sample_params(overall)
        template = [tensorflow.zeros(half), tensorflow.zeros(gradients.shape[1] - half)]
        total = query.initial_sample_state(template)
        for row in rows:
            total = query.accumulate_record(params, total, row)
        noised, _, _ = query.get_noised_result(total, overall)
        return np.concatenate([part.numpy() for part in noised])


def clipped_noisy_sum(tensorflow: Any, generator: Any, clip_l2: float, noise_stddev: float) -> ClippedNoisySum:
    """Return the query of example-level training."""
    return ClippedNoisySum(tensorflow, generator, clip_l2=clip_l2, noise_stddev=noise_stddev)


class _OfSteps(Attack[StepSubject]):
    """A check that needs TensorFlow."""

    subjects: ClassVar[type[StepSubject]] = StepSubject

    def plan(self, subject: StepSubject, level: Level) -> Plan | Inapplicable:
        """Return sizes and cost."""
        try:
            load_tensorflow()
        except MissingExtraError:
            return Inapplicable(why="TensorFlow is not installed; install the extra example-level.")
        return self.sizes(subject, level)

    @abstractmethod
    def sizes(self, subject: StepSubject, level: Level) -> Plan:
        """Return sizes and cost, now that TensorFlow is there."""


class StepChange(_OfSteps):
    """The change of a step's sum by one example more."""

    id: ClassVar[str] = "invariant.step.clip"
    title: ClassVar[str] = "One example of a huge gradient changes a step's sum by no more than the clip"
    layer: ClassVar[Layer] = Layer.INVARIANT
    tests: ClassVar[tuple[str, ...]] = ("C-18",)

    def sizes(self, subject: StepSubject, level: Level) -> Plan:  # noqa: ARG002 - all cases are tried at every level
        """Return the number of cases."""
        return Plan(trials=5, cpu_s=0.3)

    def run(self, subject: StepSubject, plan: Plan, seed: bytes) -> Result:  # noqa: ARG002 - the cases are fixed
        """Compare the sums with and without the example, without noise."""
        chosen = generator_of(seed)
        others = chosen.standard_normal((_RECORDS, _WIDTH)).astype(np.float32)
        direction = chosen.standard_normal(_WIDTH)
        direction /= math.hypot(*direction)
        cases = {
            "huge": _HUGE * direction,
            "opposed to the others": -_HUGE * others.sum(axis=0) / math.hypot(*others.sum(axis=0)),
            "at the clip": subject.clip_l2 * direction,
            "not a number": np.full(_WIDTH, np.nan),
            "infinite": np.full(_WIDTH, np.inf),
        }
        without = subject.sum(others, Tape(seed), noise_stddev=0.0)
        changes: dict[str, float] = {}
        for name, added in cases.items():
            rows = np.concatenate([others, added[None].astype(np.float32)])
            change = subject.sum(rows, Tape(seed), noise_stddev=0.0).astype(np.float64) - without
            norm = math.hypot(*change)
            changes[name] = norm if math.isfinite(norm) else math.inf
        worst = max(changes, key=changes.__getitem__)
        # The sums are rounded to float32.
        bound = subject.clip_l2 + 4 * _WIDTH * float(np.finfo(np.float32).eps) * float(np.abs(without).max() + 1)
        return Result(
            statistic="largest change of a step's sum by one example",
            value=changes[worst] if math.isfinite(changes[worst]) else None,
            threshold=bound,
            rejected=changes[worst] > bound,
            evidence=f"An example whose gradient is {worst} changes the sum of {_RECORDS} others by "
            f"{changes[worst]:.6g}; the clip is {subject.clip_l2}.",
        )


class StepNoise(_OfSteps):
    """The variance of a step's noise."""

    id: ClassVar[str] = "mechanism.step.variance"
    title: ClassVar[str] = "The noise in a step's sum of gradients is compared with its planned variance, two-sided"
    layer: ClassVar[Layer] = Layer.MECHANISM
    tests: ClassVar[tuple[str, ...]] = ("C-15",)
    statistical: ClassVar[bool] = True

    def sizes(self, subject: StepSubject, level: Level) -> Plan:
        """Return the sample size and cost."""
        count = {Level.QUICK: 200_000, Level.FULL: 2_000_000}[level]
        return Plan(trials=count, power=in_words(count, Moments(variance=subject.noise_stddev**2)), cpu_s=0.3)

    def run(self, subject: StepSubject, plan: Plan, seed: bytes) -> Result:
        """Compare the sum of squares of a sum without gradients."""
        zeros = np.zeros((1, plan.trials), dtype=np.float32)
        noise = subject.sum(zeros, Tape(seed), noise_stddev=subject.noise_stddev).astype(np.float64)
        squares = float(noise @ noise)
        planned = subject.noise_stddev**2
        return Result(
            statistic="variance of the noise over the planned one",
            value=squares / plan.trials / planned,
            p_value=variance_p(squares, plan.trials, Moments(variance=planned)),
            evidence=f"{plan.trials} coordinates of a step without gradients have the variance "
            f"{squares / plan.trials:.6g}; planned is {planned:.6g}.",
        )


STEPS: Final = (StepChange(), StepNoise())
