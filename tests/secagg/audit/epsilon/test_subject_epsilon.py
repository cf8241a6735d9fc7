"""Single releases of a mean: what is subtracted, for each trust, and which means cannot be audited."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dp.events import Trust
from dp.noise.distributed import DistributedSkellam, LatticeNoise
from protocols.pairwise import SecAgg
from protocols.plain import PlainSum
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.audit.epsilon.exact import gaussian_deviation
from secagg.audit.epsilon.subject import DELTA, ReleaseSubject
from secagg.privacy.noise import Target


def target(**changes: Any) -> Target:
    return Target(**{"epsilon": 10.0, "delta": DELTA, "releases": 1, "colluding": 1} | changes)


def subject(**changes: Any) -> ReleaseSubject:
    return ReleaseSubject.keeping(target(**changes), PlainSum(), name="subject", clients=4)


@pytest.mark.parametrize(
    ("changes", "colluding"),
    [
        ({"colluding": 0}, ()),
        ({"colluding": 1}, (4,)),
        ({"colluding": 3}, (2, 3, 4)),
        ({"trust": Trust.LOCAL}, (2, 3, 4)),
        ({"trust": Trust.CENTRAL}, (2, 3, 4)),
        ({"mechanism": LatticeNoise.SKELLAM}, (4,)),
    ],
)
def test_noise_left_in_a_release_is_what_the_ledger_is_told(
    changes: dict[str, Any], colluding: tuple[int, ...]
) -> None:
    """24 releases of 4 coordinates; their deviation is off by 36% with probability below 1e-6."""
    audited = subject(**changes)
    assert audited.colluding == colluding
    others = np.full(4, 0.3)
    known = 0.3 * (3 - len(colluding))  # What the other clients that do not collude add.
    left = [audited.release(np.zeros(4), os.urandom, others=others) - known for _ in range(24)]
    planned = gaussian_deviation(audited.event) * audited.mean.encoding.granularity
    assert np.std(left) == pytest.approx(planned, rel=0.36)
    assert abs(np.mean(left)) < 5 * planned / np.sqrt(96)


def test_subject_without_noise_claims_no_epsilon() -> None:
    mean = SecureMean.plan(protocol=SecAgg(), clients=[1, 2], minimum_contributors=2, shapes=[(4,)], clip_l2=1.0)
    audited = ReleaseSubject(mean, name="bare")
    assert audited.claims == ()
    assert audited.unsupported_reason is not None


def test_subjects_that_the_attack_cannot_follow_say_why() -> None:
    removable = target(mechanism=LatticeNoise.SKELLAM, noise_removal=True)
    arguments: dict[str, Any] = {"clients": [1, 2, 3], "minimum_contributors": 2, "shapes": [(4,)], "clip_l2": 1.0}
    weighted = SecureMean.plan(protocol=SecAgg(), target=target(), weighting=Weighting.WEIGHTED, **arguments)
    removed = SecureMean.plan(protocol=SecAgg(), target=removable, **arguments)
    skellam = subject(mechanism=LatticeNoise.SKELLAM).mean
    assert isinstance(skellam.noise, DistributedSkellam)
    narrow = replace(skellam, noise=replace(skellam.noise, local_variance=1.0))
    for mean, word in ((weighted, "quotient"), (removed, "removed"), (narrow, "4 squared steps")):
        why = ReleaseSubject(mean, name="other").unsupported_reason
        assert why is not None
        assert word in why
    assert subject().unsupported_reason is None


def test_arrays_of_several_shapes_come_back_in_order() -> None:
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=[1, 2],
        minimum_contributors=2,
        shapes=[(2, 2), (3,)],
        clip_l2=10.0,
        modulus_bits=40,
        target=target(epsilon=2_000.0),
    )
    update = np.arange(7.0)
    assert ReleaseSubject(mean, name="shapes").release(update, os.urandom) == pytest.approx(update, abs=2)
