import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.errors import BudgetExceeded
from dp.ledger.ledger import Ledger
from protocols import PlainSum, SecAggPlus, Session, Transmission
from protocols.errors import ProtocolError
from protocols.testing import repeatable_entropy
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.weighting import Weighting
from secagg.engines.memory import InMemory, simulate_mean
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, ModelError
from secagg.models.base import Model
from secagg.models.keras import KerasModel
from secagg.models.softmax import SoftmaxRegression
from secagg.models.tensorflow import load_tensorflow
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel, ServerStep
from secagg.training.plain import PlainAveraging, plain_mean
from tests.support.federation import CLASSES, FEATURES, devices, examples, mean_for, updates_of

pytestmark = pytest.mark.slow

TEST = examples(200, 99)
STEP = ServerStep(learning_rate=2.0, momentum=0.5)


def difference(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def private(
    path: Path,
    *,
    epsilon: float = 40.0,
    releases: int = 3,
    dropping: int = 0,
    tap: Callable[[Transmission], None] | None = None,
    model: Model | None = None,
) -> tuple[SecureAveraging, Ledger]:
    federation = devices(model=model)
    mean = mean_for(federation, target=Target(epsilon=epsilon, delta=1e-2, releases=releases, colluding=0))
    ledger = Ledger.create(path / "ledger.sqlite", epsilon=epsilon, delta=1e-2, population=8)
    engine = InMemory(federation, dropping=dropping, tap=tap)
    return SecureAveraging(engine=engine, model=federation.model, test=TEST, mean=mean, ledger=ledger), ledger


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_training_without_noise_is_plain_averaging_at_every_round(weighted: bool, plus: bool) -> None:
    """One step from equal weights, within the stated bound; and both left to themselves, within a few such bounds."""
    federation = devices(12)
    changes: dict[str, Any] = {"protocol": SecAggPlus(neighbours=8, share_threshold=5)} if plus else {}
    if weighted:
        changes |= {"weighting": Weighting.WEIGHTED, "max_weight": 12.0}
    secure = SecureAveraging(
        engine=InMemory(federation, dropping=3),
        model=federation.model,
        test=TEST,
        mean=mean_for(federation, **changes),
        step=STEP,
    )
    cap = 12.0 if weighted else None
    plain, free = (
        PlainAveraging(devices=devices(12), test=TEST, clip_l2=0.5, max_weight=cap, step=STEP) for _ in range(2)
    )
    allowed, sizes = 0.0, set[int]()
    for number in range(1, 9):
        plain.state = copy.deepcopy(secure.state)
        record = secure.round()
        ours = plain.round(secure.contributors)
        free.round(secure.contributors)
        # Half a step in float64 comes on top of the bound: the weights themselves are rounded.
        assert record.rounding_bound is not None
        bound = STEP.learning_rate * record.rounding_bound * (1 + 1e-9)
        assert difference(secure.state.weights, plain.state.weights) <= bound < 1e-3
        assert difference(secure.state.velocity, plain.state.velocity) <= bound
        allowed = 4 * (allowed + bound)
        assert difference(secure.state.weights, free.state.weights) <= allowed
        assert record.round == ours.round == number
        assert record.contributors == len(secure.contributors)
        assert sum(map(len, record.dropped.values())) == 3
        assert record.accuracy == pytest.approx(ours.accuracy, abs=0.01)
        sizes.add(record.contributors)
    assert len(sizes) > 1
    assert difference(secure.state.weights, free.state.weights) < 1e-4
    assert record.accuracy > 0.65


@pytest.mark.tensorflow
def test_training_of_a_keras_model_is_plain_averaging_at_every_round() -> None:
    load_tensorflow()
    keras = pytest.importorskip("tf_keras")

    class Scale(keras.layers.Layer):  # type: ignore[misc,name-defined]  # published without type information
        """One trainable number, a variable of no dimension."""

        def build(self, _: Any) -> None:
            self.factor = self.add_weight(name="factor", shape=(), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    def build() -> Any:
        layers = [keras.Input((FEATURES,)), keras.layers.Dense(4, activation="relu"), Scale()]
        return keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])

    federation = devices(6, model=KerasModel(build, optimizer="adam", learning_rate=0.01, seed=3))
    secure = SecureAveraging(
        engine=InMemory(federation, dropping=1), model=federation.model, test=TEST, mean=mean_for(federation), step=STEP
    )
    plain = PlainAveraging(devices=federation, test=TEST, clip_l2=0.5, step=STEP)
    assert () in [array.shape for array in secure.state.weights]
    before = copy.deepcopy(secure.state.weights)
    for _ in range(3):
        plain.state = copy.deepcopy(secure.state)
        record = secure.round()
        plain.round(secure.contributors)
        assert record.rounding_bound is not None
        assert difference(secure.state.weights, plain.state.weights) <= STEP.learning_rate * record.rounding_bound
    assert difference(secure.state.weights, before) > 0.01


