"""What a client does, in one function."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dp.clipping.adaptive import AdaptiveClip
from dp.errors import InvalidParameter
from protocols.testing import repeatable_entropy
from secagg.aggregation.mean import Target
from secagg.aggregation.residues import reduced
from secagg.engines.base import RoundPlan
from secagg.engines.client import contribute, weight_of
from secagg.engines.work import Work
from secagg.errors import EncodingError
from secagg.privacy.clipping import planned
from secagg.privacy.noise import draw_noise
from tests.support.federation import devices, mean_for

TARGET = Target(epsilon=40.0, delta=1e-2, releases=3, colluding=0)
CLIP = AdaptiveClip(bound=0.5, weight=0.25)


def plan_of(**changes: Any) -> RoundPlan:
    mean = mean_for(devices(), shapes=[(3,)], **changes)
    return RoundPlan(mean=mean, session=mean.session(bytes(16)))


def test_contribution_is_the_clipped_update_encoded_with_noise() -> None:
    shapes, bound = planned(CLIP, shapes=[(3,)], clip_l2=0.5)
    mean = mean_for(devices(), shapes=shapes, clip_l2=bound, target=TARGET)
    plan = RoundPlan(mean=mean, session=mean.session(bytes(16)), work=Work("test", 1, (), clip=CLIP))
    update = [np.array([3.0, -4.0, 0.0])]
    found = contribute(plan, update, entropy=repeatable_entropy(b"one"))
    right = mean.contribution(
        CLIP.prepare(update), rotation=mean.rotation(plan.session), entropy=repeatable_entropy(b"one")
    )
    np.testing.assert_array_equal(found.vector, right.vector)


def test_contribution_of_failed_training_is_the_noise_alone() -> None:
    plan = plan_of(target=TARGET)
    assert plan.private
    assert plan.mean.noise is not None
    noise, _ = draw_noise(plan.mean.noise, repeatable_entropy(b"zero"))
    found = contribute(plan, None, entropy=repeatable_entropy(b"zero"))
    np.testing.assert_array_equal(found.vector, reduced(noise, plan.mean.encoding.modulus))


def test_contribution_of_a_bad_update_is_refused() -> None:
    plan = plan_of()
    with pytest.raises(InvalidParameter, match="NaN or infinity"):
        contribute(plan, [np.array([0.0, np.nan, 0.0])])
    with pytest.raises(EncodingError, match="shapes"):
        contribute(plan, [np.zeros(4)])


def test_weight_is_the_number_of_examples_up_to_the_greatest_one() -> None:
    plan = plan_of(weighting="weighted", max_weight=20.0)
    assert [weight_of(plan, examples) for examples in (1, 20, 500)] == [1.0, 20.0, 20.0]
    assert weight_of(plan_of(), 7) is None


def test_plan_is_private_where_the_sum_or_the_training_has_noise() -> None:
    plan = plan_of()
    assert not plan.private
    assert plan_of(target=TARGET).private
    assert replace(plan, training=object()).private  # type: ignore[arg-type]
