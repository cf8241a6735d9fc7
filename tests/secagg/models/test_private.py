"""Statistical tests raise a false alarm with probability 1e-6 a check and get one retry on a fresh seed."""

import math
import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from secagg.errors import ConfigurationError, ModelError
from secagg.models.clipped_sum import SEED_BYTES, ClippedNoisySum
from secagg.models.poisson import poisson_sample
from secagg.models.private import PrivateKerasModel, filled_up
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow
from secagg.models.zoo import build
from secagg.privacy.example_level import ExampleLevel

pytestmark = [pytest.mark.tensorflow, pytest.mark.example_level]

FALSE_ALARM = 1e-6
FEATURES, CLASSES, EXAMPLES = 6, 4, 20
X = np.random.default_rng(1).normal(size=(EXAMPLES, FEATURES)).astype(np.float32)
X *= np.geomspace(0.05, 5, EXAMPLES, dtype=np.float32)[:, None]  # gradients below the clip and beyond it
Y = np.random.default_rng(2).integers(CLASSES, size=EXAMPLES)
NEARLY_NONE = 1e-20


def plan(**changes: Any) -> ExampleLevel:
    """One step a round, on all examples; such a noise multiplier is lost in the rounding of float32."""
    settings = {"noise_multiplier": NEARLY_NONE, "clip_l2": 0.7, "examples": EXAMPLES, "clients": 1, "epochs": 1}
    return ExampleLevel(**settings | {"batch_size": EXAMPLES} | changes)


class ChosenSamplesEntropy:
    """Entropy that gives the steps these samples, in turn; seeds are the operating system's."""

    def __init__(self, *samples: tuple[int, ...]) -> None:
        self._samples = iter(samples)

    def __call__(self, size: int) -> bytes:
        if size == SEED_BYTES:
            return os.urandom(size)
        sample = next(self._samples)
        return b"".join(bytes(8) if position in sample else b"\xff" * 8 for position in range(size // 8))


def softmax(training: ExampleLevel, *, features: int = FEATURES, **arguments: Any) -> PrivateKerasModel:
    keras = load_legacy_keras()

    def builder() -> Any:
        return keras.Sequential([keras.Input((features,)), keras.layers.Dense(CLASSES, activation="softmax")])

    # With this learning rate a step subtracts the noisy sum itself.
    return PrivateKerasModel(builder, training=training, learning_rate=training.expected_examples, seed=3, **arguments)


@pytest.fixture(scope="module")
def full() -> PrivateKerasModel:
    return softmax(plan())


def step(model: PrivateKerasModel, x: NDArray[Any], y: NDArray[Any], training: ExampleLevel) -> NDArray[np.float64]:
    """What one step from the model's first weights subtracts, as one vector."""
    start = model.get_weights()
    model.fit(x, y, epochs=training.epochs, batch_size=training.batch_size, seed=0)
    after = model.get_weights()
    model.set_weights(start)
    return np.concatenate([(a.astype(np.float64) - b).ravel() for a, b in zip(start, after, strict=True)])


def clipped_gradients(model: PrivateKerasModel, x: NDArray[Any], y: NDArray[Any], clip: float) -> NDArray[np.float64]:
    """Each example's clipped gradient of the cross-entropy of softmax regression, worked out by hand, in rows."""
    kernel, bias = (array.astype(np.float64) for array in model.get_weights())
    scores = np.exp(x.astype(np.float64) @ kernel + bias)
    residual = scores / scores.sum(axis=1, keepdims=True) - np.eye(CLASSES)[y]
    rows = np.hstack([(x[:, :, None] * residual[:, None, :]).reshape(len(x), -1), residual])
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True) / clip, 1))


def test_step_is_the_sum_of_clipped_gradients(full: PrivateKerasModel) -> None:
    training = plan()
    expected = clipped_gradients(full, X, Y, training.clip_l2)
    norms = np.linalg.norm(expected, axis=1)
    assert norms.min() < 0.5 * training.clip_l2
    assert np.isclose(norms, training.clip_l2).sum() > 5
    # Both weights and their differences are float32.
    np.testing.assert_allclose(step(full, X, Y, training), expected.sum(axis=0), atol=2e-6)


def test_removing_an_example_changes_the_sum_by_at_most_the_clip(full: PrivateKerasModel) -> None:
    training = plan()
    whole = step(full, X, Y, training)
    for gone in range(EXAMPLES):
        rest = step(full, np.delete(X, gone, axis=0), np.delete(Y, gone), training)
        assert np.linalg.norm(whole - rest) <= training.clip_l2 + 5e-6


def test_examples_whose_gradients_are_not_finite_count_as_none(full: PrivateKerasModel) -> None:
    training = plan()
    beyond = np.full((1, FEATURES), 3e38, dtype=np.float32)
    with_it = step(full, np.vstack([X, beyond]), np.append(Y, 0), training)
    np.testing.assert_array_equal(with_it, step(full, X, Y, training))


