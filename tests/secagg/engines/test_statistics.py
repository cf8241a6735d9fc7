import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip
from dp.clipping.clip import clip_l2, l2_norm
from dp.ledger.ledger import Ledger
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean, Target
from secagg.arrays import Arrays
from secagg.data.columns import Shard
from secagg.engines.memory import InMemory
from secagg.engines.statistics import WHOLE, SharedStatistics, UpdateParts
from secagg.engines.work import Work
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.base import ArrayRole, Model
from secagg.privacy.clipping import Clip, GlobalClip, PerLayerClip, planned
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel, ServerStep
from secagg.training.plain import PlainAveraging
from secagg.training.records import RoundRecord
from tests.support.federation import CLASSES, FEATURES, devices, examples, updates_of
from tests.support.standardised import StandardisedSoftmax

CLIENTS = 6
SHIFT, KERNEL, MEAN, VARIANCE = 0, 1, 3, 4
ROLES = (ArrayRole.FIXED, ArrayRole.TRAINED, ArrayRole.TRAINED, ArrayRole.STATISTIC, ArrayRole.VARIANCE)
CLIPS: dict[str, Clip] = {
    "global": GlobalClip(),
    "per-layer": PerLayerClip((0.3, 0.4)),
    "adaptive": AdaptiveClip(bound=0.5, weight=0.25),
}
DRIVEN = ServerStep(learning_rate=2.5, momentum=0.9)


def unscaled(count: int, seed: int) -> Shard:
    """Examples as they come from a sensor: around 300, in hundreds."""
    x, y = examples(count, seed)
    return 100 * x + 300, y


def federation(shards: list[Shard] | None = None, **changes: Any) -> Devices:
    settings: dict[str, Any] = {
        "model": StandardisedSoftmax(FEATURES, CLASSES, learning_rate=0.3, seed=1),
        "shards": shards or [examples(20, client) for client in range(CLIENTS)],
        "epochs": 2,
        "batch_size": 5,
        "seed": 1,
    }
    return Devices(**settings | changes)


def averaging(
    clients: Devices, clip: Clip | None = None, *, clip_l2: float = 10.0, bits: int = 40, **settings: Any
) -> SecureAveraging:
    state = GlobalModel.initial(clients.model, clip)
    shapes, bound = planned(state.clip, shapes=clients.shapes, clip_l2=clip_l2)
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=clients.clients,
        minimum_contributors=len(clients.clients),
        shapes=shapes,
        clip_l2=bound,
        modulus_bits=bits,
        target=settings.pop("target", None),
    )
    return SecureAveraging(
        engine=InMemory(clients), model=clients.model, test=clients.shards[0], mean=mean, **{"state": state} | settings
    )


def after_training(clients: Devices, weights: Arrays, number: int) -> list[Arrays]:
    """What each client's arrays are after its own training, worked out apart from `Devices.train`."""
    found = []
    for client in clients.clients:
        clients.model.set_weights(weights)
        seed = int(np.random.SeedSequence([clients.seed, number, client]).generate_state(1)[0])
        x, y = clients.shards[client]
        clients.model.fit(x, y, epochs=clients.epochs, batch_size=clients.batch_size, seed=seed)
        found.append(clients.model.get_weights())
    return found


def test_fixed_arrays_do_not_travel_and_stay_bit_for_bit(tmp_path: Path) -> None:
    clients = federation()
    shift = clients.model.get_weights()[SHIFT]
    assert clients.roles == ROLES
    assert clients.shapes == [(FEATURES, CLASSES), (CLASSES,), (FEATURES,), (FEATURES,)]
    target = Target(epsilon=8, delta=1e-3, releases=3, colluding=1)
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=8, delta=1e-3, population=CLIENTS) as ledger:
        with pytest.warns(UserWarning, match="running statistics"):
            training = averaging(clients, step=DRIVEN, target=target, ledger=ledger)
        for _ in range(3):
            training.round()
    assert training.state.weights[SHIFT].tobytes() == shift.tobytes()
    assert not training.state.velocity[SHIFT].any()
    assert training.state.velocity[KERNEL].any()


