"""A node's side in Flower: what the mod lets through to the app, and what leaves the node."""

import pytest

pytest.importorskip("flwr")

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from protocols import SecAgg
from protocols.machine import Server
from secagg.aggregation.mean import SecureMean
from secagg.engines.flower.mod import REFUSED, SOCKET, to_update
from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.node.resident import ResidentStation, listening
from secagg.engines.wire.claim import Query
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.engines.wire.parcel import Refusal, Request, open_reply
from secagg.engines.wire.work import Work
from secagg.errors import ModelError
from secagg.storage.roster_file import ROSTER_NAME, RosterFile
from tests.support.flower_federation import FIRST_NODE, WEIGHTS, FlowerFederation, step_of, trained
from tests.support.flower_grid import error_reply, received, set_task

WORK = Work("a run", 1, WEIGHTS, {"lr": 0.1, "server-round": 1})
CLIENTS = 4
SECRET = "patient 4711"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FlowerFederation:
    return FlowerFederation(folder=tmp_path_factory.mktemp("template"), clients=CLIENTS)


@pytest.fixture
def federation(tmp_path: Path, template: FlowerFederation) -> FlowerFederation:
    return made(tmp_path, template)


def made(folder: Path, template: FlowerFederation, **policy: Any) -> FlowerFederation:
    set_task()
    return FlowerFederation(folder=folder, clients=CLIENTS, template=template, policy=policy)


def first_parcel(federation: FlowerFederation, client: int = 1, **changes: Any) -> bytes:
    """Return the parcel that opens a session of SecAgg with all clients."""
    protocol, threshold = SecAgg.suggest(clients=CLIENTS, adversarial=0.0, dropout=0.25)
    mean = SecureMean.plan(
        protocol=protocol,
        clients=range(CLIENTS),
        minimum_contributors=threshold,
        shapes=[array.shape for array in WORK.arrays],
        clip_l2=1.0,
    )
    session = mean.session(fresh_session_id(1, bytes), context=session_context(WORK.digest(), serial=1, trust=None))
    requests = Server(mean.protocol, session).start().requests
    fields: dict[str, Any] = {
        "serial": 1,
        "step": 0,
        "receiver": client,
        "offer": Offer.of(mean, session, 1, WORK.digest()).to_bytes(),
        "work": WORK.to_bytes(),
        "body": requests[client],
    } | changes
    return Request(**fields).seal(federation.coordinator)


def query(node: int = FIRST_NODE + 1) -> bytes:
    """Return the question which client a node of Flower is."""
    return Query.new("a run", node, entropy=os.urandom).to_bytes()


def message(content: RecordDict, kind: str = "train") -> Message:
    return received(Message(content, 1001, kind, ttl=30.0))


def plain(kind: str = "train") -> Message:
    """Return a message as a strategy sends it without us."""
    arrays = ArrayRecord({name: Array(array) for name, array in WEIGHTS.items()})
    return message(RecordDict({"arrays": arrays, "config": ConfigRecord({"lr": 0.1})}), kind)


def answered(federation: FlowerFederation, asked: Message, client: int = 1, *, config: Any = None) -> Message:
    return federation.app(client)(asked, federation.context(client, config))


def test_mod_trains_for_a_parcel_and_sends_nothing_else(federation: FlowerFederation) -> None:
    reply = answered(federation, message(wrap(first_parcel(federation))))
    data = unwrap(reply)
    assert data is not None
    opened = open_reply(data, 10**6)
    assert (opened.refusal, opened.sender, opened.serial) == (None, 1, 1)
    assert federation.asked == [(1, "train")]


def test_mod_gives_the_same_reply_again_without_the_app(federation: FlowerFederation) -> None:
    parcel = first_parcel(federation)
    replies = {unwrap(answered(federation, message(wrap(parcel)))) for _ in range(3)}
    assert len(replies) == 1
    assert None not in replies
    assert federation.asked == [(1, "train")]


def test_mod_lets_the_app_see_arrays_and_settings_as_they_were_sent(federation: FlowerFederation) -> None:
    seen: list[Message] = []

    def train(asked: Message, client: int) -> Message:
        seen.append(asked)
        return trained(asked, client)

    federation.app(1, train)(message(wrap(first_parcel(federation))), federation.context(1))
    (asked,) = seen
    assert dict(asked.content.config_records["config"]) == WORK.settings
    assert {name: array.numpy().tolist() for name, array in asked.content.array_records["arrays"].items()} == {
        name: array.tolist() for name, array in WEIGHTS.items()
    }
    assert (asked.metadata.message_type, asked.metadata.dst_node_id) == ("train", 1001)


