"""The wire format of pairwise masking, byte for byte, against tests/vectors/pairwise_wire.json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from protocols import Finish, Server, errors
from protocols.errors import RemoteError
from tests.vectors import make_pairwise_wire as maker

PATH: Final = Path(__file__).parents[2] / "vectors" / "pairwise_wire.json"
CASES: Final[list[dict[str, Any]]] = json.loads(PATH.read_text())["cases"]


def bad_twins() -> Iterator[Any]:
    for case in CASES:
        for twin in case["bad"]:
            yield pytest.param(case, twin, id=twin["name"])


def by_client(sent: dict[str, str]) -> dict[int, bytes]:
    return {int(client): bytes.fromhex(data) for client, data in sent.items()}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_clients_reply_byte_for_byte(case: dict[str, Any]) -> None:
    assert maker.protocol_of(case).digest(maker.session_of(case)).hex() == case["digest"]
    for client in case["clients"]:
        machine = maker.client_of(case, client)
        for row in case["rounds"]:
            request, reply = (by_client(row[side]).get(client) for side in ("requests", "replies"))
            if request is None or reply is None:
                break
            assert machine.handle(request) == reply


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_server_asks_byte_for_byte_and_sums(case: dict[str, Any]) -> None:
    server = Server(maker.protocol_of(case), maker.session_of(case))
    step: object = server.start()
    for row in case["rounds"]:
        assert getattr(step, "step", None) == row["round"]
        assert dict(getattr(step, "requests", {})) == by_client(row["requests"])
        for client, reply in by_client(row["replies"]).items():
            server.receive(client, reply)
        step = server.advance()
    assert isinstance(step, Finish)
    assert list(step.contributors) == case["contributors"]
    assert step.total.tolist() == case["total"]
    opened = {client: [each and each.reveal().hex() for each in secrets] for client, secrets in step.attached.items()}
    assert opened == {int(client): secrets for client, secrets in case["opened"].items()}
    columns = zip(*(case["inputs"][str(client)] for client in case["contributors"]), strict=True)
    assert case["total"] == [sum(column) % case["modulus"] for column in columns]


@pytest.mark.parametrize(("case", "twin"), bad_twins())
def test_bad_twin_is_refused_in_its_round(case: dict[str, Any], twin: dict[str, Any]) -> None:
    rows, client = case["rounds"], twin["client"]
    number = [row["round"] for row in rows].index(twin["round"])
    data, error = bytes.fromhex(twin["data"]), getattr(errors, twin["error"])
    assert issubclass(error, RemoteError)
    if twin["direction"] == "requests":
        machine = maker.client_of(case, client)
        for row in rows[:number]:
            assert machine.handle(by_client(row["requests"])[client]) == by_client(row["replies"])[client]
        with pytest.raises(RemoteError) as refused:
            machine.handle(data)
        assert type(refused.value) is error
        assert machine.closed
        return
    server = Server(maker.protocol_of(case), maker.session_of(case))
    server.start()
    for row in rows[:number]:
        for sender, reply in by_client(row["replies"]).items():
            server.receive(sender, reply)
        server.advance()
    with pytest.raises(RemoteError) as refused:
        server.receive(client, data)
    assert type(refused.value) is error
    assert refused.value.culprits == {client}
    server.receive(client, by_client(rows[number]["replies"])[client])


def test_vectors_are_what_the_script_makes() -> None:
    assert PATH.read_text() == maker.document()


def test_every_round_has_bad_twins_in_both_directions() -> None:
    for case in CASES:
        covered = {(twin["round"], twin["direction"]) for twin in case["bad"]}
        assert covered == {(row["round"], side) for row in case["rounds"] for side in ("requests", "replies")}


def test_no_twin_is_the_message_that_it_spoils() -> None:
    for case in CASES:
        rows = {row["round"]: row for row in case["rounds"]}
        for twin in case["bad"]:
            assert twin["data"] != rows[twin["round"]][twin["direction"]][str(twin["client"])], twin["name"]


def test_names_of_twins_are_distinct() -> None:
    names = [twin["name"] for case in CASES for twin in case["bad"]]
    assert len(set(names)) == len(names)