def test_an_example_that_overflows_leaves_the_gradients_of_others_alone() -> None:
    """The hidden layer's activations become infinite, which is times zero in a Jacobian over all examples."""
    training = plan()
    model = build("mlp", (FEATURES,), CLASSES, private=training, learning_rate=1.0, seed=1)
    assert isinstance(model, PrivateKerasModel)
    model.set_weights([4 * array for array in model.get_weights()])
    beyond = np.full((1, FEATURES), 3e38, dtype=np.float32)
    alone = step(model, X, Y, training)
    assert np.linalg.norm(alone) * training.expected_examples > 3 * training.clip_l2
    np.testing.assert_allclose(step(model, np.vstack([X, beyond]), np.append(Y, 0), training), alone, atol=2e-6)


def test_rows_that_fill_up_a_sample_add_nothing_whatever_they_hold(full: PrivateKerasModel) -> None:
    start = full.get_weights()
    train = full._program(X, Y).train
    found = []
    for filling in (0.0, 1.0, 1e30, math.inf, math.nan):
        x = filled_up(X)
        x[EXAMPLES:] = filling
        full._present.assign(EXAMPLES)
        train(x, filled_up(Y))
        found.append(full.get_weights())
        full.set_weights(start)
    for other in found[1:]:
        for one, same in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, same)
    for rows, size in ((0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8)):
        assert filled_up(X[:rows]).shape == (size, FEATURES)


def test_clipped_gradients_of_a_network_are_within_the_clip() -> None:
    tensorflow = load_tensorflow()
    model = build("mlp", (FEATURES,), CLASSES, private=plan(), seed=1).model  # type: ignore[attr-defined]
    query = ClippedNoisySum(tensorflow, None, clip_l2=0.7, noise_stddev=1.0)
    norms = []
    for x, y in zip(30 * X, Y, strict=True):
        with tensorflow.GradientTape() as tape:
            loss = -tensorflow.math.log(model(x[None])[0, int(y)])
        parts = [part.numpy().ravel() for part in query.clipped(tape.gradient(loss, model.trainable_variables))]
        norms.append(math.sqrt(math.fsum(entry * entry for part in parts for entry in part.tolist())))
    assert max(norms) <= 0.7
    assert max(norms) > 0.7 * (1 - 1e-8)


@pytest.mark.parametrize("record", [[0.0, 0.0], [3e38, 3e38], [1e-30, 0.0], [math.inf, 0.0], [math.nan, 1.0]])
def test_clipped_records_are_finite_and_within_the_clip(record: list[float]) -> None:
    tensorflow = load_tensorflow()
    query = ClippedNoisySum(tensorflow, None, clip_l2=0.7, noise_stddev=1.0)
    clipped = query.clipped([tensorflow.constant([entry], tensorflow.float32) for entry in record])
    found = np.concatenate([part.numpy() for part in clipped])
    assert np.linalg.norm(found) <= 0.7
    assert found.any() == (math.isfinite(sum(record)) and any(record))


def test_samples_of_any_size_are_divided_by_the_expected_size() -> None:
    training = plan(batch_size=10)
    samples = [(2,), (2, 11, 19), tuple(range(EXAMPLES))]
    model = softmax(training, entropy=ChosenSamplesEntropy(*(each for sample in samples for each in (sample, ()))))
    gradients = clipped_gradients(model, X, Y, training.clip_l2)
    for sample in samples:
        expected = gradients[list(sample)].sum(axis=0)
        np.testing.assert_allclose(step(model, X, Y, training), expected, atol=2e-6)


def test_noise_of_a_step_is_normal_with_the_deviation_accounted_for() -> None:
    """On 12 fits of two steps each, 6,432 sums of two deviates; the samples are empty."""
    training = plan(batch_size=10, noise_multiplier=1.7, clip_l2=0.9)
    features, fits = 133, 12
    deviation = math.sqrt(training.steps) * training.event.noise_multiplier * training.clip_l2
    x = np.ones((EXAMPLES, features), np.float32)
    model = softmax(training, features=features, entropy=ChosenSamplesEntropy(*[()] * (4 * fits)))
    model.set_weights([np.zeros_like(array) for array in model.get_weights()])

    def p_value() -> float:
        drawn = np.concatenate([step(model, x, Y, training) for _ in range(fits)]) / deviation
        assert drawn.size == 6432
        tail = float(stats.chi2.cdf((drawn**2).sum(), drawn.size))
        mean = float(stats.norm.cdf(drawn.sum() / math.sqrt(drawn.size)))
        # Bonferroni's correction for three two-sided checks.
        shape = float(stats.kstest(drawn, "norm").pvalue)
        return 3 * min(2 * min(tail, 1 - tail), 2 * min(mean, 1 - mean), shape)

    assert any(p_value() > FALSE_ALARM for _ in range(2))


