from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.data.load import load_dataset
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.base import Model
from secagg.models.softmax import SoftmaxRegression

X = np.random.default_rng(1).normal(size=(12, 3))
Y = np.arange(12) % 4


def make(seed: int = 0, learning_rate: float = 0.1) -> SoftmaxRegression:
    return SoftmaxRegression(3, 4, learning_rate=learning_rate, seed=seed)


def loss_at(weights: list[NDArray[np.float64]]) -> float:
    model = make()
    model.set_weights(weights)
    return model.evaluate(X, Y).loss


def test_softmax_initial_weights_follow_the_seed() -> None:
    first, again, other = (make(seed).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert np.abs(first[0]).max() <= np.sqrt(6 / 7)
    assert not first[1].any()


def test_softmax_full_batch_step_is_the_numerical_gradient() -> None:
    model = make(learning_rate=1.0)
    start = model.get_weights()
    model.fit(X, Y, epochs=1, batch_size=len(X), seed=0)
    for index, (before, after) in enumerate(zip(start, model.get_weights(), strict=True)):
        for place in np.ndindex(before.shape):
            moved = []
            for step in (1e-5, -1e-5):
                weights = [array.copy() for array in start]
                weights[index][place] += step
                moved.append(loss_at(weights))
            assert before[place] - after[place] == pytest.approx((moved[0] - moved[1]) / 2e-5, abs=1e-8)


def test_softmax_evaluates_the_formula() -> None:
    model = make()
    kernel, bias = model.get_weights()
    scores = np.exp(X @ kernel + bias)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    metrics = model.evaluate(X, Y)
    assert metrics.loss == pytest.approx(-np.log(probabilities[np.arange(12), Y]).mean())
    assert metrics.accuracy == (probabilities.argmax(axis=1) == Y).mean()


def test_softmax_large_scores_stay_finite() -> None:
    model = make()
    model.set_weights([np.full((3, 4), 1e6), np.zeros(4)])
    assert np.isfinite(model.evaluate(X, Y).loss)
    model.fit(X * 1e3, Y, epochs=1, batch_size=4, seed=0)
    assert all(np.isfinite(array).all() for array in model.get_weights())


def test_softmax_fit_is_repeatable_and_follows_its_seed() -> None:
    results = []
    for seed in (3, 3, 4):
        model = make()
        model.fit(X, Y, epochs=2, batch_size=5, seed=seed)
        results.append(model.get_weights()[0])
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_softmax_weights_are_copies() -> None:
    model = make()
    weights = model.get_weights()
    weights[0][:] = 7
    assert not (model.get_weights()[0] == 7).any()
    model.set_weights(weights)
    weights[0][:] = 8
    assert (model.get_weights()[0] == 7).all()


def test_softmax_learns_the_digits() -> None:
    data = load_dataset("digits", seed=0)
    model: Model = SoftmaxRegression(64, data.classes, learning_rate=0.5, seed=0)
    model.fit(data.train_x, data.train_y, epochs=30, batch_size=32, seed=0)
    assert model.evaluate(data.test_x, data.test_y).accuracy >= 0.94


def test_softmax_takes_images_as_rows() -> None:
    model = SoftmaxRegression(6, 4, seed=0)
    images = np.random.default_rng(0).normal(size=(12, 2, 3))
    assert model.evaluate(images, Y) == model.evaluate(images.reshape(12, 6), Y)


def test_softmax_survives_saving(tmp_path: Path) -> None:
    model = make(learning_rate=0.3)
    model.fit(X, Y, epochs=1, batch_size=4, seed=0)
    model.save(tmp_path / "model.npz")
    loaded = SoftmaxRegression.load(tmp_path / "model.npz")
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    for one in (model, loaded):
        one.fit(X, Y, epochs=1, batch_size=4, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True))
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_softmax_load_refuses_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(DataError, match="found nothing"):
        SoftmaxRegression.load(path)
    kernel, bias, rate = np.zeros((3, 4)), np.zeros(4), np.float64(0.1)
    for arrays in (
        {"kernel": bias, "bias": bias, "learning_rate": rate},
        {"kernel": kernel, "bias": np.zeros(5), "learning_rate": rate},
        {"kernel": kernel, "bias": bias, "learning_rate": np.float64(-1)},
        {"kernel": kernel, "bias": bias, "learning_rate": bias},
        {"kernel": np.full((3, 4), np.nan), "bias": bias, "learning_rate": rate},
        {"kernel": kernel.astype(int), "bias": bias, "learning_rate": rate},
    ):
        np.savez(path, **arrays)
        with pytest.raises(ModelError):
            SoftmaxRegression.load(path)


def test_softmax_save_refuses_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\.npz"):
        make().save(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("features", "classes", "rate", "seed"),
    [(0, 4, 0.1, 0), (3, 1, 0.1, 0), (3, 4, 0, 0), (3, 4, float("nan"), 0), (3, 4, True, 0), (3, 4, 0.1, -1)],
)
def test_softmax_refuses_bad_settings(features: int, classes: int, rate: float, seed: int) -> None:
    with pytest.raises(ConfigurationError):
        SoftmaxRegression(features, classes, learning_rate=rate, seed=seed)


@pytest.mark.parametrize(
    "weights",
    [
        [np.zeros((3, 4))],
        [np.zeros((4, 3)), np.zeros(4)],
        [np.zeros((3, 4)), np.full(4, np.inf)],
        [np.full((3, 4), np.nan), np.zeros(4)],
        [np.zeros((3, 4)), np.full(4, np.longdouble("1e400"))],
        [np.zeros((3, 4), dtype=int), np.zeros(4)],
        [np.zeros((3, 4)), [0.0] * 4],
    ],
)
def test_softmax_refuses_bad_weights_and_keeps_its_own(weights: list[NDArray[np.float64]]) -> None:
    model = make()
    before = model.get_weights()
    with pytest.raises(ModelError):
        model.set_weights(weights)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X[:, :2], Y),
        (X[:0], Y[:0]),
        (X, Y[:-1]),
        (X, Y + 1),
        (X, Y - 1),
        (X, Y.astype(float)),
        (X, Y == 1),
        (X, np.eye(4, dtype=int)[Y]),
        (X.astype(complex), Y),
        (X.astype(object), Y),
        (np.where(X > 1, np.nan, X), Y),
        (np.where(X > 1, np.inf, X), Y),
        (X[0], Y),
        (X.tolist(), Y),
    ],
)
def test_softmax_refuses_bad_data_before_training(x: NDArray[np.float64], y: NDArray[np.int64]) -> None:
    model = make()
    before = model.get_weights()
    with pytest.raises(DataError):
        model.fit(x, y, epochs=1, batch_size=4, seed=0)
    with pytest.raises(DataError):
        model.evaluate(x, y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("epochs", "batch_size", "seed"), [(0, 4, 0), (1, 0, 0), (1, 4, -1), (True, 4, 0), (1, 4.0, 0)]
)
def test_softmax_refuses_a_bad_schedule(epochs: int, batch_size: int, seed: int) -> None:
    with pytest.raises(ConfigurationError):
        make().fit(X, Y, epochs=epochs, batch_size=batch_size, seed=seed)
