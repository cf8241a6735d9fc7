"""Pairwise masking in a model that is searched whole, and on real clients: what every check prevents.

With all checks no state that a malicious server can reach violates an invariant. Without a check, the search finds a
shortest trace to a violation. The same trace is then run on real clients from which the same check is taken out, with
the same result, and on real clients as they are, which refuse.
"""

import random
from functools import cache
from typing import Final

import pytest

from protocols import ProtocolError, SessionReused
from tests.exploration.cases import NEEDED, SLOW, SPARE, WHOLE_MODELS, Removal, pairwise
from tests.exploration.checks import Check
from tests.exploration.knowledge import PairwiseSearch, broken
from tests.exploration.page import numbers, row
from tests.exploration.pairwise import Action, State
from tests.exploration.pairwise_client import REVEAL, Path, kept, members
from tests.exploration.removals import REMOVALS, removed
from tests.exploration.replayed_pairwise import RealPairwise, after_all
from tests.exploration.search import explore

QUICK: Final = [removal for removal in NEEDED if removal.quick]


def after(model: PairwiseSearch, actions: tuple[Action, ...]) -> State:
    state = model.start()
    for action in actions:
        assert model.reason(state, action) is None
        state = model.after(state, action)
    return state


@pytest.mark.parametrize("name", WHOLE_MODELS)
def test_no_state_violates_an_invariant_with_all_checks(name: str) -> None:
    """The server does what it can. Every state that it can reach is visited, and none violates an invariant."""
    parameters, states = WHOLE_MODELS[name]
    found = explore(PairwiseSearch(**parameters))
    assert found.complete
    assert found.traces == {}
    assert found.states == states


class Opened(PairwiseSearch):
    """The same model, whose traces lead to the sums that the server learns."""

    def violations(self, state: State) -> tuple[str, ...]:
        return tuple(f"sum of {len(each.inputs)}" for each in self.known(state).sums)


OPENED: Final = Opened()


@cache
def traces_to_sums() -> dict[str, tuple[Action, ...]]:
    return explore(OPENED).traces


def test_sums_of_two_and_of_three_honest_clients_are_learned_in_the_model_and_from_real_clients() -> None:
    """The model would prove nothing if no sum could be learned in it."""
    model = OPENED
    assert traces_to_sums().keys() == {"sum of 2", "sum of 3"}
    for actions in traces_to_sums().values():
        known = after_all(model, actions)
        assert known == model.known(after(model, actions))
        assert len(known.sums) == 1
        assert broken(model.honest, known) == ()


@pytest.mark.parametrize("removal", QUICK, ids=str)
def test_removed_check_yields_a_trace_with_the_same_violation_of_real_clients(removal: Removal) -> None:
    """The server does what the check prevents. Without the check real clients answer, and the server's own computation
    from their bytes violates the invariant. With it they refuse.
    """
    model = pairwise(removal)
    found = explore(model, until=() if removal.whole else removal.violated)
    assert found.traces.keys() == removal.violated
    if len(removal.checks) == 1:
        assert sorted(numbers(row(removal.checks[0])[0])) == sorted(map(len, found.traces.values()))
    for violated, actions in found.traces.items():
        with removed(removal.checks):
            known = after_all(model, actions)
        assert known == model.known(after(model, actions))
        assert violated in broken(model.honest, known)
        check_that_the_whole_code_refuses(removal, actions)


def check_that_the_whole_code_refuses(removal: Removal, actions: tuple[Action, ...]) -> None:
    """Check that the model and real clients, with all checks, refuse the same action of a trace."""
    model = PairwiseSearch(**removal.model)
    real, state = RealPairwise(model), model.start()
    for action in actions:
        if model.reason(state, action) is not None:
            assert removal.error is not None
            with pytest.raises(removal.error, match=removal.match):
                real.do(action)
            return
        real.do(action)
        state = model.after(state, action)
    assert removal.error is None
    assert broken(model.honest, real.known()) == ()


