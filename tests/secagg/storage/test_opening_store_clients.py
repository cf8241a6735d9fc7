"""The attack that clients' stores of openings are for: two attempts at one round, of which the second lacks a client.

The server is curious or malicious. After an attempt that succeeded, it repeats the round with the same inputs, and one
client has dropped out meanwhile. The difference of the two sums would be that client's vector.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from protocols import Adversary, LightSecAgg, OpeningRecord, SecAgg, SecAggPlus, UnsafeOpening
from protocols.testing import ProtocolRun, Scenario, repeatable_entropy
from protocols.testing.suite.openings import difference, finished
from protocols.testing.suite.restarts import client_again
from secagg.storage.opening_store import OpeningStore
from tests.conformance.cohorts import IDS, setting

MALICIOUS: Final = Adversary.MALICIOUS
SCENARIOS: Final = (
    setting(SecAgg(), IDS[:5], 3, context=b"round 7"),
    setting(SecAgg(adversary=MALICIOUS), IDS[:5], 4, context=b"round 7"),
    setting(SecAggPlus(neighbours=4, share_threshold=3), IDS[:7], 5, context=b"round 7"),
    setting(SecAggPlus(neighbours=4, share_threshold=4, adversary=MALICIOUS), IDS[:7], 5, context=b"round 7"),
    setting(LightSecAgg(privacy=1, responders=3), IDS[:5], 4, context=b"round 7"),
)
EACH: Final = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.label)
VICTIM: Final = IDS[2]
MASKING: Final = 2
"""The number of the step that asks for masked vectors, in all of these protocols."""


@contextmanager
def stores(scenario: Scenario, folder: Path) -> Iterator[dict[int, OpeningStore]]:
    """Open each client's store, or make it, and close all of them at the end, as processes that end do."""
    with ExitStack() as stack:
        paths = {client: folder / f"openings of {client}" for client in scenario.session.clients}
        yield {
            client: stack.enter_context(OpeningStore(path) if path.exists() else OpeningStore.create(path))
            for client, path in paths.items()
        }


def attempt(scenario: Scenario, number: int, openings: Mapping[int, OpeningRecord] | None) -> ProtocolRun:
    """Return an attempt at the round, a session of its own with the same inputs; without openings, nobody has any."""
    where = replace(scenario, session=replace(scenario.session, session_id=b"an attempt, number %04d" % number))
    run = ProtocolRun(where, seed=b"attempt %d of " % number, openings=openings)
    if openings is None:
        run.clients = {
            client: where.client(client, run.inputs[client], repeatable_entropy(b"%d" % client), run.records[client])
            for client in where.session.clients
        }
    return run


@EACH
def test_clients_reveal_nothing_for_a_second_sum_without_one_of_them(scenario: Scenario, tmp_path: Path) -> None:
    """The processes of all clients end and start again between the attempts, and within the second one.

    Each client that is asked must refuse (UnsafeOpening), so that the server gets no sum.
    """
    with stores(scenario, tmp_path) as openings:
        first = finished(attempt(scenario, 1, openings), None, 0)
        assert first is not None
        assert VICTIM in first.contributors
    with stores(scenario, tmp_path) as openings:
        run, refused = attempt(scenario, 2, openings), set[int]()
        assert finished(run, VICTIM, MASKING, refused=refused) is None
        assert refused == set(scenario.session.clients) - {VICTIM}
        assert all(run.clients[client].closed for client in refused)
    with stores(scenario, tmp_path) as openings:
        run = attempt(scenario, 3, openings)
        for step, _ in enumerate(scenario.protocol.steps[:-1]):
            run.deliver({c: run.clients[c].handle(r) for c, r in run.requests.items() if step < MASKING or c != VICTIM})
        for client in run.requests:
            with pytest.raises(UnsafeOpening, match="expected the same set as in an earlier sum under this context"):
                client_again(run, client).handle(run.requests[client])
    with stores(scenario, tmp_path) as openings:  # The same contributors are summed again.
        again = finished(attempt(scenario, 4, openings), None, 0)
        assert again is not None
        assert again.total.tolist() == first.total.tolist()


@EACH
@pytest.mark.parametrize("kept", [False, True], ids=["no-record", "record-of-another-context"])
def test_without_the_rule_the_difference_of_two_sums_is_one_clients_vector(
    scenario: Scenario, tmp_path: Path, *, kept: bool
) -> None:
    """Clients without stores, and clients with stores whose server gives the second attempt another context."""
    with stores(scenario, tmp_path) as openings:
        run = attempt(scenario, 1, openings if kept else None)
        first = finished(run, None, 0)
    later = replace(scenario, session=replace(scenario.session, context=b"round 7 again")) if kept else scenario
    with stores(scenario, tmp_path) as openings:
        second = finished(attempt(later, 2, openings if kept else None), VICTIM, MASKING)
    assert first is not None
    assert second is not None
    assert difference(first, second, scenario) == run.inputs[VICTIM].tolist()


@EACH
def test_set_that_was_recorded_and_never_revealed_can_be_summed_in_another_session(
    scenario: Scenario, tmp_path: Path
) -> None:
    """Every client ends after its record was made and before its reply was sent."""
    with stores(scenario, tmp_path) as openings:
        run = attempt(scenario, 1, openings).to_step(len(scenario.protocol.steps) - 1)
        run.replies()  # They are lost.
    with stores(scenario, tmp_path) as openings:
        refused = set[int]()
        assert finished(attempt(scenario, 2, openings), VICTIM, MASKING, refused=refused) is None
        assert refused
    with stores(scenario, tmp_path) as openings:
        run = attempt(scenario, 3, openings)
        outcome = finished(run, None, 0)
        assert outcome is not None
        assert run.is_exact(outcome)
