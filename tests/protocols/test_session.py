"""Sessions are validated on construction, field by field."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from protocols import InputError, ParameterError, PlainSum, SecAgg, SecAggPlus, SecureSum, Server, Session


def session(**changes: object) -> Session:
    fields: dict[str, object] = {
        "session_id": bytes(16),
        "clients": (0, 1, 2),
        "threshold": 2,
        "length": 3,
        "modulus": 256,
        "context": b"",
    }
    return Session(**(fields | changes))  # type: ignore[arg-type]  # tests pass what they like


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": bytes(15)},
        {"session_id": bytes(65)},
        {"session_id": "0" * 16},
        {"session_id": bytearray(16)},
        {"session_id": None},
        {"context": "text"},
        {"context": None},
        {"clients": ()},
        {"clients": (1,)},
        {"clients": (1, 1)},
        {"clients": [0, 1, 2]},
        {"clients": {0, 1, 2}},
        {"clients": (0, True, 2)},
        {"clients": (0, 1.0, 2)},
        {"clients": (0, np.int64(1), 2)},
        {"clients": (0, None, 2)},
        {"clients": (-1, 0, 1)},
        {"clients": (0, 1, 2**32 - 1)},
        {"clients": None},
        {"threshold": 0},
        {"threshold": 1},
        {"threshold": -2},
        {"threshold": 4},
        {"threshold": 2.0},
        {"threshold": True},
        {"threshold": float("nan")},
        {"threshold": None},
        {"length": 0},
        {"length": -1},
        {"length": True},
        {"length": 3.0},
        {"length": 2**40 + 1},
        {"length": 2**64},
        {"modulus": 1},
        {"modulus": 0},
        {"modulus": -256},
        {"modulus": 2**64 + 1},
        {"modulus": 2**65},
        {"modulus": 256.0},
        {"modulus": True},
        {"modulus": float("inf")},
        {"modulus": np.uint64(256)},
    ],
)
def test_session_with_an_impossible_field_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ParameterError) as caught:
        session(**changes)
    assert next(iter(changes)).rstrip("s") in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": bytes(64)},
        {"clients": (2**32 - 2, 0)},
        {"threshold": 3},
        {"length": 1},
        {"length": 2**40},
        {"modulus": 2},
        {"modulus": 2**64},
        {"context": b"x" * 1000},
    ],
)
def test_session_at_the_edge_of_what_is_possible_is_taken(changes: dict[str, object]) -> None:
    session(**changes)


def test_session_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        session().threshold = 1  # type: ignore[misc]  # that is the test


def test_checked_input_is_a_copy() -> None:
    vector = np.array([1, 2, 3], dtype=np.uint64)
    checked = session().checked(vector)
    checked[0] = 9
    assert vector[0] == 1


@pytest.mark.parametrize("modulus", [2, 3, 255, 2**32, 2**63, 2**64 - 1, 2**64])
def test_largest_entry_is_one_below_the_modulus(modulus: int) -> None:
    largest = np.full(3, modulus - 1, dtype=np.uint64)
    assert session(modulus=modulus).checked(largest).tolist() == [modulus - 1] * 3
    if modulus < 2**64:
        with pytest.raises(InputError):
            session(modulus=modulus).checked(np.full(3, modulus, dtype=np.uint64))


@pytest.mark.parametrize("modulus", [3, 255, 257, 2**32 - 1, 2**64 - 1])
@pytest.mark.parametrize("protocol", [SecAgg(), SecAggPlus(neighbours=2, share_threshold=2)])
def test_pairwise_masking_refuses_a_modulus_that_is_no_power_of_two(protocol: SecureSum, modulus: int) -> None:
    with pytest.raises(ParameterError, match="power of two"):
        Server(protocol, session(modulus=modulus))
    PlainSum().validate(session(modulus=modulus))


@pytest.mark.parametrize(
    ("neighbours", "share_threshold"),
    [(3, 2), (6, 2), (2**70, 2), (0, 2), (-2, 2), (1, 2), (4, 1), (4, 0), (4, -1), (4, 6), (2, 4), (4, 2**70)],
)
def test_graph_that_does_not_fit_the_session_is_refused(neighbours: int, share_threshold: int) -> None:
    protocol = SecAggPlus(neighbours=neighbours, share_threshold=share_threshold)
    with pytest.raises(ParameterError):
        Server(protocol, session(clients=(0, 1, 2, 3, 4, 5)))


@pytest.mark.parametrize(("neighbours", "share_threshold"), [(2, 2), (2, 3), (4, 2), (4, 5), (5, 6)])
def test_graph_that_fits_the_session_is_taken(neighbours: int, share_threshold: int) -> None:
    SecAggPlus(neighbours=neighbours, share_threshold=share_threshold).validate(session(clients=(0, 1, 2, 3, 4, 5)))


@pytest.mark.parametrize("value", [2.0, True, "2", None, np.int64(2)])
def test_graph_parameters_are_ints(value: object) -> None:
    with pytest.raises(ParameterError):
        SecAggPlus(neighbours=value, share_threshold=2)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ParameterError):
        SecAggPlus(neighbours=2, share_threshold=value)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("clients", "adversarial", "dropout", "threshold"),
    [(2, 0.0, 0.0, 2), (10, 0.0, 0.4, 6), (100, 0.57, 0.42, 58), (100, 0.29, 0.49, 51), (7, 0.6, 0.2, 5)],
)
def test_secagg_suggests_a_majority_above_the_adversarial_clients(
    clients: int, adversarial: float, dropout: float, threshold: int
) -> None:
    assert SecAgg.suggest(clients=clients, adversarial=adversarial, dropout=dropout) == (SecAgg(), threshold)


@pytest.mark.parametrize(("adversarial", "dropout"), [(0.0, 0.5), (0.57, 0.43), (0.9, 0.1)])
def test_secagg_refuses_to_suggest_what_cannot_be_met(adversarial: float, dropout: float) -> None:
    with pytest.raises(ParameterError, match="Lower the dropout fraction to at most"):
        SecAgg.suggest(clients=100, adversarial=adversarial, dropout=dropout)
