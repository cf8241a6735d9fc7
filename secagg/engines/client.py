"""What a client does in a round, with every engine."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from secagg.aggregation.contribution import Contribution
from secagg.aggregation.weighting import Weighting
from secagg.engines.base import RoundPlan


def contribute(
    plan: RoundPlan,
    update: Sequence[NDArray[Any]] | None,
    *,
    weight: float | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Contribution:
    """Return a client's contribution to the secure sum: its update, clipped, encoded and with its noise.

    The set of contributors to a sum with noise must not depend on data. So if `plan.private`, a client whose training
    has failed contributes zeros and its noise. Its weight and an adaptive clip's count are zeros too, so that for the
    guarantee this is a neighbour of any other contribution of the client. If the plan is not private, the caller lets
    the client drop out instead.

    Args:
        plan: The plan of the round.
        update: One array for each array of the model that travels; None if training has failed.
        weight: The client's weight in a weighted mean, above 0 and at most `max_weight`; None in a uniform mean.
        entropy: Secret randomness for rounding and noise; `os.urandom` outside tests.

    Raises:
        EncodingError: The shapes or the weight do not fit.
        dp.errors.InvalidParameter: An entry, or the norm of all entries, is NaN or infinite.
    """
    if update is None:
        return plan.mean.zero_contribution(entropy=entropy)
    prepared = plan.parts.prepare(plan.clip, update, weights=plan.weights)
    return plan.mean.contribution(prepared, rotation=plan.rotation, weight=weight, entropy=entropy)


def weight_of(plan: RoundPlan, examples: int) -> float | None:
    """Return the weight of a client with this number of examples, at most `max_weight`; None in a uniform mean."""
    encoding = plan.mean.encoding
    return min(float(examples), encoding.max_weight) if encoding.weighting is Weighting.WEIGHTED else None
