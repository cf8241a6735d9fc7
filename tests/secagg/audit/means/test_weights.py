import struct

import pytest

from protocols import Transmission
from secagg.aggregation.weighting import Weighting
from secagg.audit.attack import Attack, Level
from secagg.audit.finding import Verdict
from secagg.audit.means.subject import MeanSubject
from secagg.audit.means.suite import mean_subject
from secagg.audit.means.weights import WEIGHTS, WeightLimit, WeightsAlike, WeightsHidden
from secagg.audit.planted.means import PLANTED
from secagg.audit.runner import finding


@pytest.mark.parametrize("attack", WEIGHTS, ids=lambda attack: attack.id)
def test_uniform_means_have_no_weights(attack: Attack[MeanSubject]) -> None:
    found = finding(mean_subject("mean"), attack, level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("attack", [WeightLimit(), WeightsHidden()], ids=lambda attack: attack.id)
def test_weighted_means_are_not_rejected(attack: Attack[MeanSubject]) -> None:
    subject = mean_subject("mean", weighting=Weighting.WEIGHTED)
    assert finding(subject, attack, level=Level.QUICK, master=b"x").verdict is Verdict.NOT_REJECTED


def in_the_clear(encode: object) -> MeanSubject:
    """Return the planted subject, whose messages with a weight are written in another way."""
    planted = next(each for each in PLANTED if each.number == 60).subject()
    assert isinstance(planted, MeanSubject)

    class Rewritten(type(planted)):  # type: ignore[misc]
        def observe(self, *args: object, tap=None, **options: object):  # type: ignore[no-untyped-def]
            def rewritten(message: Transmission) -> None:
                if message.step == "weigh":
                    (weight,) = struct.unpack("<d", message.data)
                    message = Transmission("weigh", message.sender, None, encode(weight))  # type: ignore[operator]
                tap(message)

            return super().observe(*args, tap=tap and rewritten, **options)

    return Rewritten(planted.setting, name="rewritten", claims=planted.claims)


def test_a_coarse_weight_is_found_because_it_depends_on_weights_alone() -> None:
    coarse = in_the_clear(lambda weight: bytes([int(weight)]))
    found = finding(coarse, WeightsHidden(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.REJECTED
    assert "depends on the weights" in found.evidence


def test_views_that_differ_in_a_byte_are_told_apart() -> None:
    found = finding(in_the_clear(lambda weight: bytes([int(weight)])), WeightsAlike(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.REJECTED
    assert found.value == 1.0
