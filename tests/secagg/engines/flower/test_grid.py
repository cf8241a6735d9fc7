"""The smallest use on Flower, from the strategy to the app and back, and what the grid refuses."""

import pytest

pytest.importorskip("flwr")

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from protocols import OneShot, SecAgg
from secagg.engines.flower import SecureGrid
from secagg.engines.flower.mod import HOME
from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg.engines.wire.claim import Query
from secagg.engines.wire.parcel import open_reply
from secagg.errors import ConfigurationError, CoordinatorError
from secagg.storage.roster_file import ROSTER_NAME
from tests.support.flower_federation import FIRST_NODE, WEIGHTS, FlowerFederation
from tests.support.flower_grid import GridDouble, Node, SimulatedClock

pytestmark = pytest.mark.slow

CLIENTS = 5
PLAN = averaging(SecAgg, clip_l2=1.0, adversarial=0.0, dropout=0.4)
LOSS = 0.123456789


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FlowerFederation:
    return FlowerFederation(folder=tmp_path_factory.mktemp("template"), clients=CLIENTS)


@pytest.fixture
def federation(tmp_path: Path, template: FlowerFederation) -> FlowerFederation:
    return FlowerFederation(folder=tmp_path, clients=CLIENTS, template=template)


@pytest.fixture
def coordinator(federation: FlowerFederation) -> Iterator[Coordinator]:
    with Coordinator(federation.coordinator_folder, PLAN) as opened:
        yield opened


def initial() -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in WEIGHTS.items()})


def secure_grid(grid: GridDouble, coordinator: Coordinator, strategy: flower.Strategy, **settings: Any) -> SecureGrid:
    clock = SimulatedClock()
    return SecureGrid(
        grid,
        strategy=strategy,
        coordinator=coordinator,
        deadline=10.0,
        clock=clock,
        sleep=clock.sleep,
        **settings,
    )


def fed_avg(**settings: Any) -> flower.FedAvg:
    return flower.FedAvg(**{"fraction_evaluate": 0.0, "min_available_nodes": CLIENTS} | settings)


def moved(federation: FlowerFederation, clients: Sequence[int], *, rounds: int = 1) -> dict[str, Any]:
    return {name: array + rounds * federation.mean_step(name, tuple(clients)) for name, array in WEIGHTS.items()}


def is_query(message: Message) -> bool:
    return Query.of(unwrap(message) or b"") is not None


def assert_arrays(found: ArrayRecord, expected: dict[str, Any], *, atol: float = 1e-4) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name].numpy(), array, atol=atol)


def test_fed_avg_unmodified_moves_by_the_mean_of_the_updates(
    federation: FlowerFederation, coordinator: Coordinator
) -> None:
    strategy, grid = fed_avg(), federation.grid()
    secure = secure_grid(grid, coordinator, strategy)
    result = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=2)
    assert_arrays(result.arrays, moved(federation, range(CLIENTS), rounds=2))
    assert sorted(federation.asked) == sorted([(client, "train") for client in range(CLIENTS)] * 2)
    assert result.evaluate_metrics_clientapp == {}
    assert all(dict(metrics) == {} for metrics in result.train_metrics_clientapp.values())


def test_one_shot_with_members_among_the_nodes_takes_two_messages_a_round(tmp_path: Path) -> None:
    members = (0, 2, 3)
    federation = FlowerFederation(folder=tmp_path, clients=4, protocol="oneshot", members=members)
    plan = averaging(OneShot, clip_l2=1.0, adversarial=0.0, dropout=0.25)
    strategy, grid = fed_avg(min_available_nodes=4), federation.grid()
    with Coordinator(federation.coordinator_folder, plan, members=members) as coordinator:
        secure = secure_grid(grid, coordinator, strategy)
        result = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=1)
    assert_arrays(result.arrays, moved(federation, range(4)))
    asked = [message.metadata.dst_node_id for message in grid.sent if not is_query(message)]
    assert {node: asked.count(node) for node in asked} == {
        FIRST_NODE + client: 1 + (client in members) for client in range(4)
    }