def test_fixed_arrays_are_in_the_digest_and_the_checkpoint(tmp_path: Path) -> None:
    clients = federation()
    state, other = GlobalModel.initial(clients.model), GlobalModel.initial(clients.model)
    other.weights[SHIFT] = other.weights[SHIFT] + 1e-9
    assert state.digest() != other.digest()
    folder, config = RunFolder(tmp_path), TrainingConfig()
    folder.begin(config)
    other.round = 1
    folder.save(other, RoundRecord(round=1, accuracy=0.5, loss=1.0, contributors=2), config)
    restored = folder.restore(state, config)
    assert restored.digest() == other.digest()


@pytest.mark.parametrize("kind", CLIPS)
def test_statistics_move_to_the_clients_mean_whatever_the_server_step(kind: str) -> None:
    clients = federation()
    training = averaging(clients, CLIPS[kind], step=DRIVEN)
    for number in (1, 2, 3):
        trained = after_training(clients, training.state.weights, number)
        training.round()
        for index in (MEAN, VARIANCE):
            exact = np.mean([arrays[index] for arrays in trained], axis=0)
            np.testing.assert_allclose(training.state.weights[index], exact, atol=1e-4)
            assert not training.state.velocity[index].any()
        assert training.state.velocity[KERNEL].any()


def test_velocity_that_an_older_run_gave_statistics_is_dropped() -> None:
    clients = federation()
    state = GlobalModel.initial(clients.model)
    state.velocity[MEAN] = np.full(FEATURES, 7.0)
    training = averaging(clients, step=DRIVEN, state=state)
    exact = np.mean([arrays[MEAN] for arrays in after_training(clients, state.weights, 1)], axis=0)
    training.round()
    np.testing.assert_allclose(training.state.weights[MEAN], exact, atol=1e-4)


def test_variance_below_zero_counts_as_the_zero_that_layers_show() -> None:
    clients = federation()
    state = GlobalModel.initial(clients.model)
    state.weights[VARIANCE][:] = -1.0
    exact = np.mean([arrays[VARIANCE] for arrays in after_training(clients, state.weights, 1)], axis=0)
    training = averaging(clients, state=state)
    training.round()
    np.testing.assert_allclose(training.state.weights[VARIANCE], exact, atol=1e-4)


def test_variance_is_never_kept_below_zero() -> None:
    state = GlobalModel([np.ones(2), np.ones(2)], [np.zeros(2), np.zeros(2)])
    noisy = [np.array([-3.0, 0.5]), np.array([-3.0, 0.5])]
    state.apply(noisy, ServerStep(), (ArrayRole.STATISTIC, ArrayRole.VARIANCE))
    assert [array.tolist() for array in state.weights] == [[-2.0, 1.5], [0.0, 1.5]]


@pytest.mark.parametrize("kind", CLIPS)
def test_trained_arrays_are_clipped_as_without_statistics(kind: str) -> None:
    """Statistics of unscaled features change by thousands, and the trained arrays' mean is what it is without them."""
    clients = federation([unscaled(20, client) for client in range(CLIENTS)])
    training = averaging(clients, CLIPS[kind], clip_l2=0.5)
    start = training.state.weights
    updates = list(updates_of(clients, start).values())
    assert l2_norm(updates[0][2:]) > 1000 * l2_norm(updates[0][:2])
    bound = 0.5 if kind != "per-layer" else math.hypot(0.3, 0.4)
    trained = [CLIPS[kind].prepare(update[:2]) for update in updates]
    clipped = [clip_l2(arrays[:2], bound=bound if kind != "adaptive" else 1.0).arrays for arrays in trained]
    exact = [np.mean([arrays[index] for arrays in clipped], axis=0) * CLIPS[kind].unit for index in (0, 1)]
    record = training.round()
    assert record.rounding_bound is not None
    for index, right in enumerate(exact, start=KERNEL):
        np.testing.assert_allclose(training.state.weights[index], start[index] + right, atol=record.rounding_bound)
    if isinstance(training.state.clip, AdaptiveClip):
        within = np.mean([l2_norm(update[:2]) <= 0.5 for update in updates])
        assert training.state.clip.bound == pytest.approx(0.5 * math.exp(-0.2 * (within - 0.5)), rel=1e-6)


