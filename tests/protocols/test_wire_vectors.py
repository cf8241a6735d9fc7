"""The wire format of every protocol, byte for byte, against tests/vectors/<protocol>/v<wire version>.json."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest

from protocols import Continue, Finish, RemoteError, Server, available, errors
from tests.vectors import make_wire, wire_cases
from tests.vectors.wire_boxes import recorded_boxes, remember
from tests.vectors.wire_cases import Case
from tests.vectors.wire_parties import (
    SNAPSHOT_KEY,
    Entropy,
    protocol_of,
    restored_party,
    restored_server,
    server_of,
    session_of,
)
from tests.vectors.wire_sessions import (
    SERVER,
    Step,
    names_of,
    opened_snapshot,
    recorded_steps,
    replayed_party,
    replayed_server,
)
from tests.vectors.wire_twins import read_twin

pytestmark = pytest.mark.slow

PROTOCOLS: Final = sorted(wire_cases.CASES)
CASES: Final[dict[str, Case]] = {
    case["name"]: case
    for protocol in PROTOCOLS
    for case in json.loads(make_wire.path_of(protocol).read_text())["cases"]
}


for _case in CASES.values():
    remember(_case)


@pytest.fixture(autouse=True)
def _boxes_as_recorded() -> Iterator[None]:
    with recorded_boxes():
        yield


@cache
def steps_of(name: str) -> list[Step]:
    return recorded_steps(CASES[name])


def number_of(name: str, step: str) -> int:
    return [each.name for each in steps_of(name)].index(step)


def snapshots(*, server: bool) -> Iterator[Any]:
    for name, case in CASES.items():
        for kept in case["snapshots"]:
            if (kept["party"] == "server") is server:
                yield pytest.param(name, kept, id=f"{name}-{kept['step']}")


def bad_twins() -> Iterator[Any]:
    for name, case in CASES.items():
        for twin in case["bad"]:
            yield pytest.param(name, twin, id=twin["name"])


def finishes_as_recorded(name: str, server: Server, number: int, received: frozenset[int] = frozenset()) -> None:
    """That a server in a step, which has some of its replies, asks what is recorded from there on, and sums."""
    case, steps = CASES[name], steps_of(name)
    for at in range(number, len(steps)):
        for party, reply in steps[at].replies.items():
            if at != number or party not in received:
                server.receive(party, reply)
        turn = server.advance()
        if at + 1 < len(steps):
            assert isinstance(turn, Continue)
            assert (turn.step, dict(turn.requests)) == (steps[at + 1].name, dict(steps[at + 1].requests))
    assert isinstance(turn, Finish)
    assert list(turn.contributors) == case["contributors"]
    assert turn.total.tolist() == case["total"]
    opened = {client: [each and each.reveal().hex() for each in secrets] for client, secrets in turn.attached.items()}
    assert opened == {int(client): secrets for client, secrets in case["opened"].items()}


def test_every_registered_protocol_has_vectors() -> None:
    assert sorted(available()) == PROTOCOLS


@pytest.mark.parametrize("name", CASES)
def test_parties_reply_byte_for_byte(name: str) -> None:
    case, steps = CASES[name], steps_of(name)
    assert protocol_of(case).digest(session_of(case)).hex() == case["digest"]
    for party in {party for step in steps for party in step.replies}:
        replayed_party(case, steps, party)


@pytest.mark.parametrize("name", CASES)
def test_server_asks_byte_for_byte_and_sums(name: str) -> None:
    case, steps = CASES[name], steps_of(name)
    server = server_of(case)
    first = server.start()
    assert (first.step, dict(first.requests)) == (steps[0].name, dict(steps[0].requests))
    finishes_as_recorded(name, server, 0)
    columns = zip(*(case["inputs"][str(client)] for client in case["contributors"]), strict=True)
    assert case["total"] == [sum(column) % case["modulus"] for column in columns]


@pytest.mark.parametrize(("name", "kept"), snapshots(server=False))
def test_party_goes_on_from_its_recorded_snapshot(name: str, kept: dict[str, Any]) -> None:
    case, steps, party = CASES[name], steps_of(name), kept["party"]
    number, data = number_of(name, kept["step"]), bytes.fromhex(kept["data"])
    machine, entropy = replayed_party(case, steps[:number], party)
    assert entropy.drawn == kept["draws"]
    assert machine.snapshot(SNAPSHOT_KEY) == data
    restored = restored_party(case, party, data, drawn=kept["draws"], answered=kept["answered"])
    for step in steps[number:]:
        if party in step.replies:
            assert restored.handle(step.requests[party]) == step.replies[party]


@pytest.mark.parametrize(("name", "kept"), snapshots(server=True))
def test_server_goes_on_from_its_recorded_snapshot(name: str, kept: dict[str, Any]) -> None:
    case, steps = CASES[name], steps_of(name)
    number, data = number_of(name, kept["step"]), bytes.fromhex(kept["data"])
    server = replayed_server(case, steps[:number])
    for party in kept["received"]:
        server.receive(party, steps[number].replies[party])
    again = server.snapshot(SNAPSHOT_KEY, entropy=Entropy(case, SERVER))
    assert opened_snapshot(case, again) == opened_snapshot(case, data)
    finishes_as_recorded(name, restored_server(case, data), number, frozenset(kept["received"]))


NOT_SIGNED: Final = frozenset(
    (
        "advertise_keys_replies_low_order_key",
        "advertise_keys_replies_other_signature",
        "confirm_survivors_replies_no_signature",
        "confirm_survivors_replies_other_signature",
        "encrypt_input_replies_of_another_client",
        "encrypt_input_replies_other_ciphertext",
        "encrypt_input_replies_other_padded",
        "encrypt_input_replies_other_proof",
        "encrypt_input_replies_other_signature",
        "encrypt_input_replies_signed_by_another",
        "open_sum_requests_exchanged",
        "open_sum_requests_one_twice",
        "open_sum_requests_other_ciphertext",
        "open_sum_requests_other_client",
        "open_sum_requests_other_hash",
        "open_sum_requests_other_proof",
        "open_sum_requests_other_signature",
        "reveal_shares_requests_forged_confirmation",
        "share_keys_replies_other_commitment",
        "share_keys_replies_other_share",
    )
)
"""The bad messages whose signature does not fit, in sessions against a malicious server."""


def error_of(twin: dict[str, Any]) -> type[RemoteError]:
    """Return the class of the error with which a bad message has to be refused.

    The vectors call a message that its sender has not signed a `RemoteError`. It is a `NotSigned`, which is one.
    """
    error: type[RemoteError] = getattr(errors, twin["error"])
    case, _, kind = twin["name"].partition("_bad_")
    return errors.NotSigned if error is RemoteError and "malicious" in case and kind in NOT_SIGNED else error


@pytest.mark.parametrize(("name", "twin"), bad_twins())
def test_bad_twin_is_refused_in_its_step(name: str, twin: dict[str, Any]) -> None:
    case, steps, party = CASES[name], steps_of(name), twin["party"]
    number, error = number_of(name, twin["step"]), error_of(twin)
    honest = getattr(steps[number], twin["direction"])[party]
    bad = read_twin(twin, honest)
    assert issubclass(error, RemoteError)
    if twin["direction"] == "requests":
        machine = replayed_party(case, steps[:number], party).machine
        with pytest.raises(RemoteError) as refused:
            machine.handle(bad)
        assert (type(refused.value), twin["refused_by"], twin["refused_at"]) == (error, f"party {party}", "handle")
        assert machine.closed
        return
    server = replayed_server(case, steps[:number])
    assert server.step == twin["step"]
    if twin["refused_at"] == "advance":
        for sender, reply in (steps[number].replies | {party: bad}).items():
            server.receive(sender, reply)
    with pytest.raises(RemoteError) as refused:
        server.advance() if twin["refused_at"] == "advance" else server.receive(party, bad)
    assert (type(refused.value), twin["refused_by"]) == (error, "server")
    assert refused.value.culprits == {party}
    if twin["refused_at"] == "receive":
        server.receive(party, honest)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_vectors_are_what_the_script_makes(protocol: str) -> None:
    """Server snapshots are compared opened: sets of byte strings have another order in each process."""
    texts = make_wire.path_of(protocol).read_text(), make_wire.document(protocol)
    found, made = (json.loads(text) for text in texts)
    assert json.dumps(found, indent=1) + "\n" == texts[0]
    for case in (*found["cases"], *made["cases"]):
        for kept in case["snapshots"]:
            if kept["party"] == "server":
                kept["data"] = opened_snapshot(case, bytes.fromhex(kept["data"]))
    assert found == made


@pytest.mark.parametrize("name", CASES)
def test_every_step_has_bad_twins_in_both_directions(name: str) -> None:
    covered = {(twin["step"], twin["direction"]) for twin in CASES[name]["bad"]}
    assert covered == {(step.name, side) for step in steps_of(name) for side in ("requests", "replies")}


@pytest.mark.parametrize("name", CASES)
def test_every_step_has_a_snapshot_of_a_party_and_of_the_server(name: str) -> None:
    kept = [(each["step"], each["party"] == "server") for each in CASES[name]["snapshots"]]
    assert kept == [(step, server) for step in names_of(steps_of(name)) for server in (False, True)]


def test_no_twin_is_the_message_that_it_spoils() -> None:
    for name, case in CASES.items():
        for twin in case["bad"]:
            honest = getattr(steps_of(name)[number_of(name, twin["step"])], twin["direction"])[twin["party"]]
            assert read_twin(twin, honest) != honest, twin["name"]


def test_names_of_twins_are_distinct() -> None:
    names = [twin["name"] for case in CASES.values() for twin in case["bad"]]
    assert len(set(names)) == len(names)


def test_origins_of_all_vector_files_are_documented() -> None:
    readme = (make_wire.FOLDER / "README.md").read_text()
    for path in make_wire.FOLDER.rglob("*.json"):
        name = path.relative_to(make_wire.FOLDER)
        origin = make_wire.FOLDER / name.parts[0] / "README.md"
        assert name.as_posix() in readme or (origin.exists() and f"{name.parts[0]}/README.md" in readme)
