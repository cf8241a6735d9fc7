"""Every protocol gives the exact sum or nothing, for all dropouts and all orders of arrival."""

from typing import ClassVar

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from protocols import Role, SeedSum, TooFewSurvivors, available
from protocols.encrypted.protocol import EncryptedSum
from protocols.testing import exact_sum
from protocols.testing.suite.drops import DropTests
from protocols.testing.suite.sums import SumTests
from tests.conformance.cohorts import settings


class TestSums(SumTests):
    scenarios: ClassVar = settings()


class TestDrops(DropTests):
    scenarios: ClassVar = settings()


def test_registry_lists_the_protocols_of_this_package() -> None:
    assert {"plain", "secagg", "secagg-plus", "lightsecagg", "paillier", "oneshot", "seeds"} <= set(available())


def test_every_committee_leaves_a_client_that_is_not_a_member() -> None:
    """Without one, no test would show that such a client closes once it has sent its vector."""
    committees = [each for each in settings() if each.protocol.steps[-1].role is Role.COMMITTEE]
    assert committees
    assert all(set(each.parties) - set(each.asked(len(each.protocol.steps) - 1)) for each in committees)


@budget(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_drops_give_the_exact_sum_or_nothing(data: st.DataObject) -> None:
    setting = data.draw(st.sampled_from(settings()), label="setting")
    names = [row.name for row in setting.protocol.steps]
    fates = data.draw(st.fixed_dictionaries({p: st.sampled_from([None, None, *names]) for p in setting.parties}))
    drops = {name: [party for party, fate in fates.items() if fate == name] for name in names}
    # Enough of the clients that a round asks are there, as far as the sets of drops say.
    enough = [
        sum(fates[party] not in names[: number + 1] for party in setting.asked(number)) >= setting.quorum(number)
        for number in range(len(names))
    ]
    inputs = setting.inputs()
    try:
        outcome = setting.simulate(inputs, drops=drops)
    except TooFewSurvivors:
        assert not (isinstance(setting.protocol, EncryptedSum | SeedSum) and all(enough))
        return
    assert all(enough)
    assert len(outcome.contributors) >= setting.session.threshold
    assert set(outcome.contributors).isdisjoint(drops[names[0]])
    assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, setting.session.modulus)