def test_against_a_malicious_server_nodes_use_the_roster_of_their_homes(
    tmp_path: Path, template: FlowerFederation
) -> None:
    policy = {"adversary": "malicious"}
    federation = FlowerFederation(folder=tmp_path, clients=CLIENTS, template=template, policy=policy)
    strategy = fed_avg()
    plan = averaging(SecAgg, clip_l2=1.0, adversarial=0.0, dropout=0.2, adversary="malicious")
    with Coordinator(federation.coordinator_folder, plan) as coordinator:
        secure = secure_grid(federation.grid(), coordinator, strategy)
        result = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=1)
    assert_arrays(result.arrays, moved(federation, range(CLIENTS)))


def test_nodes_that_accept_no_curious_protocol_let_no_round_happen(
    tmp_path: Path, template: FlowerFederation, caplog: pytest.LogCaptureFixture
) -> None:
    policy = {"adversary": "malicious"}
    federation = FlowerFederation(folder=tmp_path, clients=CLIENTS, template=template, policy=policy)
    strategy = fed_avg()
    with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
        secure = secure_grid(federation.grid(), coordinator, strategy)
        result = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=1)
    assert len(result.arrays) == 0
    assert federation.asked == []
    assert "round 1 released nothing" in caplog.text


@pytest.mark.parametrize(
    "strategy",
    [
        flower.FedProx(fraction_evaluate=0.0, min_available_nodes=CLIENTS, proximal_mu=0.5),
        flower.FedAvgM(fraction_evaluate=0.0, min_available_nodes=CLIENTS, server_momentum=0.9),
        flower.FedAdam(fraction_evaluate=0.0, min_available_nodes=CLIENTS),
        flower.FedYogi(fraction_evaluate=0.0, min_available_nodes=CLIENTS),
        flower.FedAdagrad(fraction_evaluate=0.0, min_available_nodes=CLIENTS),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_strategy_moves_as_on_one_plain_reply_with_the_mean(
    strategy: flower.FedAvg, federation: FlowerFederation, coordinator: Coordinator
) -> None:
    """Against the same strategy on a grid whose nodes all reply in the clear."""

    class Plain(GridDouble):  # type: ignore[misc, unused-ignore]
        def get_node_ids(self) -> list[int]:
            return [FIRST_NODE + client for client in range(CLIENTS)]

        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            sent = list(messages)
            if not sent:
                return []
            arrays = {
                name: Array(array.astype(np.float32)) for name, array in moved(federation, range(CLIENTS)).items()
            }
            content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})})
            return [Message(content, reply_to=message) for message in sent]

    plain = type(strategy)(
        **{
            name: value
            for name, value in vars(strategy).items()
            if name in ("fraction_evaluate", "min_available_nodes", "proximal_mu", "server_momentum")
        }
    )
    secure = secure_grid(federation.grid(), coordinator, strategy)
    found = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=1)
    expected = plain.start(grid=Plain({}), initial_arrays=initial(), num_rounds=1)
    # Adam and its kin divide by the root of the squares: a difference of 1e-6 in a step of 1e-3 is one of 1e-3 there.
    assert_arrays(found.arrays, {name: array.numpy() for name, array in expected.arrays.items()}, atol=5e-3)


def test_a_silent_node_drops_out_and_the_mean_is_of_the_others(
    federation: FlowerFederation, coordinator: Coordinator
) -> None:
    grid, strategy = federation.grid(), fed_avg()
    nodes, spoken = dict(grid.nodes), []

    def once(message: Message) -> Message | None:
        spoken.append(message)
        return nodes[FIRST_NODE](message) if len(spoken) == 1 else None

    grid.nodes[FIRST_NODE] = once
    result = strategy.start(grid=secure_grid(grid, coordinator, strategy), initial_arrays=initial(), num_rounds=1)
    assert_arrays(result.arrays, moved(federation, range(1, CLIENTS)))