@pytest.mark.parametrize("kind", ["train", "evaluate", "query", "train.other"])
def test_mod_refuses_a_plain_message_without_the_app(federation: FlowerFederation, kind: str) -> None:
    app = federation.app(1)
    if kind == "train.other":
        app.train("other")(lambda asked, context: pytest.fail("the app was called"))
    reply = app(plain(kind), federation.context(1))
    assert (reply.error.code, reply.error.reason) == (REFUSED, "refused")
    assert federation.asked == []


@pytest.mark.parametrize("kind", ["evaluate", "query"])
def test_mod_refuses_a_parcel_under_another_type(federation: FlowerFederation, kind: str) -> None:
    """Otherwise the app's other functions would be called to train."""
    assert answered(federation, message(wrap(first_parcel(federation)), kind)).error.code == REFUSED
    assert federation.asked == []


def test_mod_lets_a_type_pass_that_the_policy_names(tmp_path: Path, template: FlowerFederation) -> None:
    federation = made(tmp_path, template, plain_messages=["evaluate"])
    assert answered(federation, plain("evaluate")).content.metric_records["metrics"]["num-examples"] == 11
    assert answered(federation, plain("query")).has_error()
    assert answered(federation, plain("train")).has_error()
    assert federation.asked == [(1, "evaluate")]


def test_mod_never_lets_train_messages_pass(tmp_path: Path, template: FlowerFederation) -> None:
    federation = made(tmp_path, template, plain_messages=["train"])
    assert answered(federation, plain("train")).has_error()
    assert federation.asked == []


def failing(asked: Message, client: int) -> Message:
    raise RuntimeError(SECRET)


def test_mod_says_failed_for_an_app_that_raises(federation: FlowerFederation, caplog: pytest.LogCaptureFixture) -> None:
    reply = federation.app(1, failing)(message(wrap(first_parcel(federation))), federation.context(1))
    data = unwrap(reply)
    assert data is not None
    assert open_reply(data, 10**6).refusal is Refusal.FAILED
    assert SECRET.encode() not in data
    assert SECRET not in caplog.text


def test_mod_sends_no_text_of_an_exception_to_a_message_that_passes(
    tmp_path: Path, template: FlowerFederation, caplog: pytest.LogCaptureFixture
) -> None:
    federation = made(tmp_path, template, plain_messages=["evaluate"])
    reply = federation.app(1, failing)(plain("evaluate"), federation.context(1))
    assert (reply.error.code, reply.error.reason) == (REFUSED, "refused")
    assert "a message was not answered: RuntimeError" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("config", [{"other": 1}, {"secagg-home": ""}, {"secagg-home": "/nowhere"}, {"secagg-home": 5}])
def test_mod_without_a_home_refuses_everything(federation: FlowerFederation, config: dict[str, Any]) -> None:
    for asked in (plain(), plain("evaluate"), message(wrap(query())), message(wrap(first_parcel(federation)))):
        reply = answered(federation, asked, config=config)
        assert (reply.error.code, reply.error.reason) == (REFUSED, "refused")
    assert federation.asked == []


def test_mod_signs_which_client_the_node_is(federation: FlowerFederation) -> None:
    asked = query(FIRST_NODE + 3)
    claim = unwrap(answered(federation, message(wrap(asked)), 3)) or b""
    found = Query.of(asked)
    assert found is not None
    assert found.claimant(claim, RosterFile.read(federation.coordinator_folder / ROSTER_NAME).roster) == 3


