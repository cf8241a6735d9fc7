"""One canary in one released sum: an attack on the noise of a single release, by Gaussian differential privacy.

The adversary is the claim's. Of the two neighbours, one has the canary's update at the clip and in one direction, the
other has zero in its place, and the client's noise share stays. All clients on whose noise the guarantee does not rely
collude. The score is the released sum in the canary's direction, less what the colluding clients sent. Each release
goes through clipping, encoding, noise, masking, summing and decoding as in a round of training.
"""

import math
from typing import Final

import numpy as np

from dp.accounting.guarantee import guarantee
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.epsilon.estimators import (
    Errors,
    gaussian_epsilon,
    gaussian_mu,
    mu_if_normal,
    mu_low,
    mu_p_value,
    normality_p_value,
)
from secagg.audit.epsilon.exact import exact_mu
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.epsilon.subject import Flat, ReleaseSubject
from secagg.audit.seeds import Tape

CONFIDENCES: Final = (0.95, 1 - 1e-6)
PROMISED_PART: Final = 0.85
PROMISED_FROM: Final = 1.0
"""The exact epsilon from which on the full level promises 0.85 of it."""

_FULL: Final = 20_000
_QUICK: Final = 2_000
_QUICK_AT_LARGE_MU: Final = 500
_LARGE_MU: Final = 1.5
_MOST_CLIENTS: Final = 8
_POWER_OF_ATTEMPT: Final = 0.995
_SHORTAGES: Final = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_SECONDS_OF_A_CLIENT: Final = 0.0015


class Canary(Attack[ReleaseSubject]):
    """The audit of a single release; it sees gross errors, of a factor 2 in noise or sensitivity, and no small ones."""

    id = "epsilon.client.canary"
    title = "One client's update is looked for in released sums, without the contributions of the colluding clients"
    layer = Layer.EPSILON
    tests = ("C-24",)
    subjects = ReleaseSubject
    statistical = True

    def plan(self, subject: ReleaseSubject, level: Level) -> Plan | Inapplicable:
        """Return 2,000 trials at quick level, 500 if the claimed mu is above 1.5, and 20,000 at full level."""
        if (why := subject.unsupported_reason) is not None:
            return Inapplicable(why=why)
        if (clients := len(subject.mean.clients)) > _MOST_CLIENTS:
            return Inapplicable(
                why=f"A session of {clients} clients takes too long to be repeated thousands of times. Plan the same "
                f"mean for at most {_MOST_CLIENTS} clients."
            )
        claim = claimed_mu(subject)
        quick = _QUICK_AT_LARGE_MU if claim > _LARGE_MU else _QUICK
        trials = _FULL if level is Level.FULL else quick
        return Plan(
            trials=trials,
            power=_power(claim, trials),
            cpu_s=2 * trials * clients * _SECONDS_OF_A_CLIENT,
        )

    def run(self, subject: ReleaseSubject, plan: Plan, seed: bytes) -> Result:
        """Make `plan.trials` releases with the canary and as many without, and bound mu from below."""
        out, inn = scores(subject, plan.trials, seed)
        # The threshold does not depend on the scores: it is half of what the canary adds to them.
        errors = Errors.at(out, inn, subject.mean.encoding.clip_l2 / 2)
        claim = claimed_mu(subject)
        found = mu_low(errors, LEVEL_OF_ATTEMPT)
        return Result(
            statistic=_statistic(subject),
            value=found,
            threshold=claim,
            p_value=mu_p_value(errors, claim),
            evidence=(
                f"Of {plan.trials} released sums without the client's update, {errors.false_positives} were taken for "
                f"ones with it, and {errors.false_negatives} of as many with it for ones without. With noise as "
                "claimed, mistakes would be more frequent."
            ),
            epsilon=rows(subject, out, inn, errors),
        )


def claimed_mu(subject: ReleaseSubject) -> float:
    """Return the largest mu that one release may have: by the noise that the ledger is told, and by the target.

    All releases of a target together have its epsilon and delta, so that one of k releases has at most the k-th part of
    the square of that mu.
    """
    target = subject.target
    planned = gaussian_mu(target.epsilon, target.delta) / math.sqrt(target.releases)
    return min(exact_mu(subject.event), planned)


def scores(subject: ReleaseSubject, trials: int, seed: bytes) -> tuple[Flat, Flat]:
    """Return the released sums in the canary's direction: of `trials` releases without the canary, and with it."""
    direction = np.full(subject.dimension, 1 / math.sqrt(subject.dimension))
    canary = subject.mean.encoding.clip_l2 * direction
    found = []
    for label, update in (("without", np.zeros_like(canary)), ("with", canary)):
        entropy = Tape(seed, label)
        found.append(np.array([subject.release(update, entropy) @ direction for _ in range(trials)]))
    return found[0], found[1]


def rows(subject: ReleaseSubject, out: Flat, inn: Flat, errors: Errors) -> tuple[EpsilonRow, ...]:
    """Return the lower bounds at both confidences, and what they would be if scores were normal."""
    delta, event, basis = subject.target.delta, subject.event, _rests_on(subject)
    normal = f"{basis}; normal scores, p value of that {normality_p_value(out, inn):.2g}: no verdict rests on it"
    bounds = [("one canary", basis, mu_low(errors, 1 - each), each) for each in CONFIDENCES]
    estimated = "one canary, estimate from normal scores"
    bounds += [(estimated, normal, mu_if_normal(out, inn, 1 - each), each) for each in CONFIDENCES]
    return tuple(
        EpsilonRow(
            unit=event.unit.value,
            relation=event.relation.value,
            delta=delta,
            ledger=guarantee({event: 1}, delta=delta, relation=event.relation, unit=event.unit).epsilon,
            exact=gaussian_epsilon(exact_mu(event), delta),
            lower_bound=gaussian_epsilon(mu, delta),
            confidence=confidence,
            method=method,
            trials=len(out),
            rests_on=rests_on,
        )
        for method, rests_on, mu, confidence in bounds
    )


def _power(claim: float, trials: int) -> str | None:
    """Return the mildest shortage of noise, of a few, that one attempt rejects with a chance of 99.5%."""
    from scipy.special import ndtr
    from scipy.stats import binom

    for factor in _SHORTAGES:
        most = int(binom.ppf(1 - (1 - _POWER_OF_ATTEMPT) / 2, trials, ndtr(-factor * claim / 2)))
        errors = Errors(false_positives=most, outs=trials, false_negatives=most, inns=trials)
        if mu_low(errors, LEVEL_OF_ATTEMPT) > claim:
            return f"noise at {1 / factor:.2g} times the planned deviation"
    return None


def _rests_on(subject: ReleaseSubject) -> str:
    colluding = len(subject.colluding)
    return (
        f"one release; the canary's update at the clip; {colluding} colluding client{'s' * (colluding != 1)}, whose "
        "contributions are subtracted; Gaussian differential privacy"
    )


def _statistic(subject: ReleaseSubject) -> str:
    exact = gaussian_epsilon(exact_mu(subject.event), subject.target.delta)
    promise = (
        ""
        if exact >= PROMISED_FROM
        else f"; below an epsilon of {PROMISED_FROM:g}, a bound of {PROMISED_PART} of it is not promised"
    )
    bound = f"lower bound on mu of Gaussian differential privacy, wrong with a chance of at most {LEVEL_OF_ATTEMPT:g}"
    return f"{bound}{promise}"
