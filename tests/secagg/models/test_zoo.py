from pathlib import Path

import numpy as np
import pytest

from secagg.data.load import load_dataset
from secagg.errors import ConfigurationError, ModelError
from secagg.models.keras import KerasModel
from secagg.models.softmax import SoftmaxRegression
from secagg.models.zoo import NAMES, SUFFIXES, build


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "shape", "numbers"),
    [
        ("softmax", (64,), 65 * 10),
        ("softmax", (8, 8, 1), 65 * 10),
        ("mlp", (64,), 65 * 64 + 65 * 10),
        ("cnn", (8, 8), 10 * 16 + (16 * 9 + 1) * 32 + (2 * 2 * 32 + 1) * 10),
        ("cnn", (8, 8, 1), 10 * 16 + (16 * 9 + 1) * 32 + (2 * 2 * 32 + 1) * 10),
        ("numpy-softmax", (8, 8), 65 * 10),
    ],
)
def test_zoo_models_learn_the_digits(name: str, shape: tuple[int, ...], numbers: int) -> None:
    data = load_dataset("digits", seed=0)
    model = build(name, shape, data.classes, learning_rate=1.0 if name == "numpy-softmax" else 0.02, seed=0)
    assert sum(array.size for array in model.get_weights()) == numbers
    train_x, test_x = data.train_x.reshape(-1, *shape), data.test_x.reshape(-1, *shape)
    model.fit(train_x, data.train_y, epochs=10, batch_size=64, seed=0)
    assert model.evaluate(test_x, data.test_y).accuracy > 0.92


@pytest.mark.tensorflow
def test_zoo_models_are_what_their_names_say() -> None:
    models = [build(name, (4, 4), 2, seed=0) for name in NAMES]
    assert {type(model) for model in models} == {KerasModel, SoftmaxRegression}
    assert {model.suffix for model in models} == set(SUFFIXES)


@pytest.mark.tensorflow
def test_zoo_learning_rate_and_optimizer_reach_the_model() -> None:
    x, y = np.eye(4, dtype=np.float32), np.arange(4) % 2
    steps = []
    for rate in (0.1, 0.2):
        model = build("softmax", (4,), 2, optimizer="sgd", learning_rate=rate, seed=0)
        start = model.get_weights()[0]
        model.fit(x, y, epochs=1, batch_size=4, seed=0)
        steps.append(model.get_weights()[0] - start)
    np.testing.assert_allclose(steps[1], 2 * steps[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "optimizer"),
    [
        ("resnet", (4,), 2, None),
        ("cnn", (64,), 2, None),
        ("cnn", (3, 8), 2, None),
        ("softmax", (0,), 2, None),
        ("softmax", (4,), 1, None),
        ("numpy-softmax", (4,), 2, "adam"),
    ],
)
def test_zoo_refuses_what_does_not_fit(name: str, shape: tuple[int, ...], classes: int, optimizer: str | None) -> None:
    with pytest.raises(ConfigurationError):
        build(name, shape, classes, optimizer=optimizer, seed=0)


def test_zoo_models_are_saved_under_the_suffix_that_they_name(tmp_path: Path) -> None:
    model = build("numpy-softmax", (4,), 3, seed=1)
    assert model.suffix in SUFFIXES
    model.save(tmp_path / f"model{model.suffix}")
    for other in set(SUFFIXES) - {model.suffix}:
        with pytest.raises(ModelError, match=f"ends in {model.suffix}"):
            model.save(tmp_path / f"model{other}")
