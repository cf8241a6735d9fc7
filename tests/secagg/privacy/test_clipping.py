import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.accounting.guarantee import guarantee
from dp.clipping.adaptive import AdaptiveClip
from dp.clipping.clip import l2_norm
from dp.errors import InvalidParameter
from dp.ledger.ledger import Ledger
from secagg.aggregation.weighting import Weighting
from secagg.engines.memory import InMemory
from secagg.errors import CheckpointError, ConfigurationError
from secagg.privacy.clipping import (
    MOST_WEIGHT,
    Clip,
    ClippingKind,
    GlobalClip,
    PerLayerClip,
    choose_clip,
    clip_in_words,
    model_parameters,
    planned,
)
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.training.averaging import SecureAveraging
from secagg.training.model_state import GlobalModel, ServerStep
from secagg.training.plain import PlainAveraging, plain_mean
from secagg.training.records import RoundRecord
from tests.support.federation import devices, examples, mean_for, updates_of

pytestmark = pytest.mark.slow

TEST = examples(200, 99)
STEP = ServerStep(learning_rate=2.0, momentum=0.5)
SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 40,
    "rounds": 4,
    "epochs": 1,
    "epsilon": math.inf,
    "delta": 1e-2,
    "modulus_bits": 24,
    "compare": False,
}
CLIPS: dict[str, Clip] = {
    "global": GlobalClip(),
    "per-layer": PerLayerClip((0.3, 0.1)),
    "adaptive": AdaptiveClip(bound=0.05, weight=0.25),
}


class Interruption(Exception):
    """Raised by an observer, as a Ctrl-C would be."""


def config(**changes: Any) -> TrainingConfig:
    return parse(SMALL | changes)


def chosen(kind: ClippingKind, **changes: Any) -> Clip:
    settings: dict[str, Any] = {
        "clip_l2": 0.5,
        "quantile": 0.5,
        "arrays": 4,
        "contributors": 200,
        "noise_multiplier": None,
    }
    return choose_clip(kind, **settings | changes)


