"""One client whose training fails, among others whose training does not."""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from dp.events import GaussianEvent, NeighbouringRelation, PrivacyUnit, Trust
from dp.ledger.ledger import Ledger
from dp.noise.distributed import LatticeNoise
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.text import as_text
from protocols import PlainSum, SecAgg
from protocols.errors import TooFewSurvivors
from protocols.testing import repeatable_entropy
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.residues import reduced
from secagg.aggregation.weighting import Weighting
from secagg.commands.train import _run
from secagg.engines.memory import InMemory, simulate_mean
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.keras import KerasModel
from secagg.models.softmax import SoftmaxRegression
from secagg.models.tensorflow import load_tensorflow
from secagg.privacy.clipping import ClippingKind, choose_clip, planned
from secagg.privacy.noise import draw_noise
from secagg.reports.report import RunReport
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel
from secagg.training.plain import PlainAveraging
from secagg.training.records import RoundRecord
from tests.support.federation import CLASSES, FEATURES, devices, examples, mean_for

pytestmark = pytest.mark.slow

TEST = examples(200, 99)
TARGET = Target(epsilon=40.0, delta=1e-2, releases=3, colluding=0)
BAD = 5
FIRST = SecAgg().steps[0].name


class FailingSoftmax(SoftmaxRegression):
    """A model whose training raises an error on client 5's examples, of which there are 10, or on all clients'."""

    def __init__(self, error: BaseException, *, for_all: bool = False) -> None:
        super().__init__(FEATURES, CLASSES, learning_rate=0.3, seed=1)
        self._error, self._for_all = error, for_all

    def fit(self, x: Any, y: Any, *, epochs: int, batch_size: int, seed: int) -> None:
        if self._for_all or len(x) == 5 + BAD:
            raise self._error
        super().fit(x, y, epochs=epochs, batch_size=batch_size, seed=seed)


class HugeWeightsSoftmax(SoftmaxRegression):
    """A model that client 5 returns with finite weights whose norm overflows."""

    def __init__(self) -> None:
        super().__init__(FEATURES, CLASSES, learning_rate=0.3, seed=1)

    def fit(self, x: Any, y: Any, *, epochs: int, batch_size: int, seed: int) -> None:
        super().fit(x, y, epochs=epochs, batch_size=batch_size, seed=seed)
        if len(x) == 5 + BAD:
            self.set_weights([np.full_like(array, 1.7e308) for array in self.get_weights()])


def spoilt(federation: Devices, change: str = "diverges", client: int = BAD) -> Devices:
    """These devices with the examples of one of them spoilt."""
    shards = list(federation.shards)
    x, y = map(np.asarray, shards[client])
    shards[client] = {
        "diverges": (x.astype(np.float64) * 1e200, y),
        "label": (x, np.full_like(y, CLASSES)),
        "infinity": (np.full_like(x, np.inf), y),
        "features": (x[:, 1:], y),
        "texts": (x.astype(str), y),
    }[change]
    return replace(federation, shards=shards)


def private(path: Path, federation: Devices, **changes: Any) -> tuple[SecureAveraging, Ledger]:
    mean = mean_for(federation, target=TARGET, **changes)
    ledger = Ledger.create(path / "ledger.sqlite", epsilon=40.0, delta=1e-2, population=8)
    return SecureAveraging(
        engine=InMemory(federation, dropping=2), model=federation.model, test=TEST, mean=mean, ledger=ledger
    ), ledger


REASONS = {
    "diverges": "has diverged in round 1: its update is not finite",
    "label": "expected class labels in [0, 3), found 3 to 3",
    "infinity": "expected finite examples",
    "features": "expected examples of 6 numbers each, found 5",
    "texts": "examples: expected an array of real numbers",
}