@pytest.mark.parametrize("check", [check for check in SPARE if check not in SLOW], ids=str)
def test_check_that_others_cover_yields_no_trace(check: Check) -> None:
    """Without one of these checks the others are enough, in this model; docs/models.md says which and why."""
    found = explore(PairwiseSearch(removed=frozenset([check])))
    assert found.complete
    assert found.traces == {}
    assert found.states == SPARE[check]


def test_every_check_is_needed_or_spare() -> None:
    alone = {removal.checks[0] for removal in NEEDED if len(removal.checks) == 1}
    assert alone.isdisjoint(SPARE)
    assert alone | SPARE.keys() == set(Check)


class Revealed(PairwiseSearch):
    """The same model, whose traces lead to clients that reveal shares for fewer survivors than the threshold."""

    def violations(self, state: State) -> tuple[str, ...]:
        return tuple({"few" for each in self.known(state).declared if len(members(each.survivors)) < 3})


def test_too_few_survivors_are_confirmed_and_nothing_is_revealed_for_them() -> None:
    """Without its check, a client signs for too few survivors. Since all signers must survive, it reveals nothing."""
    assert explore(Revealed(removed=frozenset([Check.ENOUGH_SURVIVORS]))).traces == {}
    both = frozenset([Check.ENOUGH_SURVIVORS, Check.SIGNERS_SURVIVE])
    assert explore(Revealed(removed=both), until=["few"]).traces.keys() == {"few"}


@pytest.mark.parametrize("check", [check for check in REMOVALS if isinstance(check, Check)], ids=str)
def test_removal_changes_the_code_and_puts_it_back(check: Check) -> None:
    with removed([check]):
        pass
    known = after_all(OPENED, traces_to_sums()["sum of 3"])
    assert broken(OPENED.honest, known) == ()


# The model against the code.


@pytest.mark.parametrize("seed", range(30))
def test_real_clients_answer_and_refuse_as_the_model_says(seed: int) -> None:
    """A server sends requests at random, three of four such that the model accepts them, and restarts clients.

    Real clients must refuse for the same reason as the model, and must give away the same.
    """
    chance = random.Random(seed)
    model = PairwiseSearch(ordered=False, lossy=True, second_keys=True)
    real, state = RealPairwise(model), model.start()
    at: dict[int, Path] = dict.fromkeys(model.honest, ())
    errors = 0
    while at:
        client = chance.choice(sorted(at))
        requests = model.every_request(state, client, at[client])
        actions = [Action(client, at[client], request) for request in requests]
        accepted = [action for action in actions if model.reason(state, action) is None]
        action = chance.choice(accepted if accepted and chance.random() < 0.9 else actions)
        reason = model.reason(state, action)
        if at[client] and chance.random() < 0.3:
            real.restored(client, at[client])
        if reason is not None:
            with pytest.raises(ProtocolError) as refused:
                real.do(action)
            assert refused.match(REASONS[Check(reason)])
            # The real client has noted the step, and answers it no more.
            with pytest.raises(SessionReused):
                real.do(action)
            del at[client]
            errors += 1
            continue
        real.do(action)
        state = model.after(state, action)
        at[client] = (*at[client], kept(action.request))
        if len(at[client]) > REVEAL:
            del at[client]
    assert real.known() == model.known(state)
    assert broken(model.honest, real.known()) == ()


REASONS: Final = {
    Check.OWN_KEYS: "does not have the keys that this client advertised",
    Check.MATCHING_KEYS: "are not those in the key directory",
    Check.SIGNED_KEYS: "not signed by client",
    Check.KEYS_OF_SESSION: "not signed by client",
    Check.ENOUGH_PRESENT: "clients have advertised keys: expected at least",
    Check.SHARER_ITSELF: "lacks this client",
    Check.SHARERS_PRESENT: "names one outside the key directory",
    Check.ENOUGH_SHARERS: "clients have shared: expected at least",
    Check.SURVIVOR_ITSELF: "the survivor set lacks this client",
    Check.SURVIVORS_SHARED: "names a client that has not shared",
    Check.ENOUGH_SURVIVORS: "clients survive: expected at least",
    Check.SIGNERS_SURVIVE: "expected signers from the survivor set",
    Check.ENOUGH_SIGNERS: "confirmations: expected at least",
    Check.CONFIRMED: "not signed by client",
}