def silent(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def stopping_at(number: int) -> Callable[[str | None, RoundRecord], None]:
    def observe(kind: str | None, record: RoundRecord) -> None:
        if record.round == number:
            raise Interruption

    return observe


def bound_of(clip: Clip) -> float:
    assert isinstance(clip, AdaptiveClip)
    return clip.bound


def test_clipping_plans_for_what_clients_contribute() -> None:
    shapes = [(2, 3), (), (3,)]
    assert planned(GlobalClip(), shapes=shapes, clip_l2=0.5) == (((2, 3), (), (3,)), 0.5)
    assert planned(PerLayerClip((3.0, 4.0, 12.0)), shapes=shapes, clip_l2=0.5) == (((2, 3), (), (3,)), 13.0)
    adaptive = AdaptiveClip(bound=7.0, weight=0.75)
    assert planned(adaptive, shapes=shapes, clip_l2=0.5) == (((2, 3), (), (3,), (1,)), 1.25)


@pytest.mark.parametrize("kind", CLIPS)
def test_clipping_prepares_no_more_than_it_plans_for(kind: str) -> None:
    clip, update = CLIPS[kind], [np.full((2, 3), 8.0), np.array(-40.0)]
    shapes, clip_l2 = planned(clip, shapes=[(2, 3), ()], clip_l2=100.0)
    prepared = clip.prepare(update)
    assert tuple(array.shape for array in prepared) == shapes
    assert l2_norm(prepared) <= clip_l2 * (1 + 2**-50)


def test_clipping_per_layer_shares_the_bound_equally() -> None:
    clip = chosen(ClippingKind.PER_LAYER)
    assert clip == PerLayerClip((0.25,) * 4)
    assert planned(clip, shapes=[(1,)] * 4, clip_l2=9.0)[1] == 0.5


@pytest.mark.parametrize(("noise_multiplier", "contributors"), [(1.0, 200), (3.0, 150), (4.0, 100), (9.0, 20)])
def test_clipping_adaptive_weighs_the_count_as_the_paper_or_cheaper(noise_multiplier: float, contributors: int) -> None:
    """A noise of a twentieth of the clients on the count, unless that costs the updates more than 3.1%."""
    clip = chosen(ClippingKind.ADAPTIVE, noise_multiplier=noise_multiplier, contributors=contributors)
    assert isinstance(clip, AdaptiveClip)
    assert (clip.bound, clip.quantile, clip.learning_rate) == (0.5, 0.5, 0.2)
    assert clip.l2_sensitivity < 1.031
    on_count = noise_multiplier * clip.l2_sensitivity / (2 * clip.weight)
    if on_count > contributors / 20 * (1 + 1e-9):
        assert clip.weight == pytest.approx(MOST_WEIGHT, rel=1e-9)
    else:
        assert on_count == pytest.approx(contributors / 20, rel=1e-9)


@pytest.mark.parametrize("kind", CLIPS)
def test_clipping_without_noise_is_that_of_plain_averaging(kind: str) -> None:
    """Round by round, from equal states, within the stated bound; and the same bound for the next."""
    federation = devices(12)
    shapes, clip_l2 = planned(CLIPS[kind], shapes=federation.shapes, clip_l2=0.2)
    secure = SecureAveraging(
        engine=InMemory(federation, dropping=2),
        model=federation.model,
        test=TEST,
        mean=mean_for(federation, shapes=shapes, clip_l2=clip_l2),
        step=STEP,
        state=GlobalModel.initial(federation.model, CLIPS[kind]),
    )
    start = GlobalModel.initial(federation.model, CLIPS[kind])
    plain = PlainAveraging(devices=devices(12), test=TEST, clip_l2=0.2, step=STEP, state=start)
    bounds = set[float | None]()
    for _ in range(5):
        plain.state = copy.deepcopy(secure.state)
        record = secure.round()
        ours = plain.round(secure.contributors)
        assert record.rounding_bound is not None
        for one, other in zip(secure.state.weights, plain.state.weights, strict=True):
            assert np.abs(one - other).max() <= STEP.learning_rate * record.rounding_bound * (1 + 1e-9) < 1e-3
        assert record.clip_bound == ours.clip_bound
        bounds.add(record.clip_bound)
        if isinstance(secure.state.clip, AdaptiveClip):
            assert secure.state.clip.bound == pytest.approx(bound_of(plain.state.clip), rel=1e-4)
    assert len(bounds) == (5 if kind == "adaptive" else 1)


def test_clipping_per_layer_in_a_run_holds_each_array_back_alone() -> None:
    federation, clip = devices(6), PerLayerClip((1e-3, 1e3))
    state = GlobalModel.initial(federation.model, clip)
    plain = PlainAveraging(devices=federation, test=TEST, clip_l2=1.0, state=state)
    before = copy.deepcopy(state.weights)
    free = plain_mean(updates_of(federation, before), clip_l2=1e6)
    plain.round(range(6))
    moved = [after - earlier for after, earlier in zip(plain.state.weights, before, strict=True)]
    assert 0 < l2_norm(moved[:1]) <= 1e-3
    np.testing.assert_allclose(moved[1], free[1], rtol=1e-9)


def test_clipping_that_a_mean_was_not_planned_for_is_refused() -> None:
    federation = devices()
    for kind in ("per-layer", "adaptive"):
        with pytest.raises(ConfigurationError, match="expected one planned for this model and this clip"):
            SecureAveraging(
                engine=InMemory(federation),
                model=federation.model,
                test=TEST,
                mean=mean_for(federation),
                state=GlobalModel.initial(federation.model, CLIPS[kind]),
            )
    shapes, clip_l2 = planned(CLIPS["adaptive"], shapes=federation.shapes, clip_l2=0.5)
    mean = mean_for(federation, shapes=shapes, clip_l2=clip_l2)
    with pytest.raises(ConfigurationError, match="expected one planned for this model and this clip"):
        SecureAveraging(engine=InMemory(federation), model=federation.model, test=TEST, mean=mean)
    weighted = mean_for(federation, shapes=shapes, clip_l2=clip_l2, weighting=Weighting.WEIGHTED, max_weight=9.0)
    with pytest.raises(ConfigurationError, match="uniform mean"):
        SecureAveraging(
            engine=InMemory(federation),
            model=federation.model,
            test=TEST,
            mean=weighted,
            state=GlobalModel.initial(federation.model, CLIPS["adaptive"]),
        )


def test_clipping_per_layer_takes_a_weighted_mean() -> None:
    prepared = prepare(config(clipping="per-layer", weighting="weighted", max_examples=12))
    assert prepared.clip == PerLayerClip((0.5 / math.sqrt(2),) * 2)
    assert prepared.mean.encoding.clip_l2 == pytest.approx(0.5, rel=1e-15)
    assert prepared.mean.encoding.weighting is Weighting.WEIGHTED


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clipping": "local"}, r"clipping: expected one of global, per-layer, adaptive, found 'local'"),
        (
            {"clipping": "adaptive", "clip_quantile": 0.0},
            r"clip_quantile: expected a number above 0 and below 1, found 0",
        ),
        (
            {"clipping": "adaptive", "clip_quantile": 1.0},
            r"clip_quantile: expected a number above 0 and below 1, found 1",
        ),
        ({"clip_quantile": 0.7}, "clip_quantile: expected none with clipping = global, found 0.7"),
        (
            {"clipping": "adaptive", "weighting": "weighted", "max_examples": 5},
            "counts all clients alike. Use weighting = uniform",
        ),
    ],
)
def test_clipping_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(settings)