def test_noise_and_samples_do_not_follow_from_the_seed() -> None:
    training = plan(batch_size=10, noise_multiplier=1.0)
    one, again = softmax(training), softmax(training)
    for first, second in zip(one.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    drawn = [step(model, X, Y, training) for model in (one, again, one)]
    assert all(not np.allclose(a, b) for a, b in zip(drawn, [*drawn[1:], drawn[0]], strict=True))


def test_poisson_sample_takes_each_example_with_the_rate_by_itself() -> None:
    """200 samples of 1,000 examples: all coins together, and each example's own, against the binomial law."""

    def p_value() -> float:
        taken = np.zeros((200, 1000), dtype=bool)
        for row in taken:
            row[poisson_sample(1000, 0.3, os.urandom)] = True
        together = float(stats.binomtest(int(taken.sum()), taken.size, 0.3).pvalue)
        variance = 200 * 0.3 * 0.7
        spread = float(((taken.sum(axis=0) - 60) ** 2).sum() / variance)
        sizes = float(((taken.sum(axis=1) - 300) ** 2).sum() / (1000 * 0.3 * 0.7))
        tails = [float(stats.chi2.cdf(spread, 1000)), float(stats.chi2.cdf(sizes, 200))]
        return 3 * min(together, *(2 * min(tail, 1 - tail) for tail in tails))

    assert any(p_value() > FALSE_ALARM for _ in range(2))


@pytest.mark.parametrize("rate", [1e-18, 0.25, 0.9, math.nextafter(1, 0)])
def test_poisson_sample_never_exceeds_its_rate(rate: float) -> None:
    threshold = int(rate * 2**64)
    coins = [max(threshold - 1, 0), threshold, 2**64 - 1]
    tossed = b"".join(coin.to_bytes(8, "little") for coin in coins)
    assert poisson_sample(3, rate, lambda size: tossed[:size]).tolist() == [0]


def test_poisson_sample_at_rate_one_is_everybody_and_may_be_nobody_below() -> None:
    assert poisson_sample(3, 1.0, os.urandom).tolist() == [0, 1, 2]
    assert poisson_sample(3, 0.99, lambda size: b"\xff" * size).tolist() == []


@pytest.mark.parametrize(("examples", "rate"), [(0, 0.5), (3, 0.0), (3, 1.1), (3, math.nan), (True, 0.5)])
def test_poisson_sample_out_of_range_is_refused(examples: int, rate: float) -> None:
    with pytest.raises(ConfigurationError):
        poisson_sample(examples, rate, os.urandom)


def test_entropy_that_is_short_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="24 bytes of entropy, found 3"):
        poisson_sample(3, 0.5, lambda size: b"\0" * 3)
    with pytest.raises(ConfigurationError, match="24 bytes of entropy, found 3"):
        softmax(plan(), entropy=lambda size: b"\0" * 3)


@pytest.mark.parametrize(("epochs", "batch_size"), [(2, EXAMPLES), (1, EXAMPLES - 1)])
def test_training_other_than_planned_is_refused(full: PrivateKerasModel, epochs: int, batch_size: int) -> None:
    with pytest.raises(ConfigurationError, match="for which the noise was planned"):
        full.fit(X, Y, epochs=epochs, batch_size=batch_size, seed=0)


@pytest.mark.parametrize("kind", ["batch normalisation", "penalty", "activity penalty", "float64"])
def test_models_whose_examples_cannot_be_protected_are_refused(kind: str) -> None:
    keras = load_legacy_keras()
    layers, penalty = keras.layers, keras.regularizers.L2(0.01)
    hidden: Any = {
        "batch normalisation": layers.BatchNormalization(),
        "penalty": layers.Dense(3, kernel_regularizer=penalty),
        "activity penalty": layers.Dense(3, activity_regularizer=penalty),
        "float64": layers.Dense(3, dtype="float64"),
    }[kind]

    def builder() -> Any:
        return keras.Sequential([keras.Input((FEATURES,)), hidden, layers.Dense(CLASSES, activation="softmax")])

    with pytest.raises(ModelError):
        PrivateKerasModel(builder, training=plan(), learning_rate=0.1, seed=0)


@pytest.mark.parametrize(
    ("name", "optimizer", "would_do"),
    [("numpy-softmax", "sgd", "Use softmax, the same model in Keras"), ("mlp", "adam", "server's momentum")],
)
def test_zoo_refuses_what_does_not_go_with_protected_examples(name: str, optimizer: str, would_do: str) -> None:
    with pytest.raises(ConfigurationError, match=would_do):
        build(name, (FEATURES,), CLASSES, optimizer=optimizer, private=plan(), seed=0)


def test_model_that_draws_random_numbers_is_refused() -> None:
    """With one example less, dropout would draw other masks for all behind it."""
    keras = load_legacy_keras()

    def dropping() -> Any:
        return keras.Sequential(
            [keras.Input((FEATURES,)), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES)]
        )

    with pytest.raises(ModelError, match="without random layers"):
        PrivateKerasModel(dropping, training=plan(), learning_rate=0.1, seed=1)
