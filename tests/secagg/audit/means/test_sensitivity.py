import math
from dataclasses import replace

import numpy as np
import pytest

from secagg.aggregation.encoding import Encoding
from secagg.aggregation.mean import Target
from secagg.aggregation.weighting import Weighting
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.means.directions import BEYOND, directions, every_array, norm_of_updates
from secagg.audit.means.sensitivity import IntegerNorm, MeanChange, NeighbourDistance, planned_sensitivity
from secagg.audit.means.subject import ADD_OR_REMOVE, REPLACE, MeanSubject, Setting, Wish
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.planted.means import PLANTED
from secagg.audit.runner import finding
from secagg.audit.seeds import generator_of
from secagg.privacy.clipping import ClippingKind

WISH = Wish(clients=4, minimum_contributors=3, dimension=256)


@pytest.mark.parametrize("clipping", list(ClippingKind))
def test_directions_are_at_the_clip_or_beyond(clipping: ClippingKind) -> None:
    subject = mean_subject("mean", clipping=clipping)
    setting = subject.setting(WISH)
    rotation = subject.round_plan(setting, b"s").rotation
    for name, update in directions(setting, rotation, generator_of(b"s"), 3):
        assert [array.shape for array in update] == list(setting.shapes)
        norm = math.sqrt(sum(float((array**2).sum()) for array in update)) / norm_of_updates(setting)
        expected = BEYOND if "beyond" in name else 2.0 if "every array" in name else 1.0
        assert norm == pytest.approx(expected)


def test_every_array_is_at_the_clip() -> None:
    setting = mean_subject("mean").setting(WISH)
    for array in every_array(setting):
        assert math.sqrt(float((array**2).sum())) == pytest.approx(setting.mean.encoding.clip_l2)


def test_planned_sensitivity_is_that_of_the_ledger() -> None:
    mean = mean_subject("mean").setting(WISH).mean
    assert mean.noise is not None
    assert planned_sensitivity(mean) == mean.noise.l2_sensitivity == mean.encoding.l2_sensitivity
    without = mean_subject("mean", target=None).setting(WISH).mean
    assert planned_sensitivity(without) == without.encoding.l2_sensitivity


@pytest.mark.parametrize("bits", [12, 16, 24])
def test_rounding_left_out_is_found_at_every_modulus(bits: int) -> None:
    """Where a step is small or large against the clip, about half of random directions are above the norm."""
    planted = next(each for each in PLANTED if each.number == 17)
    bad = planted.subject()
    assert isinstance(bad, MeanSubject)
    target = bad.setting(WISH).mean.target
    assert isinstance(target, Target)
    found = finding(
        mean_subject("mean", target=target, modulus_bits=bits), IntegerNorm(), level=Level.QUICK, master=b"%d" % bits
    )
    assert found.verdict is Verdict.REJECTED


@pytest.mark.parametrize("relation", [REPLACE, ADD_OR_REMOVE, "unknown"])
def test_neighbours_are_those_of_the_claimed_relation(relation: str) -> None:
    right = mean_subject("mean")
    claims = [replace(claim, parameters={"relation": relation}) for claim in right.claims]
    subject = MeanSubject(right.setting, name="mean", claims=claims)
    verdicts = [
        finding(subject, attack, level=Level.QUICK, master=b"x").verdict
        for attack in (NeighbourDistance(), MeanChange())
    ]
    expected = {
        REPLACE: [Verdict.REJECTED, Verdict.REJECTED],
        ADD_OR_REMOVE: [Verdict.NOT_REJECTED, Verdict.REJECTED],
        "unknown": [Verdict.NOT_APPLICABLE, Verdict.NOT_APPLICABLE],
    }
    assert verdicts == expected[relation]


def test_a_fixed_divisor_is_right_for_add_or_remove() -> None:
    """A mean that divides by its cohort, whoever contributes, changes by no more than one contribution."""

    class FixedDivisor(Encoding):
        def decode(self, total, *, contributors, rotation, noise=None, **how):  # type: ignore[no-untyped-def]
            decoded = Encoding.decode(self, total, contributors=contributors, rotation=rotation, noise=noise, **how)
            factor = contributors / self.clients
            return replace(decoded, mean=[np.asarray(factor * array) for array in decoded.mean])

    right = mean_subject("mean")

    def planner(wish: Wish) -> Setting:
        setting = right.setting(wish)
        fields = {name: getattr(setting.mean.encoding, name) for name in Encoding.__dataclass_fields__}
        return replace(setting, mean=replace(setting.mean, encoding=FixedDivisor(**fields)))

    claims = [replace(claim, parameters={"relation": ADD_OR_REMOVE}) for claim in right.claims]
    subject = MeanSubject(planner, name="fixed", claims=claims)
    assert finding(subject, MeanChange(), level=Level.QUICK, master=b"x").verdict is Verdict.NOT_REJECTED


def test_weighted_mean_at_the_limit_is_not_rejected() -> None:
    subject = mean_subject("mean", weighting=Weighting.WEIGHTED, target=TARGET)
    assert finding(subject, IntegerNorm(), level=Level.FULL, master=b"x").verdict is Verdict.NOT_REJECTED
