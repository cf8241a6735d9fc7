"""Sums with weights: the arithmetic, and the session, server and members that keep to the weights that are allowed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocols.crypto.keystream import apply_masks
from protocols.crypto.secret import Secret
from protocols.errors import OrderError, ParameterError, RemoteError, TooFewSurvivors
from protocols.machine import Continue, Server
from protocols.secure_sum import Finish
from protocols.seeds import PadKind, SeedSum
from protocols.seeds.weighting import add_weighted_masks, rare_weights, weighted_sum
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from tests.support.seed_world import AGREE, CLIENTS, CURIOUS, MALICIOUS, MEMBERS, WilfulServer, seed_scenario

SIX = (*CLIENTS, 11)
STALE: Mapping[int, int] = {0: 4, 7: 4, 5: 4}


def weighted(adversary: Any = MALICIOUS, pads: PadKind = PadKind.STREAM, **fields: Any) -> Scenario:
    """Six clients, threshold 3, of which each weight of 1, 4 and 8 may be had."""
    return seed_scenario(4, 1, adversary, pads=pads, clients=SIX, weights=(1, 4, 8), **fields)


def finished(scenario: Scenario, weights: Mapping[int, int]) -> tuple[ProtocolRun, Finish]:
    run = ProtocolRun(scenario)
    run.server.weigh(weights)
    return run, run.finish()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_weighted_sums_are_those_of_python_integers(dtype: Any) -> None:
    rows = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (5, 30), dtype=dtype, endpoint=True)
    weights, start = (1, 300, 1, 65_536, 300), np.arange(30, dtype=dtype)
    total = start.copy()

    def add(part: Any, numbers: Any) -> None:
        for number in numbers:
            part += rows[number]

    weighted_sum(total, range(5), weights, add)
    expected = [
        (int(begun) + sum(w * int(x) for w, x in zip(weights, column, strict=True))) % 2 ** (8 * total.itemsize)
        for begun, column in zip(start, rows.T, strict=True)
    ]
    assert total.tolist() == expected


def test_weighted_masks_are_masks_added_as_often_as_their_weight() -> None:
    keys = [Secret(bytes([number]) * 32) for number in range(3)]
    found, expected = np.zeros(5000, dtype=np.uint32), np.zeros(5000, dtype=np.uint32)
    add_weighted_masks(found, keys, (1, 3, 2))
    apply_masks(expected, [(np.add, key) for key, weight in zip(keys, (1, 3, 2), strict=True) for _ in range(weight)])
    assert np.array_equal(found, expected)


def test_rare_weights_are_named_with_their_number() -> None:
    assert not rare_weights((), 3)
    assert not rare_weights((1, 4, 1, 4, 1, 4), 3)
    assert rare_weights((128, 128, 128, 1), 3) == "weight 1 1 times"
    assert rare_weights((2, 8, 8, 1, 1, 1), 3) == "weight 2 1 times, weight 8 2 times"


@pytest.mark.parametrize("pads", list(PadKind))
@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_sum_is_that_of_vectors_times_their_weights(adversary: Any, pads: PadKind) -> None:
    run, outcome = finished(weighted(adversary, pads), STALE)
    assert outcome.contributors == tuple(sorted(SIX))
    assert outcome.weights == {client: STALE.get(client, 1) for client in sorted(SIX)}
    assert run.is_exact(outcome)
    plain = [sum(column) % 2**16 for column in zip(*(each.tolist() for each in run.inputs.values()), strict=True)]
    assert outcome.total.tolist() != plain


@pytest.mark.parametrize("largest", [5, 127, 128, 2**12])
def test_lattice_sum_with_a_large_weight_is_exact(largest: int) -> None:
    scenario = seed_scenario(4, 1, MALICIOUS, pads=PadKind.LATTICE, clients=SIX, weights=(1, largest))
    run, outcome = finished(scenario, dict.fromkeys(STALE, largest))
    assert run.is_exact(outcome)
    assert not outcome.culprits


def test_clients_without_a_stated_weight_have_the_smallest_one() -> None:
    run, outcome = finished(seed_scenario(weights=(2, 3)), {})
    assert set(outcome.weights.values()) == {2}
    assert run.is_exact(outcome)
    assert not ProtocolRun(seed_scenario()).finish().weights


def test_weights_survive_a_restart_of_the_server_and_the_last_ones_stated_hold() -> None:
    scenario = weighted()
    run = ProtocolRun(scenario)
    run.server.weigh(dict.fromkeys(SIX, 8))
    run.server.weigh(dict.fromkeys(SIX, 4))
    kept = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server"))
    run.server = Server.restore(scenario.protocol, scenario.session, kept, key=SNAPSHOT_KEY)
    outcome = run.finish()
    assert set(outcome.weights.values()) == {4}
    assert run.is_exact(outcome)


def test_weight_of_fewer_clients_than_the_threshold_is_refused_before_the_members_are_asked() -> None:
    """The server may go on from a snapshot with other weights, since it has sent nothing."""
    run = ProtocolRun(weighted())
    run.server.weigh({0: 4, 7: 4})
    replies = run.replies()
    for client, reply in replies.items():
        run.server.receive(client, reply)
    kept = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"server"))
    with pytest.raises(TooFewSurvivors, match=r"at least 3 times .the threshold., found weight 4 2 times"):
        run.server.advance()
    run.server = Server.restore(run.scenario.protocol, run.scenario.session, kept, key=SNAPSHOT_KEY)
    run.server.weigh({0: 1, 7: 1})
    run.progress = run.server.advance()
    assert run.is_exact(run.finish())


def test_weight_that_drops_make_rare_is_refused_by_the_server() -> None:
    run = ProtocolRun(weighted())
    run.server.weigh(STALE)
    replies = run.replies()
    del replies[7]
    with pytest.raises(TooFewSurvivors, match="weight 4 2 times"):
        run.deliver(replies)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (dict.fromkeys(SIX, 3), "expected 1 or 4 or 8 for each contributor"),
        ({**dict.fromkeys(SIX, 8), 0: 1}, "at least 3 times, found weight 1 1 times"),
        ({**dict.fromkeys(SIX, 1), 0: 4, 5: 4}, "at least 3 times, found weight 4 2 times"),
        (dict.fromkeys(SIX, 0), "expected 1 or 4 or 8 for each contributor"),
    ],
)
def test_member_refuses_weights_against_the_rules(weights: Mapping[int, int], text: str) -> None:
    server = WilfulServer(weighted())
    with pytest.raises(RemoteError, match=text):
        server.agreement(server.member(MEMBERS[0]), SIX, weights)


def test_weights_are_stated_in_the_first_step_and_only_those_that_the_session_allows() -> None:
    run = ProtocolRun(weighted())
    for wrong in ({0: 2}, {0: True}, {0: 4.0}, {0: "4"}):
        with pytest.raises(ParameterError, match=r"expected values of \(1, 4, 8\)"):
            run.server.weigh(wrong)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ParameterError, match="clients of the session"):
        run.server.weigh({MEMBERS[0]: 4})
    run.to_step(1)
    with pytest.raises(OrderError, match="the first step is not open"):
        run.server.weigh({0: 4})
    with pytest.raises(OrderError):
        Server(run.scenario.protocol, run.scenario.session).weigh({0: 4})
    with pytest.raises(ParameterError, match="found one in which each vector counts once"):
        ProtocolRun(seed_scenario()).server.weigh({0: 1})


@pytest.mark.parametrize(
    "weights", [(), (2, 1), (1, 1), (0,), (-1, 1), (2**16 + 1,), (1.0,), (True, 2), [1], 1, None, tuple(range(1, 258))]
)
def test_weights_of_a_session_that_are_no_ascending_numbers_in_range_are_refused(weights: Any) -> None:
    with pytest.raises(ParameterError, match="weights"):
        replace(seed_scenario().session, weights=weights)


@pytest.mark.parametrize("batches", [0, 1, None, "yes"])
def test_batches_of_a_session_that_are_no_bool_are_refused(batches: Any) -> None:
    with pytest.raises(ParameterError, match="batches: expected a bool"):
        replace(seed_scenario().session, batches=batches)


def test_modulus_without_room_for_the_largest_weight_of_all_clients_is_refused() -> None:
    session = seed_scenario().session
    assert replace(session, weights=(1, 51), modulus=256).weights == (1, 51)
    with pytest.raises(ParameterError, match="expected more than 260, the largest weight times the number of clients"):
        replace(session, weights=(1, 52), modulus=256)


def test_lattice_sums_without_room_for_the_largest_weight_are_refused() -> None:
    protocol = SeedSum(adversary=MALICIOUS, pads=PadKind.LATTICE)
    session = replace(weighted().session, modulus=2**50)
    protocol.validate(replace(session, weights=(1, 2)))
    with pytest.raises(ParameterError, match="Lower the bound, the weights or the number of clients"):
        protocol.validate(replace(session, weights=(1, 2**16)))


def test_lattice_keys_whose_weighted_sum_no_product_is_exact_for_are_refused() -> None:
    protocol = SeedSum(pads=PadKind.LATTICE, value_bits=1)
    session = replace(
        seed_scenario(adversary=CURIOUS, pads=PadKind.LATTICE).session, clients=tuple(range(2**10)), modulus=2**27
    )
    protocol.validate(replace(session, weights=(1, 2)))
    with pytest.raises(ParameterError, match="sums of keys can be multiplied exactly"):
        protocol.validate(replace(session, weights=(1, 2**16)))


def test_weights_are_in_the_digest() -> None:
    scenario = weighted()
    digests = {
        scenario.protocol.digest(replace(scenario.session, weights=weights, batches=batches))
        for weights in ((1,), (1, 4), (4,), (1, 4, 8))
        for batches in (False, True)
    }
    assert len(digests) == 8


def test_proposal_states_the_weights() -> None:
    run = ProtocolRun(weighted())
    run.server.weigh(STALE)
    run.to_step(AGREE)
    assert isinstance(run.progress, Continue)
    assert run.server._party.state.weights == tuple(STALE.get(client, 1) for client in sorted(SIX))
