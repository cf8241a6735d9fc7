"""The wire format of pairwise masking, byte for byte, against tests/vectors/pairwise_wire.json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from protocols import Client, Finish, RemoteError, Server
from tests.vectors import make_pairwise_wire as maker

PATH: Final = Path(__file__).parent.parent / "vectors" / "pairwise_wire.json"
CASES: Final[list[dict[str, Any]]] = json.loads(PATH.read_text())["cases"]


def bad_twins() -> Iterator[Any]:
    for case in CASES:
        for twin in case["bad"]:
            yield pytest.param(case, twin, id=twin["name"])


def by_client(sent: dict[str, str]) -> dict[int, bytes]:
    return {int(client): bytes.fromhex(data) for client, data in sent.items()}


def fresh_client(case: dict[str, Any], client: int) -> Client:
    vector = case["inputs"][str(client)]
    session = maker.session_of(case)
    return Client(maker.protocol_of(case), session, client, np_vector(vector), entropy=maker.entropy_of(case, client))


def np_vector(vector: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.array(vector, dtype=np.uint64)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_clients_reply_byte_for_byte(case: dict[str, Any]) -> None:
    assert maker.protocol_of(case).digest(maker.session_of(case)).hex() == case["digest"]
    for client in case["clients"]:
        machine = fresh_client(case, client)
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
        assert getattr(step, "round", None) == row["round"]
        assert getattr(step, "requests", None) == by_client(row["requests"])
        for client, reply in by_client(row["replies"]).items():
            server.receive(client, reply)
        step = server.advance()
    assert isinstance(step, Finish)
    assert list(step.contributors) == case["contributors"]
    assert step.total.tolist() == case["total"]
    columns = zip(*(case["inputs"][str(client)] for client in case["contributors"]), strict=True)
    assert case["total"] == [sum(column) % case["modulus"] for column in columns]


@pytest.mark.parametrize(("case", "twin"), bad_twins())
def test_bad_twin_is_refused_in_its_round(case: dict[str, Any], twin: dict[str, Any]) -> None:
    rows = case["rounds"]
    number = [row["round"] for row in rows].index(twin["round"])
    data = bytes.fromhex(twin["data"])
    if twin["direction"] == "requests":
        machine = fresh_client(case, twin["client"])
        for row in rows[:number]:
            machine.handle(by_client(row["requests"])[twin["client"]])
        with pytest.raises(RemoteError):
            machine.handle(data)
        assert machine.closed
        return
    server = Server(maker.protocol_of(case), maker.session_of(case))
    server.start()
    for row in rows[:number]:
        for client, reply in by_client(row["replies"]).items():
            server.receive(client, reply)
        server.advance()
    with pytest.raises(RemoteError) as caught:
        server.receive(twin["client"], data)
    assert caught.value.culprits == {twin["client"]}
    server.receive(twin["client"], by_client(rows[number]["replies"])[twin["client"]])


def test_vectors_are_what_the_script_makes() -> None:
    assert PATH.read_text() == maker.document()


def test_every_round_has_bad_twins_in_both_directions() -> None:
    for case in CASES:
        covered = {(twin["round"], twin["direction"]) for twin in case["bad"]}
        assert covered == {(row["round"], side) for row in case["rounds"] for side in ("requests", "replies")}
