"""The usual plan of a mean, for the cohort and the work of each round."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dp.clipping.adaptive import AdaptiveClip
from protocols import Adversary, Identity, LightSecAgg, Roster, SecAggPlus
from protocols.errors import ParameterError
from protocols.testing import fixed_identity
from secagg.aggregation.mean import Target
from secagg.engines.parties import Parties
from secagg.engines.server.plans import averaging
from secagg.engines.statistics import UpdateParts
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError
from secagg.models.base import ArrayRole
from secagg.privacy.clipping import PerLayerClip

ARRAYS = [np.zeros((2, 3)), np.zeros(4)]
TARGET = Target(epsilon=8.0, delta=1e-3, releases=3, colluding=1)


def planned(clients: int = 20, work: Work | None = None, parties: Parties | None = None, **changes: Any) -> Any:
    given: dict[str, Any] = {"clip_l2": 2.0, "adversarial": 0.05, "dropout": 0.1}
    plan = averaging(SecAggPlus, **given | changes)
    return plan(range(clients), work or Work("run", 1, ARRAYS), parties or Parties())


def test_plan_takes_shapes_and_bound_from_the_work() -> None:
    mean = planned()
    assert (mean.encoding.shapes, mean.encoding.clip_l2) == (((2, 3), (4,)), 2.0)
    layered = planned(work=Work("run", 1, ARRAYS, clip=PerLayerClip((3.0, 4.0))))
    assert layered.encoding.clip_l2 == pytest.approx(5.0)
    adaptive = planned(work=Work("run", 1, ARRAYS, clip=AdaptiveClip(bound=2.0, weight=0.25)))
    assert adaptive.encoding.shapes == ((2, 3), (4,), (1,))
    roles = (ArrayRole.TRAINED, ArrayRole.FIXED)
    fixed = planned(
        work=Work("run", 1, ARRAYS, parts=UpdateParts(roles=roles, l2=2.0, share=0.1, reach=1.0, entries=0))
    )
    assert fixed.encoding.shapes == ((2, 3),)


def test_plan_suits_each_cohort() -> None:
    small, large = planned(10), planned(60)
    assert (small.clients, large.clients) == (tuple(range(10)), tuple(range(60)))
    assert small.minimum_contributors < large.minimum_contributors
    assert planned(20, minimum_contributors=17).minimum_contributors == 17


def test_plan_with_a_target_has_noise_that_does_not_count_on_colluding_clients() -> None:
    mean = planned(target=TARGET)
    assert mean.noise is not None
    assert mean.noise.event.contributors == mean.minimum_contributors - 1
    assert mean.target is TARGET


def test_plan_chooses_the_same_bits_for_cohorts_of_one_size_and_keeps_a_number() -> None:
    with_noise, later = planned(target=TARGET), planned(target=TARGET, work=Work("run", 2, ARRAYS))
    assert with_noise.encoding == later.encoding
    assert with_noise.encoding.modulus_bits < 20
    assert with_noise.rounding_factor <= 1.005
    assert planned().encoding.modulus_bits == 24
    assert planned(target=TARGET, modulus_bits=30).encoding.modulus_bits == 30


def test_plan_against_a_malicious_server_needs_the_roster_of_the_cohort() -> None:
    roster = Roster({client: Identity.generate().public for client in range(25)})
    mean = planned(adversary="malicious", parties=Parties(roster=roster))
    assert mean.roster is not None
    assert set(mean.roster) == set(range(20))
    assert planned(parties=Parties(roster=roster)).roster is None
    with pytest.raises(ConfigurationError, match=r"roster: expected one against a malicious server, found none"):
        planned(adversary=Adversary.MALICIOUS)


def test_plan_of_exact_sums_that_could_differ_in_one_client_is_refused() -> None:
    """Of 20 clients one may collude, so that 11 are enough to open a sum and 10 are not."""
    few = averaging(LightSecAgg, clip_l2=1.0, minimum_contributors=10)
    work = Work("run", 1, ARRAYS)
    with pytest.raises(
        ParameterError, match="at least 11 of 20 clients open a sum, 1 of whom may be corrupt, found 10"
    ):
        few(range(20), work, Parties())
    assert averaging(LightSecAgg, clip_l2=1.0, minimum_contributors=11)(range(20), work, Parties()).clients
    noisy = averaging(LightSecAgg, clip_l2=1.0, minimum_contributors=10, target=TARGET)
    assert noisy(range(20), work, Parties()).noise is not None


def test_more_contributors_are_required_if_a_sparse_graph_needs_them() -> None:
    """Corrupt contributors need no holders of their shares; with many dropouts, no number is enough."""
    roster = Roster({client: fixed_identity(client).public for client in range(100)})
    plan = averaging(SecAggPlus, clip_l2=1.0, adversarial=0.1, dropout=0.1, adversary="malicious")
    mean = plan(range(100), Work("run", 1, ARRAYS), Parties(roster=roster))
    session = mean.session(bytes(16))
    assert mean.protocol.least_repliers(session, 10) == 56
    assert mean.protocol.least_repliers(replace(session, threshold=session.threshold - 1), 10) == 55
    many = averaging(SecAggPlus, clip_l2=1.0, adversarial=0.1, dropout=0.2, adversary="malicious")
    with pytest.raises(ParameterError, match="use SecAgg in the place of SecAggPlus"):
        many(range(100), Work("run", 1, ARRAYS), Parties(roster=roster))


def test_plan_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="adversary: expected one of curious"):
        averaging(SecAggPlus, clip_l2=1.0, adversary="friendly")
    with pytest.raises(ParameterError):
        averaging(LightSecAgg, clip_l2=1.0, adversary="malicious")(range(9), Work("run", 1, ARRAYS), Parties())
    with pytest.raises(ParameterError):
        planned(1)