def test_a_round_with_too_few_nodes_leaves_the_model_as_it_is(
    federation: FlowerFederation, coordinator: Coordinator, caplog: pytest.LogCaptureFixture
) -> None:
    grid, strategy = federation.grid(), fed_avg()
    nodes, spoken = dict(grid.nodes), dict.fromkeys(grid.nodes, 0)

    def silent_at_first(message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        spoken[node] += 1
        return None if spoken[node] == 2 else nodes[node](message)

    for client in range(3):
        grid.nodes[FIRST_NODE + client] = silent_at_first
    result = strategy.start(grid=secure_grid(grid, coordinator, strategy), initial_arrays=initial(), num_rounds=2)
    assert_arrays(result.arrays, moved(federation, range(CLIENTS)))
    assert "round 1 released nothing" in caplog.text


def test_a_round_that_no_node_can_be_asked_for_leaves_the_model_as_it_is(
    federation: FlowerFederation, coordinator: Coordinator, caplog: pytest.LogCaptureFixture
) -> None:
    """All nodes answer the first query, and fall silent: they are left out of the second round."""
    grid, strategy = federation.grid(), fed_avg()
    nodes, spoken = dict(grid.nodes), set[int]()

    def speaks_once(message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        if node in spoken:
            return None
        spoken.add(node)
        return nodes[node](message)

    for node in nodes:
        grid.nodes[node] = speaks_once
    result = strategy.start(grid=secure_grid(grid, coordinator, strategy), initial_arrays=initial(), num_rounds=2)
    assert (
        "round 2 released nothing: nothing is released: expected enough clients for a session, found 0" in caplog.text
    )
    assert not result.arrays  # No round has changed them, so Flower returns none.


def test_nothing_of_a_node_is_in_what_the_server_receives_but_its_parcels(
    federation: FlowerFederation, coordinator: Coordinator
) -> None:
    """The app tells a loss and its number of examples, as apps of Flower do; the server sees neither."""
    replies: list[Message] = []
    grid, strategy = federation.grid(), fed_avg()
    for node, answer in list(grid.nodes.items()):

        def noted(message: Message, answer: Any = answer) -> Message:
            reply: Message = answer(message)
            replies.append(reply)
            return reply

        grid.nodes[node] = noted
    strategy.start(grid=secure_grid(grid, coordinator, strategy), initial_arrays=initial(), num_rounds=1)
    assert len(replies) == CLIENTS * (1 + 4)
    for number, reply in enumerate(replies):
        data = unwrap(reply)
        assert data is not None
        assert np.float64(LOSS).tobytes() not in data
        if number < CLIENTS:  # The claims: an id and a signature.
            assert len(data) == 4 + 64
        else:
            assert open_reply(data, 10**6).refusal is None


def test_a_second_start_takes_kept_releases_and_trains_nothing(federation: FlowerFederation) -> None:
    """As after a crash of the ServerApp: the rounds that were released come out again, without training."""
    results = []
    for _ in range(2):
        with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
            strategy = fed_avg()
            secure = secure_grid(federation.grid(), coordinator, strategy)
            results.append(strategy.start(grid=secure, initial_arrays=initial(), num_rounds=2).arrays)
        assert len(federation.asked) == 2 * CLIENTS
    for name in WEIGHTS:
        np.testing.assert_array_equal(results[0][name].numpy(), results[1][name].numpy())


def test_a_start_from_a_checkpoint_goes_on_with_its_rounds(federation: FlowerFederation) -> None:
    """The server ended after the release of round 2 and before its checkpoint: the model moves by that release once."""
    saved: list[ArrayRecord] = []

    def start(arrays: ArrayRecord, rounds: int, *, done: int) -> ArrayRecord:
        with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
            strategy = fed_avg()
            secure = secure_grid(federation.grid(), coordinator, strategy, done=done)
            result = strategy.start(
                grid=secure,
                initial_arrays=arrays,
                num_rounds=rounds,
                evaluate_fn=lambda _, evaluated: saved.append(evaluated),
            )
        return result.arrays

    start(initial(), 2, done=0)
    model = start(saved[1], 2, done=1)
    assert len(federation.asked) == 3 * CLIENTS
    assert_arrays(model, moved(federation, range(CLIENTS), rounds=3))
    names = sorted(path.name for path in federation.coordinator_folder.glob("release-*"))
    assert [name.split("-")[2] for name in names] == ["0000000001", "0000000002", "0000000003"]


def test_releases_are_kept_until_the_checkpoint_is_past_them(federation: FlowerFederation) -> None:
    def kept() -> list[int]:
        return sorted(int(path.name.split("-")[2]) for path in federation.coordinator_folder.glob("release-*"))

    found = {}
    with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
        strategy = fed_avg()

        def evaluate(number: int, _: ArrayRecord) -> None:
            if number >= 3:
                coordinator.forget(number)
            found[number] = kept()

        secure = secure_grid(federation.grid(), coordinator, strategy)
        strategy.start(grid=secure, initial_arrays=initial(), num_rounds=4, evaluate_fn=evaluate)
        secure_grid(federation.grid(), coordinator, strategy, done=1)
    assert found == {0: [], 1: [1], 2: [1, 2], 3: [2, 3], 4: [3, 4]}
    with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
        secure_grid(federation.grid(), coordinator, fed_avg(), done=4)
    assert kept() == [3, 4]


@pytest.mark.parametrize("done", [-1, 1.0, True])
def test_grid_needs_a_number_of_rounds(coordinator: Coordinator, done: Any) -> None:
    with pytest.raises(ConfigurationError, match="done"):
        secure_grid(GridDouble({}), coordinator, fed_avg(), done=done)


def test_a_silent_node_costs_one_deadline_and_is_back_when_it_answers(federation: FlowerFederation) -> None:
    """Round 1 waits for it, rounds 2 and 3 do not ask it, and in round 4 it has answered the query of round 2."""
    clock, times, cohorts = SimulatedClock(), [], []
    nodes, spoken = federation.nodes(), []

    def once_silent(message: Message) -> Message | None:
        spoken.append(message)
        return None if len(spoken) == 2 else nodes[FIRST_NODE](message)

    grid = GridDouble(nodes | {FIRST_NODE: once_silent}, clock=clock)
    with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
        strategy = fed_avg()
        secure = SecureGrid(
            grid, strategy=strategy, coordinator=coordinator, deadline=10.0, clock=clock, sleep=clock.sleep
        )

        def evaluate(number: int, _: ArrayRecord) -> None:
            times.append(clock.now)
            cohorts.append(len(federation.asked))
            grid.delays[FIRST_NODE] = 5.0 if number == 1 else 0.0
            if number == 3:
                clock.sleep(5.0)

        strategy.start(grid=secure, initial_arrays=initial(), num_rounds=4, evaluate_fn=evaluate)
    assert times == [0.0, 10.0, 10.0, 10.0, 15.0]
    assert [after - before for before, after in itertools.pairwise(cohorts)] == [4, 4, 4, 5]


def test_after_a_round_that_released_nothing_the_next_waits_for_all(
    federation: FlowerFederation, coordinator: Coordinator
) -> None:
    clock, nodes, spoken = SimulatedClock(), federation.nodes(), dict.fromkeys(range(CLIENTS), 0)

    def silent_once(client: int) -> Node:
        def answer(message: Message) -> Message | None:
            spoken[client] += 1
            return None if spoken[client] == 2 else nodes[FIRST_NODE + client](message)

        return answer

    grid = GridDouble({FIRST_NODE + client: silent_once(client) for client in range(CLIENTS)}, clock=clock)
    strategy = fed_avg()
    secure = SecureGrid(grid, strategy=strategy, coordinator=coordinator, deadline=10.0, clock=clock, sleep=clock.sleep)

    def evaluate(number: int, _: ArrayRecord | None) -> None:
        grid.delays = dict.fromkeys(nodes, 4.0)

    result = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=2, evaluate_fn=evaluate)
    assert_arrays(result.arrays, moved(federation, range(CLIENTS)))


def test_the_cohort_is_what_the_strategy_has_sampled(federation: FlowerFederation, coordinator: Coordinator) -> None:
    strategy, grid = fed_avg(fraction_train=0.8), federation.grid()
    result = strategy.start(grid=secure_grid(grid, coordinator, strategy), initial_arrays=initial(), num_rounds=1)
    clients = [client for client, _ in federation.asked]
    assert len(clients) == 4
    assert_arrays(result.arrays, moved(federation, clients))


def test_federated_evaluation_is_refused_with_its_remedy(
    federation: FlowerFederation, coordinator: Coordinator
) -> None:
    strategy = flower.FedAvg(min_available_nodes=CLIENTS)
    secure = secure_grid(federation.grid(), coordinator, strategy)
    with pytest.raises(ConfigurationError, match=r"fraction_evaluate=0\.0"):
        strategy.start(grid=secure, initial_arrays=initial(), num_rounds=1)
    assert {kind for _, kind in federation.asked} == {"train"}


def test_evaluation_passes_if_the_server_and_the_nodes_say_so(tmp_path: Path, template: FlowerFederation) -> None:
    policy = {"plain_messages": ["evaluate"]}
    federation = FlowerFederation(folder=tmp_path, clients=CLIENTS, template=template, policy=policy)
    strategy = flower.FedAvg(min_available_nodes=CLIENTS)
    with Coordinator(federation.coordinator_folder, PLAN) as coordinator:
        secure = secure_grid(federation.grid(), coordinator, strategy, passing=("evaluate",))
        result = strategy.start(grid=secure, initial_arrays=initial(), num_rounds=1)
    assert result.evaluate_metrics_clientapp[1]["loss"] == pytest.approx(LOSS)


@pytest.mark.parametrize("kind", ["evaluate", "query", "train.other"])
def test_grid_refuses_messages_of_other_types_however_they_are_sent(
    kind: str, federation: FlowerFederation, coordinator: Coordinator
) -> None:
    grid = federation.grid()
    secure = secure_grid(grid, coordinator, fed_avg())
    messages = [secure.create_message(wrap(b"p"), kind, node, "") for node in secure.get_node_ids()]
    for call in (secure.send_and_receive, secure.push_messages):
        with pytest.raises(ConfigurationError, match=f"found also or only '{kind}'"):
            call(messages)
    mixed = [secure.create_message(wrap(b"p"), "train", FIRST_NODE, ""), *messages]
    with pytest.raises(ConfigurationError, match=f"found also or only '{kind}', 'train'|'train', '{kind}'"):
        secure.send_and_receive(mixed)
    with pytest.raises(ConfigurationError, match="'train'"):
        secure.push_messages(mixed[:1])
    assert grid.sent == grid.passed == []


def test_grid_hands_on_what_is_no_message(federation: FlowerFederation, coordinator: Coordinator) -> None:
    grid = federation.grid()
    secure = secure_grid(grid, coordinator, fed_avg())
    assert secure.run == "the run"
    assert secure.get_node_ids() == list(grid.nodes)
    assert [node.node_id for node in secure.get_nodes()] == list(grid.nodes)
    assert secure.send_and_receive([]) == []
    assert secure.pull_messages(["1"]) == []


def test_grid_refuses_a_strategy_that_compares_replies(coordinator: Coordinator) -> None:
    with pytest.raises(ConfigurationError, match="found Krum"):
        secure_grid(GridDouble({}), coordinator, flower.Krum())


def test_grid_never_lets_train_messages_pass(coordinator: Coordinator) -> None:
    with pytest.raises(ConfigurationError, match="Updates are summed up, never passed"):
        secure_grid(GridDouble({}), coordinator, fed_avg(), passing=("evaluate", "train"))


@pytest.mark.parametrize("deadline", [0, -1.0, float("nan"), "1"])
def test_grid_needs_a_deadline(coordinator: Coordinator, deadline: Any) -> None:
    with pytest.raises(ConfigurationError, match="deadline"):
        SecureGrid(GridDouble({}), strategy=fed_avg(), coordinator=coordinator, deadline=deadline)


def test_a_node_that_claims_to_be_another_is_left_out_with_it(
    federation: FlowerFederation, coordinator: Coordinator
) -> None:
    """Two nodes with copies of one home: neither is asked, and the mean is of the others."""
    grid, strategy = federation.grid(), fed_avg()
    copied = federation.context(4, {HOME: str(federation.home(3))})
    grid.nodes[FIRST_NODE + 4] = lambda message: federation.app(3)(message, copied)
    result = strategy.start(grid=secure_grid(grid, coordinator, strategy), initial_arrays=initial(), num_rounds=1)
    assert_arrays(result.arrays, moved(federation, range(3)))


def test_grid_needs_the_roster_of_the_coordinator(federation: FlowerFederation) -> None:
    (federation.coordinator_folder / ROSTER_NAME).unlink()
    with (
        Coordinator(federation.coordinator_folder, PLAN) as without_roster,
        pytest.raises(CoordinatorError, match="expected the roster"),
    ):
        secure_grid(federation.grid(), without_roster, fed_avg())