@pytest.mark.parametrize("change", REASONS)
def test_failing_client_drops_out_where_there_is_no_noise(change: str) -> None:
    federation = spoilt(devices(), change)
    secure = SecureAveraging(engine=InMemory(federation), model=federation.model, test=TEST, mean=mean_for(federation))
    plain = PlainAveraging(devices=federation, test=TEST, clip_l2=0.5)
    record, compared = secure.round(), plain.round(federation.clients)
    assert secure.contributors == (0, 1, 2, 3, 4, 6, 7)
    assert record.dropped[FIRST] == [BAD]
    assert record.contributors == compared.contributors == 7
    assert record.failed.keys() == compared.failed.keys() == {BAD}
    assert record.failed[BAD].startswith(REASONS[change])
    assert record.rounding_bound is not None
    for one, other in zip(secure.state.weights, plain.state.weights, strict=True):
        assert np.abs(one - other).max() <= record.rounding_bound
    assert msgspec.json.decode(msgspec.json.encode(record), type=RoundRecord) == record


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a"),
        IndexError("b"),
        FloatingPointError("c"),
        RuntimeError("d"),
        AssertionError("e"),
        OSError("f"),
        StopIteration("g"),
    ],
)
def test_failing_of_a_users_own_model_is_its_clients_alone(error: Exception) -> None:
    federation = devices(model=FailingSoftmax(error))
    record = SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=TEST, mean=mean_for(federation)
    ).round()
    assert record.contributors == 7
    assert record.failed == {BAD: f"{type(error).__name__}: {error}"}


@pytest.mark.parametrize("kind", ClippingKind)
def test_update_whose_norm_leaves_the_floats_is_a_failure(kind: ClippingKind) -> None:
    federation = devices(model=HugeWeightsSoftmax())
    clip = choose_clip(kind, clip_l2=0.5, quantile=0.5, arrays=2, contributors=5, noise_multiplier=None)
    shapes, clip_l2 = planned(clip, shapes=federation.shapes, clip_l2=0.5)
    mean = mean_for(federation, shapes=shapes, clip_l2=clip_l2)
    state = GlobalModel.initial(federation.model, clip)
    record = SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=TEST, mean=mean, state=state
    ).round()
    assert record.contributors == 7
    assert "float64 range" in record.failed[BAD]


@pytest.mark.parametrize("change", REASONS)
def test_failing_client_shows_in_nothing_but_its_reason_where_there_is_noise(change: str, tmp_path: Path) -> None:
    records = []
    for name, federation in (("whole", devices()), ("spoilt", spoilt(devices(), change))):
        (tmp_path / name).mkdir()
        training, ledger = private(tmp_path / name, federation)
        records.append(training.round())
        entry = ledger.entries()[0]
        assert entry.commitment is not None
        assert entry.commitment.contributors == records[-1].contributors
        assert BAD in training.contributors or BAD in {gone for ids in records[-1].dropped.values() for gone in ids}
        assert len(ledger.entries()) == 1
    whole, spoiled = records
    assert not whole.failed
    assert spoiled.failed.keys() == {BAD}
    assert spoiled.failed[BAD].startswith(REASONS[change])
    for field in ("contributors", "dropped", "epsilon", "withheld", "rounding_bound", "sent_bytes"):
        assert getattr(whole, field) == getattr(spoiled, field)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weighting": "weighted", "max_weight": 20.0},
        {"target": replace(TARGET, mechanism=LatticeNoise.SKELLAM, noise_removal=True)},
        {"target": replace(TARGET, trust=Trust.LOCAL)},
        {"target": replace(TARGET, trust=Trust.CENTRAL)},
    ],
)
def test_failing_client_contributes_its_noise_and_nothing_else(changes: dict[str, Any]) -> None:
    mean = mean_for(devices(), **{"target": TARGET} | changes)
    assert mean.noise is not None
    found = mean.zero_contribution(entropy=repeatable_entropy(b"zero"))
    if changes.get("target", TARGET).trust is Trust.CENTRAL:
        assert not found.vector.any()
        return
    noise, secrets = draw_noise(mean.noise, repeatable_entropy(b"zero"))
    np.testing.assert_array_equal(found.vector, reduced(noise, mean.encoding.modulus))
    assert [one.reveal() for one in found.attached] == [one.reveal() for one in secrets]


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_with_failed_clients_and_noise_is_that_of_zeros(weighted: bool) -> None:
    """The sums of two runs on equal entropy differ by what the client's update and weight are."""
    changes: dict[str, Any] = {"weighting": Weighting.WEIGHTED, "max_weight": 20.0} if weighted else {}
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=range(40),
        minimum_contributors=30,
        shapes=[(3,)],
        clip_l2=1.0,
        target=Target(epsilon=1e6, delta=1e-3, releases=1, colluding=0),
        **changes,
    )
    given = {client: [np.full(3, 0.5)] for client in mean.clients}
    weights = dict.fromkeys(mean.clients, 10.0) if weighted else None
    failed = {3, 11}
    for client in failed:
        del given[client]
        if weights is not None:
            del weights[client]
    release = simulate_mean(mean, given, weights=weights, failed=failed)
    assert release.contributors == mean.clients
    right = 0.5 if weighted else 0.5 * 38 / 40  # a zero weighs nothing in a weighted mean
    np.testing.assert_allclose(release.mean[0], right, atol=0.02)


