"""The opening of sums in a model that is searched whole, and by real committee members: what every check prevents."""

from typing import Final

import pytest

from tests.exploration.cases import (
    LIMITS,
    NEEDED_TO_OPEN,
    SPARE_TO_OPEN,
    THREE_SUMS,
    WHOLE_OPENINGS,
    Removal,
    opening,
)
from tests.exploration.opening import ONE_INPUT, Opening, OpeningCheck, OpeningSearch, State
from tests.exploration.page import numbers, row
from tests.exploration.removals import removed
from tests.exploration.replayed_opening import RealOpening
from tests.exploration.search import explore

QUICK: Final = [removal for removal in NEEDED_TO_OPEN if removal.quick]


def after(model: OpeningSearch, actions: tuple[Opening, ...]) -> State:
    state = model.start()
    for action in actions:
        assert model.reason(state, action) is None
        state = model.after(state, action)
    return state


def real_after(model: OpeningSearch, actions: tuple[Opening, ...]) -> RealOpening:
    real = RealOpening(model)
    for action in actions:
        real.do(action)
    return real


@pytest.mark.parametrize("name", WHOLE_OPENINGS)
def test_no_state_violates_an_invariant_with_all_checks(name: str) -> None:
    """The server asks for what it likes. Every state that it can reach is visited, and none violates an invariant."""
    parameters, states = WHOLE_OPENINGS[name]
    found = explore(OpeningSearch(**parameters))
    assert found.complete
    assert found.traces == {}
    assert found.states == states


class Opened(OpeningSearch):
    """The same model, whose traces lead to sums that open."""

    def violations(self, state: State) -> tuple[str, ...]:
        return tuple(f"{len(self.opened(state))} sums" for _ in self.opened(state))


def test_sums_open_in_the_model_and_by_real_members() -> None:
    """The model would prove nothing if no sum opened in it."""
    parameters, _ = WHOLE_OPENINGS["two contexts"]
    model = Opened(**parameters)
    found = explore(model)
    assert found.traces.keys() == {"1 sums", "2 sums"}
    real = real_after(model, found.traces["2 sums"])
    assert real.opened.keys() == model.opened(after(model, found.traces["2 sums"]))


@pytest.mark.parametrize("removal", QUICK, ids=str)
def test_removed_check_yields_a_trace_that_real_members_follow(removal: Removal) -> None:
    """The server asks for what the check prevents. Without the check real members open it, and what they open is what
    the model says. With it they refuse.
    """
    model = opening(removal)
    found = explore(model, until=() if removal.whole else removal.violated)
    assert found.traces.keys() == removal.violated
    assert numbers(row(removal.checks[0])[-1])[-1] == max(map(len, found.traces.values()))
    for actions in set(found.traces.values()):
        with removed(removal.checks):
            real = real_after(model, actions)
        assert real.opened.keys() == model.opened(after(model, actions))
        check_that_the_whole_code_refuses(removal, actions)


def check_that_the_whole_code_refuses(removal: Removal, actions: tuple[Opening, ...]) -> None:
    """Check that the model and real parties, with all checks, refuse the same request of a trace."""
    model = OpeningSearch(**removal.model)
    state = model.start()
    real: RealOpening | None = None
    for action in actions:
        reason = model.reason(state, action)
        if reason is not None:
            assert removal.error is not None
            with pytest.raises(removal.error, match=removal.match):
                (real or RealOpening(model)).do(action)
            return
        real = real or RealOpening(model)
        real.do(action)
        state = model.after(state, action)
    pytest.fail("every request was accepted")


@pytest.mark.parametrize("check", SPARE_TO_OPEN, ids=str)
def test_check_that_others_cover_yields_no_trace(check: OpeningCheck) -> None:
    parameters, states = SPARE_TO_OPEN[check]
    found = explore(OpeningSearch(removed=frozenset([check]), **parameters))
    assert found.complete
    assert found.traces == {}
    assert found.states == states


def test_every_check_is_needed_or_spare() -> None:
    alone = {removal.checks[0] for removal in NEEDED_TO_OPEN if len(removal.checks) == 1}
    assert alone.isdisjoint(SPARE_TO_OPEN)
    assert alone | SPARE_TO_OPEN.keys() == set(OpeningCheck)


@pytest.mark.parametrize("name", LIMITS)
def test_limit_of_the_threat_model_is_found_with_all_checks_and_real_members_follow(name: str) -> None:
    """The threat model says that nothing prevents this. The model finds it, and real members open it."""
    removal = LIMITS[name]
    model = opening(removal)
    found = explore(model, until=() if removal.whole else removal.violated)
    assert found.traces.keys() == removal.violated
    for actions in set(found.traces.values()):
        real = real_after(model, actions)
        assert real.opened.keys() == model.opened(after(model, actions))


def test_three_sums_of_pairs_give_each_input_with_all_checks_and_real_members_follow() -> None:
    """The rule of members compares two sums at a time. Three sums of two clients each give every input (NOT-13).

    The search has one member, who would open alone; two real members then do what it does.
    """
    alone = OpeningSearch(members=1, threshold=1, **THREE_SUMS)
    actions = explore(alone, until=[ONE_INPUT]).traces[ONE_INPUT]
    assert len(actions) == 3
    model = OpeningSearch(**THREE_SUMS)
    both = tuple(action._replace(member=member) for action in actions for member in (0, 1))
    opened = real_after(model, both).opened
    assert opened.keys() == model.opened(after(model, both))
    assert {client for _, client in model.single_inputs(sorted(opened))} == {1, 2, 3}