class ObservedSoftmax(SoftmaxRegression):
    """A model that calls a function whenever a client trains."""

    watch: Callable[[], None]

    def fit(self, x: Any, y: Any, *, epochs: int, batch_size: int, seed: int) -> None:
        self.watch()
        super().fit(x, y, epochs=epochs, batch_size=batch_size, seed=seed)


def test_training_reserves_before_a_client_is_asked_and_commits_after(tmp_path: Path) -> None:
    """What the ledger says whenever a client trains or a message crosses the wire, by the tap of the real protocol."""
    seen = list[tuple[str, int, int]]()

    def look(what: str) -> None:
        entries = ledger.entries()
        seen.append((what, len(entries), sum(entry.commitment is not None for entry in entries)))

    model = ObservedSoftmax(FEATURES, CLASSES, learning_rate=0.3, seed=1)
    model.watch = lambda: look("training")
    training, ledger = private(tmp_path, dropping=2, tap=lambda _: look("message"), model=model)
    for number in (1, 2):
        seen.clear()
        record = training.round()
        assert len(seen) > 20
        assert set(seen) == {("training", number, number - 1), ("message", number, number - 1)}
        entry = ledger.entries()[-1]
        assert entry.reservation.label == f"round {number}"
        assert entry.commitment is not None
        assert entry.commitment.contributors == record.contributors
        assert record.epsilon == ledger.spent().epsilon


def test_training_stops_before_a_client_is_asked_where_the_budget_ends(tmp_path: Path) -> None:
    model, messages = ObservedSoftmax(FEATURES, CLASSES, learning_rate=0.3, seed=1), list[Transmission]()
    model.watch = lambda: None
    training, ledger = private(tmp_path, releases=2, tap=messages.append, model=model)
    first, second = training.round(), training.round()
    assert 0 < (first.epsilon or 0) < (second.epsilon or 0) <= 40.0
    weights = copy.deepcopy(training.state.weights)
    trained = list[None]()
    model.watch = lambda: trained.append(None)
    messages.clear()
    with pytest.raises(BudgetExceeded):
        training.round()
    assert (trained, messages) == ([], [])
    assert training.state.round == 2
    assert difference(training.state.weights, weights) == 0
    assert len(ledger.entries()) == 2


def test_training_leaves_the_weights_where_too_few_are_left(tmp_path: Path) -> None:
    training, ledger = private(tmp_path, dropping=8)
    before = copy.deepcopy(training.state)
    record = training.round()
    assert record.contributors == 0
    assert record.withheld is not None
    assert "threshold" in record.withheld
    assert training.contributors == ()
    assert record.round == training.state.round == 1
    assert difference(training.state.weights, before.weights) == 0
    assert difference(training.state.velocity, before.velocity) == 0
    assert [entry.commitment for entry in ledger.entries()] == [None]
    assert record.epsilon == ledger.spent().epsilon
    assert (record.epsilon or 0) > 0


def test_training_plain_without_contributors_only_counts() -> None:
    plain = PlainAveraging(devices=devices(), test=TEST, clip_l2=0.5)
    before = copy.deepcopy(plain.state.weights)
    record = plain.round([])
    assert (record.round, record.contributors) == (1, 0)
    assert difference(plain.state.weights, before) == 0