def test_model_on_unscaled_features_learns_under_a_clip_that_suits_its_weights() -> None:
    clients = federation([unscaled(40, client) for client in range(CLIENTS)])
    training = averaging(clients, clip_l2=1.0, bits=24)
    for _ in range(12):
        record = training.round()
    central = StandardisedSoftmax(FEATURES, CLASSES, learning_rate=0.3, seed=1)
    x, y = (np.concatenate([shard[part] for shard in clients.shards]) for part in (0, 1))
    for number in range(12):
        central.fit(x, y, epochs=2, batch_size=5, seed=number)
    best = central.evaluate(x, y).accuracy
    assert best > 0.7
    assert record.accuracy > 0.95 * best


def test_plain_and_secure_training_agree() -> None:
    secure = averaging(federation(), step=DRIVEN)
    plain = PlainAveraging(devices=federation(), test=examples(20, 0), clip_l2=10.0, step=DRIVEN)
    for _ in range(3):
        secure.round()
        plain.round(secure.contributors)
    for one, other in zip(secure.state.weights, plain.state.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


entries = st.floats(min_value=-1e9, max_value=1e9)


@given(
    st.lists(entries, min_size=12, max_size=12),
    st.sampled_from(sorted(CLIPS)),
    st.floats(min_value=0.01, max_value=0.99),
    st.floats(min_value=1e-3, max_value=1e6),
)
def test_contribution_is_within_the_planned_bound(values: list[float], kind: str, share: float, reach: float) -> None:
    shapes = [(3,), (1, 2), (2,), ()]
    _, bound = planned(CLIPS[kind], shapes=shapes, clip_l2=0.5)
    parts = UpdateParts(roles=ROLES, l2=bound, share=share, reach=reach, entries=3)
    flat = np.array(values)
    update = [flat[:3], flat[3:5].reshape(1, 2), flat[5:7], np.asarray(flat[7])]
    kept = [np.zeros(2), *(np.zeros(shape) for shape in shapes[:2]), flat[8:10], np.asarray(flat[10])]
    contribution = parts.prepare(CLIPS[kind], update, weights=kept)
    assert l2_norm(contribution) <= bound * (1 + 1e-12)
    assert [array.shape for array in contribution[:4]] == shapes
    assert all(isinstance(array, np.ndarray) for array in contribution)
    again, _ = parts.after(CLIPS[kind], contribution, weights=kept)
    assert [array.shape for array in again] == shapes


@pytest.mark.parametrize("kind", CLIPS)
def test_contribution_of_trained_arrays_and_statistics_at_their_limits_reaches_the_bound(kind: str) -> None:
    _, bound = planned(CLIPS[kind], shapes=[(3,), (2,), (4,), (5,)], clip_l2=0.5)
    parts = UpdateParts(roles=ROLES, l2=bound, share=0.2, reach=3.0, entries=9)
    update = [np.full(3, 9.0), np.full(2, 9.0), np.full(4, -9.0), np.full(5, 9.0)]
    kept = [np.zeros(1), np.zeros(3), np.zeros(2), np.zeros(4), np.zeros(5)]
    assert l2_norm(parts.prepare(CLIPS[kind], update, weights=kept)) == pytest.approx(bound, rel=1e-12)


def test_reach_is_in_units_of_what_is_kept() -> None:
    parts = UpdateParts(roles=ROLES, l2=1.0, share=0.5, reach=2.0, entries=2)
    update = [np.zeros(1), np.zeros(1), np.array([1000.0]), np.array([1000.0])]
    kept = [np.zeros(1), np.zeros(1), np.zeros(1), np.array([-50.0]), np.array([-50.0])]
    mean, _ = parts.after(GlobalClip(), parts.prepare(GlobalClip(), update, weights=kept), weights=kept)
    # A moving mean of -50 moves by 100; a variance below zero is read as zero, whose unit is 1.
    np.testing.assert_allclose(np.concatenate(mean), [0, 0, 100, 2], rtol=1e-12)


def test_noise_on_statistics_is_told_with_its_share_and_stays_small(tmp_path: Path) -> None:
    clients = federation()
    target = Target(epsilon=8, delta=1e-3, releases=5, colluding=1)
    with (
        Ledger.create(tmp_path / "ledger.sqlite", epsilon=8, delta=1e-3, population=CLIENTS) as ledger,
        pytest.warns(UserWarning, match=r"12 entries.*20% of the squared bound.*noise of about 0\.03 times"),
    ):
        training = averaging(clients, target=target, ledger=ledger, bits=24, statistics=SharedStatistics(share=0.2))
    assert training.parts.reach < 1


def test_reach_that_is_chosen_is_kept() -> None:
    assert averaging(federation(), statistics=SharedStatistics(reach=2.0)).parts.reach == 2.0
    assert averaging(federation()).parts.reach > 1000


def test_statistics_are_refused_where_the_user_says_so() -> None:
    with pytest.raises(ModelError, match=r"arrays \[3, 4\].*layer normalisation"):
        averaging(federation(), statistics=None)
    with pytest.raises(ModelError, match=r"arrays \[3, 4\].*layer normalisation"):
        PlainAveraging(devices=federation(), test=examples(20, 0), clip_l2=1.0, statistics=None)
    averaging(devices(CLIENTS), statistics=None)


def test_devices_refuse_a_model_that_training_never_changes() -> None:
    class FixedSoftmax(StandardisedSoftmax):
        def roles(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[ArrayRole, ...]:
            return (ArrayRole.FIXED,) * 5

    with pytest.raises(ModelError, match="expected at least one that training changes, found 5 fixed"):
        federation(model=FixedSoftmax(FEATURES, CLASSES, seed=1))


def test_devices_read_roles_off_the_first_examples_that_fit() -> None:
    good = [examples(20, client) for client in range(3)]
    bad = (good[0][0], good[0][1] + CLASSES)
    assert federation([bad, *good]).roles == ROLES
    with pytest.raises(DataError, match="class labels"):
        federation([bad, bad])


def test_arrays_of_a_model_without_roles_are_all_trained() -> None:
    class ModelWithoutRoles:
        """The interface of `Model`, and no more."""

        def __init__(self) -> None:
            inner = devices().model
            self.get_weights, self.set_weights, self.fit = inner.get_weights, inner.set_weights, inner.fit
            self.evaluate, self.save, self.suffix = inner.evaluate, inner.save, inner.suffix

    model: Model = ModelWithoutRoles()
    assert federation(model=model).roles == (ArrayRole.TRAINED, ArrayRole.TRAINED)


@pytest.mark.parametrize(("share", "reach"), [(0.0, None), (1.0, None), (math.nan, None), (0.1, 0.0), (0.1, math.inf)])
def test_shared_statistics_out_of_range_are_refused(share: float, reach: float | None) -> None:
    with pytest.raises(ConfigurationError, match="of the statistics"):
        SharedStatistics(share=share, reach=reach)


def test_per_layer_clip_takes_a_bound_for_each_trained_or_each_travelling_array() -> None:
    every = averaging(federation(), PerLayerClip((0.3, 0.4, 1.0, 1.0)))
    every.round()
    assert every.state.clip == PerLayerClip((0.3, 0.4, 1.0, 1.0))
    clients = federation()
    update = clients.train(0, GlobalModel.initial(clients.model).weights, 1)
    contributed = every.parts.prepare(every.state.clip, update, weights=GlobalModel.initial(clients.model).weights)
    assert l2_norm(contributed[:1]) <= 0.3
    assert l2_norm(contributed[1:2]) <= 0.4
    with pytest.raises(ConfigurationError, match="expected one for each of 2 trained arrays, found 5"):
        averaging(federation(), PerLayerClip((0.3,) * 5))


def test_digest_of_the_work_binds_what_statistics_may_take() -> None:
    settings = (SharedStatistics(), SharedStatistics(share=0.2), SharedStatistics(reach=3.0))
    parts = [WHOLE, *(averaging(federation(), statistics=each).parts for each in settings)]
    assert len({Work("test", 1, (), parts=each).digest() for each in parts}) == 4