def test_mean_with_failed_clients_and_no_noise_is_that_of_the_others() -> None:
    mean = mean_for(devices(), shapes=[(2,)])
    given = {client: [np.array([0.1 * client, 0.0])] for client in mean.clients if client != BAD}
    release = simulate_mean(mean, given, failed=[BAD], drops={mean.protocol.steps[-1].name: [BAD, 1]})
    assert release.dropped == {FIRST: [BAD], mean.protocol.steps[-1].name: [1]}
    assert BAD not in release.contributors
    with pytest.raises(TooFewSurvivors):
        simulate_mean(mean, {client: given[client] for client in (0, 1, 2, 3)}, failed=[4, 5, 6, 7])
    with pytest.raises(ConfigurationError, match="failed: expected clients of the cohort, found 12"):
        simulate_mean(mean, given, failed=[BAD, 12])
    with pytest.raises(ConfigurationError, match=r"updates: .*7 clients, found one of 5"):
        simulate_mean(mean, given | {5: [np.zeros(2)]}, failed=[BAD])


def test_failures_that_leave_too_few_release_nothing() -> None:
    federation = devices()
    for client in range(4):
        federation = spoilt(federation, "label", client)
    training = SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=TEST, mean=mean_for(federation)
    )
    record = training.round()
    assert record.contributors == 0
    assert record.withheld is not None
    assert list(record.failed) == [0, 1, 2, 3]
    assert training.state.round == 1


@pytest.mark.parametrize(
    ("error", "raised", "match"),
    [
        (
            DataError("no labels"),
            DataError,
            r"all 8 clients \(0, 1, 2, 3, 4 and 3 more\).*round 1.*client 0: no labels",
        ),
        (TypeError("wrong call"), ModelError, "nothing has been sent; client 0: TypeError: wrong call"),
    ],
)
def test_failure_of_all_clients_is_raised_and_counts(
    error: Exception, raised: type[Exception], match: str, tmp_path: Path
) -> None:
    training, ledger = private(tmp_path, devices(model=FailingSoftmax(error, for_all=True)))
    with pytest.raises(raised, match=match) as caught:
        training.round()
    assert caught.value.__cause__ is error
    assert [entry.commitment for entry in ledger.entries()] == [None]
    assert training.state.round == 0
    with pytest.raises(raised, match=match):
        PlainAveraging(devices=devices(model=FailingSoftmax(error, for_all=True)), test=TEST, clip_l2=0.5).round([1, 2])


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_failure_of_the_machine_ends_the_round_and_counts(error: BaseException, tmp_path: Path) -> None:
    training, ledger = private(tmp_path, devices(model=FailingSoftmax(error)))
    with pytest.raises(type(error)) as caught:
        training.round()
    assert [entry.commitment for entry in ledger.entries()] == [None]
    if isinstance(error, Exception):
        told = [str(caught.value), *getattr(caught.value, "__notes__", ())]
        assert any(f"client {BAD}" in text for text in told)


def test_devices_alone_raise_the_failure_of_the_client_that_trains() -> None:
    federation = spoilt(devices(), "label")
    federation.train(BAD - 1, federation.model.get_weights(), 1)
    with pytest.raises(DataError, match=r"expected class labels in \[0, 3\)"):
        federation.train(BAD, federation.model.get_weights(), 1)


LOCAL = GaussianEvent(noise_multiplier=5.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE, unit=PrivacyUnit.EXAMPLE)


