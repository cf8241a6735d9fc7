"""Membership inference on a released model: how well an attacker tells its training examples from others.

The attack is the likelihood ratio of Carlini et al., "Membership Inference Attacks From First Principles", arXiv
2112.03570 (its abstract and introduction were read here, the numbers of its algorithms were not). The attacker trains
shadow models in the same way, each on a random half of a pool of examples. For each example it takes the model's
confidence in the true class as normal, with one mean over shadow models that had the example and one over those that
had not, and a deviation that all examples share. The score is the likelihood ratio of what the released model says.

Curves are shown at low false positive rates, since an average over all rates says little. There is no verdict: the
attack is no bound on anything, and a weak attack proves nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from protocols.pairwise import SecAgg
from secagg.aggregation.mean import SecureMean
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.claims import claimed
from secagg.audit.seeds import Tape, generator_of
from secagg.audit.subject import Subject
from secagg.engines.memory import simulate_mean
from secagg.models.softmax import SoftmaxRegression
from secagg.privacy.noise import Target

Floats = NDArray[np.float64]
Members = NDArray[np.bool_]

RATES: Final = (0.001, 0.01, 0.1)
"""The false positive rates at which true positives are shown."""

POOL: Final = 200
_FEATURES: Final = 60
_CLASSES: Final = 4
_CLIENTS: Final = 4
_ROUNDS: Final = 4
_EPOCHS: Final = 10
_QUICK: Final = (16, 4)  # Shadow models and released models.
_FULL: Final = (64, 16)
_SECONDS_OF_A_MODEL: Final = 0.1


class MembershipSubject(Subject):
    """Federated training of a softmax regression on a pool of synthetic examples, of which some are members.

    Args:
        name: The name in reports.
        target: The guarantee of all rounds' means together; None for training without noise.
    """

    kind: ClassVar[str] = "training"

    def __init__(self, *, name: str, target: Target | None) -> None:
        self.name = name
        self.claims = () if target is None else claimed("C-24", epsilon=target.epsilon, delta=target.delta)
        generator = np.random.default_rng(2112)
        self.y = generator.integers(_CLASSES, size=POOL)
        # Classes overlap, so that a model has to remember examples to fit them.
        centres = generator.normal(size=(_CLASSES, _FEATURES))
        self.x = 0.3 * centres[self.y] + generator.normal(size=(POOL, _FEATURES))
        self._mean = SecureMean.plan(
            protocol=SecAgg(),
            clients=range(_CLIENTS),
            minimum_contributors=_CLIENTS,
            shapes=[(_FEATURES, _CLASSES), (_CLASSES,)],
            clip_l2=3.0,
            target=target,
        )

    @classmethod
    def planned(cls, *, name: str, epsilon: float) -> "MembershipSubject":
        """Return training that keeps this epsilon at delta 1e-5 for each client, with one colluding client."""
        return cls(name=name, target=Target(epsilon=epsilon, delta=1e-5, releases=_ROUNDS, colluding=1))

    def released(self, members: Members, entropy: Callable[[int], bytes]) -> SoftmaxRegression:
        """Return the model after all rounds of training on the members; client i has every fourth example."""
        model = SoftmaxRegression(_FEATURES, _CLASSES, learning_rate=0.5, seed=0)
        weights: list[Floats] = model.get_weights()
        for number in range(_ROUNDS):
            updates: dict[int, list[Any]] = {}
            for client in range(_CLIENTS):
                mine = members & (np.arange(POOL) % _CLIENTS == client)
                model.set_weights(weights)
                model.fit(self.x[mine], self.y[mine], epochs=_EPOCHS, batch_size=16, seed=number)
                updates[client] = [new - old for new, old in zip(model.get_weights(), weights, strict=True)]
            release = simulate_mean(self._mean, updates, entropy=entropy)
            weights = [old + step for old, step in zip(weights, release.mean, strict=True)]
        model.set_weights(weights)
        return model

    def confidences(self, model: SoftmaxRegression) -> Floats:
        """Return log(p / (1 - p)) for each example of the pool, p being the probability of its true class."""
        kernel, bias = model.get_weights()
        scores = self.x @ kernel + bias
        own = scores[np.arange(POOL), self.y]
        scores[np.arange(POOL), self.y] = -np.inf
        return np.asarray(own - np.logaddexp.reduce(scores, axis=1), dtype=np.float64)


class Membership(Attack[MembershipSubject]):
    """The curve of the attack on released models; it decides nothing."""

    id = "epsilon.membership"
    title = "Training examples are told apart from other examples by the released model"
    layer = Layer.EPSILON
    tests = ("C-24",)
    subjects = MembershipSubject
    decides = False

    def plan(self, subject: MembershipSubject, level: Level) -> Plan | Inapplicable:
        """Return 16 shadow and 4 released models at quick level, 64 and 16 at full level."""
        shadows, released = _FULL if level is Level.FULL else _QUICK
        return Plan(
            trials=released * POOL, cpu_s=(shadows + released) * _SECONDS_OF_A_MODEL, details=(shadows, released)
        )

    def run(self, subject: MembershipSubject, plan: Plan, seed: bytes) -> Result:
        """Train shadow and released models, score every example under every released model, and return the curve."""
        shadows, released = plan.details
        scores, members = attacked(subject, shadows=shadows, released=released, seed=seed)
        figures = [
            (f"true positives at {rate:.1%} false positives", true_positives(scores, members, rate)) for rate in RATES
        ]
        figures.append(("area under the curve", area(scores, members)))
        return Result(
            statistic=f"true positives at {RATES[1]:.1%} false positives, {shadows} shadow models; it rejects nothing",
            value=figures[1][1],
            figures=tuple(figures),
        )


def attacked(subject: MembershipSubject, *, shadows: int, released: int, seed: bytes) -> tuple[Floats, Members]:
    """Return the scores of all examples under all released models, and whether each was a member, both flat."""
    generator = generator_of(seed, "members")
    halves = _halves(generator, shadows)
    said = np.array(
        [subject.confidences(subject.released(half, Tape(seed, f"shadow {at}"))) for at, half in enumerate(halves)]
    )
    chosen = generator.random((released, POOL)) < 0.5
    models = [subject.released(members, Tape(seed, f"released {at}")) for at, members in enumerate(chosen)]
    scores = likelihood_ratios(said, halves, [subject.confidences(model) for model in models])
    return scores.reshape(-1), chosen.reshape(-1)


def likelihood_ratios(said: Floats, halves: Members, observed: Sequence[Floats]) -> Floats:
    """Return the logarithm of the likelihood ratio of each example being a member, shape `(models, examples)`.

    Args:
        said: The shadow models' confidences, shape `(shadows, examples)`.
        halves: Whether each shadow model was trained on each example, shape `(shadows, examples)`, bool.
        observed: For each attacked model, its confidences, shape `(examples,)`.
    """
    means = [np.where(had, said, 0).sum(axis=0) / had.sum(axis=0) for had in (~halves, halves)]
    residuals = np.where(halves, said - means[1], said - means[0])
    variance = float(np.mean(residuals**2)) + 1e-12
    seen = np.array(observed)
    return np.asarray(((seen - means[0]) ** 2 - (seen - means[1]) ** 2) / (2 * variance), dtype=np.float64)


def true_positives(scores: Floats, members: Members, rate: float) -> float:
    """Return the true positive rate of the lowest threshold whose false positive rate is at most `rate`."""
    others = np.sort(scores[~members])[::-1]
    allowed = int(rate * len(others))
    return float(np.mean(scores[members] > others[allowed])) if allowed < len(others) else 1.0


def area(scores: Floats, members: Members) -> float:
    """Return the area under the curve: the chance that a member has the higher score of a member and another."""
    from scipy.stats import rankdata

    ranks, count = rankdata(scores), int(members.sum())
    return float((ranks[members].sum() - count * (count + 1) / 2) / (count * (len(scores) - count)))


def _halves(generator: np.random.Generator, shadows: int) -> Members:
    """Return a random half of the shadow models for each example, shape `(shadows, POOL)`."""
    return np.argsort(generator.random((shadows, POOL)), axis=0) < shadows // 2
