"""Lower bounds on epsilon from one run with many canaries, of which an attacker guesses which were in.

Each of `m` canaries is in by a fair coin of its own. The attacker guesses `r` of them, a number fixed beforehand, and
`v` guesses are right.

Sources: Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", arXiv 2305.08846; its reference code is
in Appendix D according to several public copies of it, with which this formula agrees. The number of its main theorem
could not be looked up here. Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run", arXiv
2410.22235, the procedure that the paper calls `audit_rh_with_cap` according to the code of jax_privacy. Two other
public implementations have the same recursion, and one of them calls it Algorithm 3. The paper itself could not be
looked up. If scores are independent and normal, the second bound exceeds the truth far less often than it may: for
m = r = 100 and alpha = 0.05, the chance is 0.35 alpha at mu = 0.1, and 0.001 alpha at mu = 0.5.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_HALVINGS: Final = 40
_MOST_MU: Final = 20.0


def right_guesses(scores: NDArray[np.float64], present: NDArray[np.bool_], guesses: int) -> int:
    """Return how many of the canaries with the highest scores were in; `guesses` of them are said to be."""
    highest = np.argpartition(-scores, guesses - 1)[:guesses]
    return int(np.count_nonzero(present[highest]))


def one_run_p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Return a bound on the chance of at least v right guesses, if the run is (epsilon, delta)-private.

    With q = 1 / (1 + exp(-epsilon)) it is P(Bin(r, q) >= v) + 2 m delta max_i P(v > Bin(r, q) >= v - i) / i.
    """
    from scipy.special import expit
    from scipy.stats import binom

    chance = float(expit(epsilon))
    beta = float(binom.sf(v - 1, r, chance))
    if delta == 0 or v == 0:
        return beta
    within = np.arange(1, v + 1)
    most = float(np.max((binom.sf(v - within - 1, r, chance) - beta) / within))
    return min(1.0, beta + 2 * m * delta * max(0.0, most))


def one_run_epsilon(m: int, r: int, v: int, delta: float, alpha: float) -> float:
    """Return the largest epsilon that the guesses contradict with the error `alpha`; 0 if they contradict none."""
    from scipy.optimize import brentq

    def excess(epsilon: float) -> float:
        return one_run_p_value(m, r, v, epsilon, delta) - alpha

    if excess(0.0) > 0:
        return 0.0
    high = 1.0
    while excess(high) <= 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-9))


def guesses_contradict(m: int, r: int, v: int, mu: float, alpha: float) -> bool:
    """Return whether the guesses contradict mu-GDP with the error `alpha`: the recursion of Mahloujifar et al."""
    from scipy.special import ndtr, ndtri

    right, wrong = alpha * v / m, alpha * (r - v) / m
    for i in range(v - 1, -1, -1):
        following = max(wrong, float(ndtr(ndtri(right) - mu)) if right < 1 else 1.0)
        if following == wrong:
            break
        right = min(1.0, right + i / (r - i) * (following - wrong))
        wrong = following
    return right + wrong > r / m


def one_run_mu(m: int, r: int, v: int, alpha: float) -> float:
    """Return the largest mu that the guesses contradict with the error `alpha`; 0 if they contradict none."""
    low, high = 0.0, _MOST_MU
    if not guesses_contradict(m, r, v, 1e-9, alpha):
        return 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if guesses_contradict(m, r, v, middle, alpha) else (low, middle)
    return low