def test_training_noise_is_fresh_and_everything_else_is_seeded(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        runs.append(private(tmp_path / name, dropping=2)[0])
    assert difference(runs[0].state.weights, runs[1].state.weights) == 0
    first, second = (run.round() for run in runs)
    assert first.dropped == second.dropped
    assert difference(runs[0].state.weights, runs[1].state.weights) > 0.01


def test_training_without_noise_repeats_up_to_rounding() -> None:
    runs = []
    for _ in range(2):
        federation = devices()
        runs.append(
            SecureAveraging(
                engine=InMemory(federation, dropping=2), model=federation.model, test=TEST, mean=mean_for(federation)
            )
        )
    allowed = 0.0
    for _ in range(4):
        first, second = (run.round() for run in runs)
        assert first.dropped == second.dropped
        assert runs[0].contributors == runs[1].contributors
        assert first.rounding_bound is not None
        allowed = 2 * (allowed + first.rounding_bound)
        assert difference(runs[0].state.weights, runs[1].state.weights) <= allowed < 1e-3


def test_training_server_momentum_is_a_decaying_sum_of_means() -> None:
    means = [[np.array([1.0, 0.0])], [np.array([0.0, 1.0])], [np.array([0.0, 0.0])]]
    state = GlobalModel([np.zeros(2)], [np.zeros(2)])
    for mean in means:
        state.apply(mean, ServerStep(learning_rate=2.0, momentum=0.5))
    # Velocities: (1, 0), (1/2, 1), (1/4, 1/2).
    np.testing.assert_allclose(state.velocity[0], [0.25, 0.5])
    np.testing.assert_allclose(state.weights[0], [3.5, 3.0])
    plain = GlobalModel([np.zeros(2)], [np.zeros(2)])
    for mean in means:
        plain.apply(mean, ServerStep())
    np.testing.assert_allclose(plain.weights[0], [1.0, 1.0])


def test_training_that_diverges_moves_nothing_to_infinity() -> None:
    state = GlobalModel([np.array([1.0, 2.0])], [np.zeros(2)], 4)
    with pytest.raises(ModelError, match="training has diverged in round 5: the weights are not finite"):
        state.apply([np.array([0.0, 1e200])], ServerStep(learning_rate=1e200))
    assert state.weights[0].tolist() == [1.0, 2.0]
    assert state.velocity[0].tolist() == [0.0, 0.0]


def test_training_in_the_clear_says_where_its_loss_has_diverged() -> None:
    plain = PlainAveraging(devices=devices(), test=TEST, clip_l2=1.0, step=ServerStep(learning_rate=1e150))
    with pytest.raises(
        ModelError, match=r"training has diverged in round 1: the loss is \d\.\d+e\+1[45]\d\. Use a smaller"
    ):
        plain.round(range(8))


def test_training_model_digest_names_weights_and_round() -> None:
    state = GlobalModel([np.zeros((2, 3))], [np.zeros((2, 3))])
    digests = {state.digest()}
    assert GlobalModel([np.zeros((2, 3))], [np.ones((2, 3))]).digest() in digests
    for other in (
        GlobalModel([np.zeros((3, 2))], [np.zeros((3, 2))]),
        GlobalModel([np.eye(2, 3)], [np.zeros((2, 3))]),
        GlobalModel([np.zeros((2, 3))], [np.zeros((2, 3))], 1),
    ):
        digests.add(other.digest())
    assert len(digests) == 4


def test_training_state_takes_numbers_as_arrays_of_no_dimension() -> None:
    weights, velocity, mean = (list[Any]([number, np.full(2, number)]) for number in map(np.float64, (1.5, 0, 2)))
    state = GlobalModel(weights, velocity)
    assert state.digest() == GlobalModel([np.array(1.5), np.full(2, 1.5)], velocity).digest()
    state.apply(mean, ServerStep(learning_rate=0.5))
    assert [(type(array), array.shape) for array in state.weights] == [(np.ndarray, ()), (np.ndarray, (2,))]
    assert state.weights[0] == 2.5


def test_training_binds_run_round_and_weights_into_every_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context of a round's session is the digest of what is trained from, and of nothing else."""
    federation, entropy = devices(), repeatable_entropy(b"run")
    training = SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=TEST, mean=mean_for(federation), entropy=entropy
    )
    run, used, session = repeatable_entropy(b"run")(16).hex(), list[bytes](), SecureMean.session

    def recorded(self: SecureMean, session_id: bytes, *, context: bytes = b"") -> Session:
        if any(session_id):  # A session whose id is zero is made for checks alone.
            used.append(context)
        return session(self, session_id, context=context)

    monkeypatch.setattr(SecureMean, "session", recorded)
    contexts = []
    for _ in range(3):
        state = training.state
        contexts.append(Work(run, state.round + 1, state.weights, clip=state.clip, parts=training.parts).digest())
        training.round()
    assert used == contexts
    others = [
        Work(run, 3, state.weights),
        Work("another", 3, state.weights),
        Work(run, 4, state.weights),
        Work(run, 3, [weights + 1 for weights in state.weights]),
    ]
    assert len({other.digest() for other in others}) == 4