def test_clipping_is_told_to_people() -> None:
    settings: dict[str, Any] = {"clip_l2": 0.5, "quantile": 0.7, "arrays": 4}
    told = [clip_in_words(kind, **settings, bounds=[0.5, 0.6, 0.25]) for kind in ClippingKind]
    assert told[0] == "l2 norm of a client's whole update at most 0.5"
    assert told[1] == "l2 norm of each of the 4 arrays of a client's update at most 0.25, of all 0.5"
    assert "a fraction of 0.7 of the updates is within it; 0.5 in the first round, 0.25 in the last" in told[2]
    assert "0.5 in the first round, 0.5 in the last" in clip_in_words(ClippingKind.ADAPTIVE, **settings, bounds=[])


def test_clipping_that_begins_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="bound: expected a number from 1e-30 to 1e"):
        prepare(config(clipping="adaptive", clip_l2=1e31))


def test_clipping_is_part_of_what_a_round_is_bound_to() -> None:
    arrays = [np.zeros(2)]
    adaptive = AdaptiveClip(bound=0.05, weight=0.25)
    clips = [*CLIPS.values(), replace(adaptive, bound=0.06), replace(adaptive, quantile=0.6)]
    assert len({GlobalModel(arrays, arrays, 1, clip).digest() for clip in clips}) == len(clips)
    assert GlobalModel(arrays, arrays, 1).digest() == GlobalModel(arrays, arrays, 1, GlobalClip()).digest()


def test_clipping_bound_goes_on_where_an_interrupted_run_left_it(tmp_path: Path) -> None:
    """Without noise, so that a run that was interrupted comes to the bounds of one that was not."""
    settings = config(clipping="adaptive", clip_l2=0.01)
    whole, folder = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "interrupted")
    whole.begin(settings)
    run_training(prepare(settings), whole, resume=False, observe=silent)
    folder.begin(settings)
    with pytest.raises(Interruption):
        run_training(prepare(settings), folder, resume=False, observe=stopping_at(2))
    like = GlobalModel.initial(prepare(settings).devices.model, prepare(settings).clip)
    assert bound_of(folder.restore(like, settings).clip) > 1.1 * 0.01
    run_training(prepare(settings), folder, resume=True, observe=silent)
    bounds = [[record.clip_bound or 0.0 for record in each.metrics()] for each in (whole, folder)]
    assert bounds[0][0] == bounds[1][0] == 0.01
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-4)
    assert bounds[0] == sorted(set(bounds[0]))


