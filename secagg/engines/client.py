"""What a client does in a round, whichever engine has reached it."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from secagg.aggregation.encoding import Weighting
from secagg.aggregation.mean import Contribution
from secagg.engines.base import RoundPlan


def contribute(
    plan: RoundPlan,
    update: Sequence[NDArray[Any]] | None,
    *,
    weight: float | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Contribution:
    """Return what a client gives to the secure sum: its update, clipped, encoded and with its noise.

    Who takes part in a sum with noise must not depend on data. So a client whose training has failed contributes zeros
    and its noise, if `plan.private`. To the guarantee that is the neighbour of any other contribution of the client:
    its weight and an adaptive clip's count are zeros too. If the plan is not private, the client drops out instead.

    Args:
        plan: Of the round.
        update: One array for each of the model's that travels; None if training has failed.
        weight: How much the client counts in a weighted mean, above 0 and at most `max_weight`; None in a uniform one.
        entropy: Secret randomness for rounding and noise; `os.urandom` outside tests.

    Raises:
        EncodingError: Shapes or weight do not fit.
        dp.errors.InvalidParameter: An entry is NaN or infinite, or the norm of all is.
    """
    if update is None:
        return plan.mean.zero_contribution(entropy=entropy)
    prepared = plan.parts.prepare(plan.clip, update, weights=plan.weights)
    return plan.mean.contribution(prepared, rotation=plan.rotation, weight=weight, entropy=entropy)


def weight_of(plan: RoundPlan, examples: int) -> float | None:
    """Return how much a client with so many examples counts: at most `max_weight`; None in a uniform mean."""
    encoding = plan.mean.encoding
    return min(float(examples), encoding.max_weight) if encoding.weighting is Weighting.WEIGHTED else None