def example_level(path: Path, federation: Devices) -> tuple[Any, Ledger]:
    ledger = Ledger.create(
        path / "ledger.sqlite",
        epsilon=40.0,
        delta=1e-3,
        population=200,
        unit=PrivacyUnit.EXAMPLE,
        relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
    )
    mean = mean_for(federation)
    return lambda: SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=TEST, mean=mean, local=LOCAL, ledger=ledger
    ), ledger


@pytest.mark.parametrize("change", ["label", "infinity", "features", "texts"])
def test_examples_that_fail_are_found_before_training_where_devices_add_the_noise(change: str, tmp_path: Path) -> None:
    make, ledger = example_level(tmp_path, spoilt(spoilt(devices(), change), change, 2))
    with pytest.raises(DataError, match=r"client 2: .*expected .* \(other clients with errors: 5\)$"):
        make()
    assert ledger.entries() == ()


def test_noised_training_that_diverges_contributes_zeros(tmp_path: Path) -> None:
    make, ledger = example_level(tmp_path, spoilt(devices()))
    training = make()
    record = training.round()
    assert record.contributors == 8
    assert record.failed.keys() == {BAD}
    assert len(ledger.entries()) == 1


def test_noised_training_that_fails_otherwise_ends_the_round_and_counts(tmp_path: Path) -> None:
    make, ledger = example_level(tmp_path, devices(model=FailingSoftmax(ValueError("depends on an example"))))
    training = make()
    with pytest.raises(ValueError, match="depends on an example"):
        training.round()
    assert len(ledger.entries()) == 1


@pytest.mark.parametrize("epsilon", [60.0, math.inf])
def test_failure_is_in_the_runs_own_log_and_screen_and_in_nothing_that_is_published(
    epsilon: float, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"dataset": "breast-cancer", "model": "numpy-softmax", "clients": 16, "rounds": 2}
    config = parse(settings | {"epochs": 1, "epsilon": epsilon, "delta": 1e-2, "dropout": 0.2, "compare": False})
    prepared = prepare(config)
    prepared = replace(prepared, devices=spoilt(prepared.devices, "infinity"))
    folder, screen = RunFolder(tmp_path / "run"), io.StringIO()
    folder.begin(prepared.config)
    summary = _run(prepared, folder, resume=False, console=Console(file=screen, width=200))
    reason = "expected finite examples"
    assert [list(record.failed) for record in folder.metrics()] == [[BAD]] * 2
    assert all(record.failed[BAD].startswith(reason) for record in folder.metrics())
    done = "it takes part with zeros" if config.private else "it is left out"
    told = f"round 1: the training of client {BAD} has failed, and {done}: {reason}"
    assert screen.getvalue().count(told) == 1
    assert screen.getvalue().count(reason) == 1
    assert summary.released == 2
    page = RunReport.of(folder, prepared, summary).as_html()
    published = [page, msgspec.json.encode(summary).decode()]
    if config.private:
        with Ledger.open_to_read(folder.ledger) as ledger:
            report = budget_report(ledger)
            published += [as_text(report), as_json(report), str(ledger.entries())]
    assert not any(reason in text or "has failed" in text or f'"{BAD}":' in text for text in published)


@pytest.mark.tensorflow
def test_token_that_an_embedding_has_no_row_for_is_its_clients_failure() -> None:
    load_tensorflow()
    keras = pytest.importorskip("tf_keras")

    def build() -> Any:
        layers = [keras.Input((4,), dtype="int32"), keras.layers.Embedding(9, 3), keras.layers.Flatten()]
        return keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])

    tokens = np.arange(24).reshape(6, 4) % 9
    shards = [(tokens + (client == 2), np.arange(6) % 2) for client in range(5)]
    model = KerasModel(build, optimizer="sgd", learning_rate=0.1, seed=1)
    federation = Devices(model=model, shards=shards, epochs=1, batch_size=3, seed=1)
    training = SecureAveraging(
        engine=InMemory(federation), model=federation.model, test=shards[0], mean=mean_for(federation)
    )
    record = training.round()
    assert training.contributors == (0, 1, 3, 4)
    assert record.failed[2].startswith("InvalidArgumentError: ")
