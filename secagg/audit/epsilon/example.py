"""One canary example in the steps of private training, white-box and black-box, by the mechanism's own trade-off curve.

A trial is the clipped noisy sums of all steps of one round on a few coordinates, called as in training: samples come
from `poisson_sample`, and clipping and noise from `ClippedNoisySum`. It is not a whole training. One call of each step
makes all trials: every trial is a row of its own, with its own coin, its own clip and its own noise. The gradients of
all other examples are known to the adversary, so they are zero here.
"""

import importlib.util
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np

from dp.accounting.guarantee import guarantee
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.claims import claimed
from secagg.audit.epsilon.client import CONFIDENCES
from secagg.audit.epsilon.estimators import Errors
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.epsilon.sampled import Floats, SampledGaussian, epsilon_low, likelihood_ratio, threshold
from secagg.audit.seeds import Tape, generator_of
from secagg.audit.subject import Subject
from secagg.models.clipped_sum import SEED_BYTES, ClippedNoisySum
from secagg.models.poisson import poisson_sample
from secagg.models.tensorflow import load_tensorflow
from secagg.privacy.example_level import ExampleLevel

_QUICK: Final = 2_000
_FULL: Final = 20_000
_SIMULATED: Final = 20_000
_COORDINATES: Final = 3
_BEYOND_THE_CLIP: Final = 10.0
_SECONDS_OF_A_STEP: Final = 3e-7


