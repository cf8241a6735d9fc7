"""Many canaries in one released sum: what one run alone can show, which is never all of epsilon.

Every client of a cohort has a canary of its own, in a direction orthogonal to all others, and contributes it or zeros
by a fair coin. The score of a client is the released sum in its direction. The attacker says of a twentieth of the
clients, those with the highest scores, that they contributed; that number is fixed beforehand.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.guarantee import guarantee
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.epsilon.estimators import gaussian_epsilon
from secagg.audit.epsilon.exact import exact_mu
from secagg.audit.epsilon.guessing import one_run_epsilon, one_run_mu, right_guesses
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.epsilon.subject import Flat, ReleaseSubject
from secagg.audit.seeds import Tape, generator_of

CONFIDENCE: Final = 0.95
GUESSED: Final = 20
"""One in this number of canaries is said to be in."""

_LEAST_CANARIES: Final = 40
_SECONDS_OF_A_CLIENT: Final = 0.01


class OneRun(Attack[ReleaseSubject]):
    """The measurement of one released sum; it decides nothing."""

    id = "epsilon.client.one_run"
    title = "Each client's update is looked for in one released sum of a single run"
    layer = Layer.EPSILON
    tests = ("C-24",)
    subjects = ReleaseSubject
    decides = False

    def plan(self, subject: ReleaseSubject, level: Level) -> Plan | Inapplicable:
        """Return one canary for each client, if there are enough clients and coordinates."""
        if (why := subject.unsupported_reason) is not None:
            return Inapplicable(why=why)
        clients = len(subject.mean.clients)
        if clients < _LEAST_CANARIES or subject.dimension < clients:
            return Inapplicable(
                why=f"One run needs at least {_LEAST_CANARIES} clients and a coordinate for each; this mean has "
                f"{clients} clients and {subject.dimension} coordinates."
            )
        if level is Level.QUICK:
            return Inapplicable(
                why=f"The release of {clients} clients takes too long for the quick level. Use the full level."
            )
        return Plan(trials=clients, cpu_s=clients * _SECONDS_OF_A_CLIENT)

    def run(self, subject: ReleaseSubject, plan: Plan, seed: bytes) -> Result:
        """Make one release, guess, and bound epsilon by two estimators."""
        m, r = plan.trials, plan.trials // GUESSED
        present = generator_of(seed, "coins").random(m) < 0.5
        v = right_guesses(released_scores(subject, present, Tape(seed)), present, r)
        delta, event, alpha = subject.target.delta, subject.event, 1 - CONFIDENCE
        bounds = (
            ("one run, 95%", "(epsilon, delta) alone", one_run_epsilon(m, r, v, delta, alpha)),
            (
                "f-DP in one run, 95%",
                "Gaussian differential privacy",
                gaussian_epsilon(one_run_mu(m, r, v, alpha), delta),
            ),
        )
        rows = tuple(
            EpsilonRow(
                unit=event.unit.value,
                relation=event.relation.value,
                delta=delta,
                ledger=guarantee({event: 1}, delta=delta, relation=event.relation, unit=event.unit).epsilon,
                exact=gaussian_epsilon(exact_mu(event), delta),
                lower_bound=bound,
                confidence=CONFIDENCE,
                method=method,
                trials=m,
                rests_on=f"one release of {m} canaries, {v} of {r} guesses right; {assumed}; no number of canaries "
                "makes such a bound reach the exact epsilon",
            )
            for method, assumed, bound in bounds
        )
        return Result(
            statistic=f"right guesses of {r} in one run of {m} canaries; it rejects nothing",
            value=float(v),
            epsilon=rows,
        )


def released_scores(subject: ReleaseSubject, present: NDArray[np.bool_], entropy: Callable[[int], bytes]) -> Flat:
    """Return each client's score in one release in which those clients that are present contribute their canaries."""
    clip = subject.mean.encoding.clip_l2
    places = {client: at for at, client in enumerate(subject.mean.clients)}

    def update_of(client: int) -> Flat | None:
        at = places[client]
        return clip * np.eye(1, subject.dimension, at)[0] if present[at] else None

    return subject.released(update_of, entropy)[: len(places)]