@pytest.mark.parametrize("found", [math.nan, 0.0, -1.0, 1e31, np.ones(2), np.int64(1), None])
def test_clipping_bound_that_no_run_comes_to_is_a_damaged_checkpoint(found: Any, tmp_path: Path) -> None:
    settings = config(clipping="adaptive")
    folder, clip = RunFolder(tmp_path / "run"), AdaptiveClip(bound=0.05, weight=0.25)
    folder.begin(settings)
    state = GlobalModel([np.ones((3, 2))], [np.zeros((3, 2))], 1, clip)
    folder.save(state, RoundRecord(round=1, accuracy=0.5, loss=1.0, contributors=7), settings)
    like = GlobalModel([np.zeros((3, 2))], [np.zeros((3, 2))], 0, replace(clip, bound=0.5))
    assert folder.restore(like, settings).clip == clip
    with np.load(folder.path / "checkpoint.npz") as archive:
        arrays = dict(archive) | {"clip_bound": np.asarray(found)}
    if found is None:
        del arrays["clip_bound"]
    np.savez(folder.path / "checkpoint.npz", **arrays)
    with pytest.raises(CheckpointError):
        folder.restore(like, settings)


def test_clipping_of_a_run_is_that_of_the_runs_it_is_compared_with(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(clipping="adaptive", compare=True, rounds=3, clip_l2=0.1)
    folder.begin(settings)
    run_training(prepare(settings), folder, resume=False, observe=silent)
    lines = folder.comparison()
    for compared in ("without noise", "plain"):
        records = [line.record for line in lines if line.kind == compared]
        assert len(records) == 3
        for own, other in zip(folder.metrics(), records, strict=True):
            assert own.loss == pytest.approx(other.loss, abs=1e-5)
            assert own.clip_bound == pytest.approx(other.clip_bound, rel=1e-4)


def test_clipping_adaptively_trains_privately_and_finds_the_quantile(tmp_path: Path) -> None:
    """From a bound below a fifth of the norms' median, with noise on updates and count, and one event a round.

    Over 12 runs, the mean fraction within the last six bounds was 0.58 with a standard deviation of 0.014, on its way
    from 0 to the quantile as norms fall; the nearer edge of the band is eight of them away.
    """
    settings = config(
        clients=100, rounds=22, epsilon=60.0, delta=5e-3, clipping="adaptive", clip_l2=0.04, protocol="plain"
    )
    prepared = prepare(settings)
    assert isinstance(prepared.clip, AdaptiveClip)
    assert prepared.mean.noise is not None
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=60.0, delta=5e-3, population=100) as ledger:
        training = SecureAveraging(
            engine=InMemory(prepared.devices, dropping=settings.dropping),
            model=prepared.devices.model,
            test=prepared.test,
            mean=prepared.mean,
            ledger=ledger,
            step=settings.server_step,
            state=GlobalModel.initial(prepared.devices.model, prepared.clip),
        )
        records, within = [], []
        for number in range(1, 23):
            weights, bound = training.state.weights, bound_of(training.state.clip)
            norms = [l2_norm(update) for update in updates_of(prepared.devices, weights, number).values()]
            within.append(sum(norm <= bound for norm in norms) / 100)
            records.append(training.round())
        assert within[0] < 0.05
        assert 0.3 < float(np.mean(within[-6:])) < 0.7
        assert records[-1].accuracy > 0.85
        events = [entry.reservation.event for entry in ledger.entries()]
        assert events == [prepared.mean.noise.event] * 22
        assert 0.99 * 60 < ledger.spent().epsilon <= 60
        assert ledger.spent().epsilon == guarantee({events[0]: 22}, delta=5e-3).epsilon
    assert prepared.mean.encoding.clip_l2 == prepared.clip.l2_sensitivity


def test_parameters_of_a_model_leave_out_the_array_of_a_clip_that_adapts() -> None:
    shapes = ((3, 4), (4,))
    assert model_parameters(ClippingKind.GLOBAL, shapes) == model_parameters(ClippingKind.PER_LAYER, shapes) == 16
    clip = choose_clip(
        ClippingKind.ADAPTIVE, clip_l2=1.0, quantile=0.5, arrays=2, contributors=10, noise_multiplier=None
    )
    contribution, _ = planned(clip, shapes=shapes, clip_l2=1.0)
    assert model_parameters(ClippingKind.ADAPTIVE, contribution) == 16