class ExampleSubject(Subject):
    """The steps of one round of private training of one client.

    Args:
        training: What the round does.
        name: The name in reports.
        delta: The delta of the claimed epsilon.
    """

    kind: ClassVar[str] = "training"

    def __init__(self, training: ExampleLevel, *, name: str, delta: float = 1e-5) -> None:
        self.training = training
        self.name = name
        self.delta = delta
        self.claims = claimed("C-24", delta=delta, relation=training.event.relation.value)

    @property
    def mechanism(self) -> SampledGaussian:
        """The mechanism that the training claims to be."""
        training = self.training
        return SampledGaussian(
            sampling_rate=training.sampling_rate, steps=training.steps, noise_multiplier=training.noise_multiplier
        )

    def sums(self, trials: int, entropy: Callable[[int], bytes], *, present: bool) -> Floats:
        """Return the noisy sums of every step in the canary's direction, over the clip, shape `(trials, steps)`.

        Args:
            trials: The number of trials.
            entropy: Secret randomness of the training.
            present: Whether the canary is one of the examples.
        """
        tensorflow, training = load_tensorflow(), self.training
        generator, step = self._program
        generator.reset(tensorflow.constant(np.frombuffer(entropy(SEED_BYTES), dtype="<i8")))
        canary = np.full(_COORDINATES, _BEYOND_THE_CLIP * training.clip_l2, dtype=np.float32)
        direction = canary / float(np.linalg.norm(canary))
        found = np.empty((trials, training.steps))
        for at in range(training.steps):
            records = np.zeros((trials, _COORDINATES), dtype=np.float32)
            if present:
                records[poisson_sample(trials, training.sampling_rate, entropy)] = canary
            found[:, at] = step(tensorflow.constant(records)).numpy() @ direction / training.clip_l2
        return found

    def query(self, tensorflow: Any, generator: Any) -> ClippedNoisySum:
        """Return what clips, sums and noises the gradients of a step, as `PrivateKerasModel` makes it."""
        training = self.training
        return ClippedNoisySum(tensorflow, generator, clip_l2=training.clip_l2, noise_stddev=training.noise_stddev)

    @cached_property
    def _program(self) -> tuple[Any, Any]:
        """The generator of the noise, and the traced step, from one row of gradients a trial to its noisy sum."""
        tensorflow = load_tensorflow()
        generator = tensorflow.random.Generator.from_state(np.zeros(SEED_BYTES // 8, dtype=np.int64), alg="philox")
        query = self.query(tensorflow, generator)

        def step(records: Any) -> Any:
            empty = query.initial_sample_state([records[0]])
            sums = tensorflow.vectorized_map(lambda record: query.accumulate_record((), empty, [record]), records)
            (noised,), _, _ = query.get_noised_result(sums, query.initial_global_state())
            return noised

        return generator, tensorflow.function(step, autograph=False)


class _Example(Attack[ExampleSubject]):
    """A measurement of a lower bound at example level, which decides nothing."""

    layer = Layer.EPSILON
    tests = ("C-24",)
    subjects = ExampleSubject
    decides = False
    sees: ClassVar[str]

    @abstractmethod
    def score(self, sums: Floats, mechanism: SampledGaussian) -> Floats:
        """Return the score of each trial from the noisy sums of its steps."""

    def plan(self, subject: ExampleSubject, level: Level) -> Plan | Inapplicable:
        """Return 2,000 trials with the canary and as many without at quick level, and 20,000 at full level."""
        if importlib.util.find_spec("tensorflow") is None:
            return Inapplicable(why="Private training needs TensorFlow, which is not installed.")
        trials = _FULL if level is Level.FULL else _QUICK
        return Plan(trials=trials, cpu_s=5 + 2 * trials * subject.training.steps * _SECONDS_OF_A_STEP)

    def run(self, subject: ExampleSubject, plan: Plan, seed: bytes) -> Result:
        """Bound epsilon from below at two confidences; thresholds come from a simulation of the claimed mechanism."""
        mechanism = subject.mechanism
        simulated = mechanism.simulated(_SIMULATED, generator_of(seed, "thresholds"))
        expected = self.score(simulated[0], mechanism), self.score(simulated[1], mechanism)
        out = self.score(subject.sums(plan.trials, Tape(seed, "without"), present=False), mechanism)
        inn = self.score(subject.sums(plan.trials, Tape(seed, "with"), present=True), mechanism)
        event, rows = subject.training.event, []
        exact = mechanism.epsilon(subject.delta)
        ledger = guarantee({event: 1}, delta=subject.delta, relation=event.relation, unit=event.unit).epsilon
        for confidence in CONFIDENCES:
            alpha = 1 - confidence
            at = threshold(expected, mechanism, trials=plan.trials, alpha=alpha)
            rows.append(
                EpsilonRow(
                    unit=event.unit.value,
                    relation=event.relation.value,
                    delta=subject.delta,
                    ledger=ledger,
                    exact=exact,
                    lower_bound=epsilon_low(Errors.at(out, inn, at), alpha, mechanism, subject.delta),
                    confidence=confidence,
                    method=f"one canary in {subject.training.steps} steps, {self.sees}",
                    trials=plan.trials,
                    rests_on="one round of one client; all other gradients known; the trade-off curve of the claimed "
                    "mechanism; no part of the exact epsilon is promised",
                )
            )
        return Result(
            statistic="lower bound on epsilon at 95% confidence; it rejects nothing",
            value=rows[0].lower_bound,
            epsilon=tuple(rows),
        )


class WhiteBox(_Example):
    """The bound that an adversary reaches who sees the noisy sum of every step."""

    id = "epsilon.example.white_box"
    title = "One example is looked for in the noisy gradient sums of all steps"
    sees: ClassVar = "likelihood ratio of all steps"

    def score(self, sums: Floats, mechanism: SampledGaussian) -> Floats:
        """Return the likelihood ratio, see `likelihood_ratio`."""
        return likelihood_ratio(sums, mechanism)


class BlackBox(_Example):
    """The bound that an adversary reaches who sees what a released update shows: the sum of all steps."""

    id = "epsilon.example.black_box"
    title = "One example is looked for in the sum of all steps, which is what a released update shows"
    sees: ClassVar = "sum of all steps"

    def score(self, sums: Floats, mechanism: SampledGaussian) -> Floats:
        """Return the sum of all steps."""
        return np.asarray(sums.sum(axis=1), dtype=np.float64)