@pytest.mark.parametrize("config", [None, {SOCKET: "/nobody/is/asked"}])
def test_mod_signs_no_query_for_another_node(
    federation: FlowerFederation, config: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a node that relays its query could claim the id of the node that answers it."""
    reply = answered(federation, message(wrap(query(FIRST_NODE + 2))), 3, config=config)
    assert reply.error.code == REFUSED
    assert "it is for another node" in caplog.text


def test_mod_passes_on_a_refusal_of_the_station(federation: FlowerFederation) -> None:
    for parcel, code in (
        (b"no parcel", Refusal.MALFORMED),
        (first_parcel(federation, receiver=2), Refusal.NOT_FOR_ME),
        (first_parcel(federation, work=Work("a run", 1, WEIGHTS).to_bytes()), Refusal.OTHER_INPUTS),
    ):
        data = unwrap(answered(federation, message(wrap(parcel))))
        assert data is not None
        assert open_reply(data, 10**6).refusal is code
    assert federation.asked == []


def test_mod_refuses_a_home_that_is_for_a_resident_station(tmp_path: Path, template: FlowerFederation) -> None:
    federation = made(tmp_path, template, code="resident")
    assert answered(federation, message(wrap(query()))).error.code == REFUSED


@pytest.fixture
def station(tmp_path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A resident station, and what it was asked."""
    asked: list[bytes] = []

    def answer(parcel: bytes) -> bytes:
        asked.append(parcel)
        return b"a claim" if Query.of(parcel) else b"a reply"

    with listening(tmp_path / "socket") as listener:
        thread = threading.Thread(target=ResidentStation(answer, limit=100).serve, args=(listener,))
        thread.start()
        yield tmp_path / "socket", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_mod_passes_parcels_on_to_a_resident_station(
    federation: FlowerFederation, station: tuple[Path, list[bytes]]
) -> None:
    path, asked = station
    config = {SOCKET: str(path), "secagg-home": "/not/used"}
    assert unwrap(answered(federation, message(wrap(query())), config=config)) == b"a claim"
    assert unwrap(answered(federation, message(wrap(b"a parcel")), config=config)) == b"a reply"
    assert [Query.of(parcel) is not None for parcel in asked] == [True, False]
    assert asked[1] == b"a parcel"
    assert federation.asked == []


def test_mod_lets_nothing_else_pass_beside_a_resident_station(
    federation: FlowerFederation, station: tuple[Path, list[bytes]]
) -> None:
    path, asked = station
    for kind in ("train", "evaluate", "query"):
        assert answered(federation, plain(kind), config={SOCKET: str(path)}).has_error()
    assert asked == []
    assert federation.asked == []


def test_mod_refuses_while_there_is_no_resident_station(federation: FlowerFederation, tmp_path: Path) -> None:
    reply = answered(federation, message(wrap(b"a parcel")), config={SOCKET: str(tmp_path / "none")})
    assert (reply.error.code, reply.error.reason) == (REFUSED, "refused")


def changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> RecordDict:
    arrays = change({name: array + step_of(1, name) for name, array in WEIGHTS.items()})
    return RecordDict({"arrays": ArrayRecord({name: Array(array) for name, array in arrays.items()})})


def test_to_update_is_the_difference_whatever_the_order_and_the_metrics() -> None:
    content = changed(lambda arrays: dict(reversed(arrays.items())))
    content["metrics"] = MetricRecord({"num-examples": 12, "loss": 0.1})
    set_task()
    update = to_update(message(content), WORK)
    assert update.examples == 12
    for found, name in zip(update.arrays, WORK.names, strict=True):
        np.testing.assert_allclose(found, step_of(1, name), atol=1e-6)


def test_to_update_without_a_number_of_examples_has_none() -> None:
    set_task()
    content = changed(dict)
    content["metrics"] = MetricRecord({"num-examples": 1.5})
    assert to_update(message(content), WORK).examples is None


@pytest.mark.parametrize(
    "content",
    [
        RecordDict({"metrics": MetricRecord({"num-examples": 12})}),
        changed(lambda arrays: {"weight": arrays["weight"]}),
        changed(lambda arrays: arrays | {"more": np.zeros(1)}),
        changed(lambda arrays: arrays | {"bias": np.zeros(5)}),
        changed(lambda arrays: arrays | {"bias": np.zeros((1, 4))}),
    ],
    ids=["no-arrays", "missing", "more", "length", "shape"],
)
def test_to_update_refuses_other_arrays(content: RecordDict) -> None:
    set_task()
    with pytest.raises(ModelError, match="the app's reply"):
        to_update(message(content), WORK)


def test_to_update_refuses_an_error() -> None:
    set_task()
    with pytest.raises(ModelError, match="the app's reply"):
        to_update(error_reply(message(wrap(b"")), 2), WORK)