def test_training_plain_mean_is_entry_by_entry_and_weighted() -> None:
    updates = {3: [np.array([0.3, 0.0]), np.array([[0.0]])], 5: [np.array([0.0, 4.0]), np.array([[3.0]])]}
    uniform = plain_mean(updates, clip_l2=1.0)
    np.testing.assert_allclose(uniform[0], [0.15, 0.4])
    np.testing.assert_allclose(uniform[1], [[0.3]])
    weighted = plain_mean(updates, clip_l2=1.0, weight={3: 1.0, 5: 3.0}.__getitem__)
    np.testing.assert_allclose(weighted[0], [0.075, 0.6])


def test_training_measures_what_secure_aggregation_costs() -> None:
    federation = devices()
    mean = mean_for(federation)
    record = SecureAveraging(engine=InMemory(federation), model=federation.model, test=TEST, mean=mean).round()
    assert record.sent_bytes > 3 * mean.encoding.length
    assert record.received_bytes > 0
    assert record.client_s > 0
    assert record.server_s > 0
    assert record.epsilon is None
    assert Counter(map(len, record.dropped.values())) == {0: len(mean.protocol.steps)}


def test_training_refuses_what_does_not_fit_together(tmp_path: Path) -> None:
    federation = devices()
    mean = mean_for(federation)
    noisy = mean_for(federation, target=Target(epsilon=40.0, delta=1e-2, releases=3, colluding=0))
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=40.0, delta=1e-2, population=8) as ledger:
        for refused in (
            {"mean": mean, "ledger": ledger},
            {"mean": noisy},
            {"mean": mean_for(devices(9))},
        ):
            arguments: dict[str, Any] = {"engine": InMemory(federation), "model": federation.model, "test": TEST}
            with pytest.raises(ConfigurationError):
                SecureAveraging(**arguments | refused)
    for dropping in (9, -1, True):
        with pytest.raises(ConfigurationError, match="dropping: expected an int"):
            InMemory(federation, dropping=dropping)


def test_training_of_another_model_than_the_mean_was_planned_for_is_refused() -> None:
    federation = devices()
    with pytest.raises(ConfigurationError, match="mean: expected one planned for this model and this clip"):
        SecureAveraging(
            engine=InMemory(federation), model=federation.model, test=TEST, mean=mean_for(federation, shapes=[(2,)])
        )


def test_training_in_the_clear_works_with_the_insecure_protocol_too() -> None:
    federation = devices()
    mean = mean_for(federation, protocol=PlainSum(), minimum_contributors=2)
    training = SecureAveraging(engine=InMemory(federation, dropping=6), model=federation.model, test=TEST, mean=mean)
    assert training.round().contributors == 2
    with pytest.raises(ProtocolError, match=r"expected at least 2 replies \(the threshold\), found 1"):
        simulate_mean(mean, updates_of(federation, training.state.weights), drops={"contribute": range(7)})


def test_training_commits_the_model_that_a_release_led_to(tmp_path: Path) -> None:
    """The model and the velocity after the round; the model's digest is what the next round's session names."""
    training, ledger = private(tmp_path, dropping=2)
    for number in (1, 2):
        before = training.state
        training.round()
        commitment = ledger.entries()[-1].commitment
        assert commitment is not None
        assert commitment.details["model"] == training.state.digest().hex()
        assert commitment.details["velocity"] == training.state.velocity_digest().hex()
        assert training.state.round == number
        assert before.round == number - 1
        assert before.digest() != training.state.digest()
        assert before.velocity_digest() != training.state.velocity_digest()


def test_training_commits_a_release_that_no_model_can_be_moved_by(tmp_path: Path) -> None:
    training, ledger = private(tmp_path)
    training.round()
    before = training.state
    training.state.velocity = [np.full_like(array, 1.7e308) for array in training.state.velocity]
    training._step = ServerStep(learning_rate=1e300, momentum=0.9)
    with pytest.raises(ModelError, match="training has diverged in round 2: the weights are not finite"):
        training.round()
    assert training.state is before
    assert training.state.round == 1
    first, second = ledger.entries()
    assert first.commitment is not None
    assert second.commitment is not None
    assert second.commitment.contributors == 8
    assert "model" in first.commitment.details
    assert not {"model", "velocity"} & second.commitment.details.keys()


def test_training_velocity_digest_names_velocity_and_round() -> None:
    ones = [np.ones(2)]
    states = [GlobalModel(ones, ones), GlobalModel(ones, [np.zeros(2)]), GlobalModel(ones, ones, 1)]
    assert len({state.velocity_digest() for state in states}) == 3
    assert GlobalModel([np.zeros(2)], ones).velocity_digest() == states[0].velocity_digest()
