import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from secagg.errors import MissingExtraError
from secagg.models.tensorflow import load_legacy_keras, load_tensorflow, load_tensorflow_privacy

pytestmark = pytest.mark.tensorflow


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**kept, **environment}, check=False
    )


@pytest.mark.example_level
def test_tensorflow_loads_once_with_legacy_keras() -> None:
    tensorflow = load_tensorflow()
    assert load_tensorflow() is tensorflow
    assert tensorflow.keras.Model is load_legacy_keras().Model


def test_tensorflow_loads_quietly_in_a_child_process_of_one_that_has_loaded_it() -> None:
    program = """
import subprocess
import sys
from secagg.models.tensorflow import load_tensorflow
load_tensorflow()
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-c", PROGRAM, "child"], check=True)
"""
    result = run(f"PROGRAM = {program!r}\n" + program)
    assert (result.returncode, result.stderr) == (0, "")


def test_tensorflow_loads_quietly_but_passes_other_lines_on() -> None:
    quiet = run("from secagg.models.tensorflow import load_tensorflow; load_tensorflow()")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    program = """
import os
from secagg.models.tensorflow import _without_log_lines
with _without_log_lines():
    os.write(2, b"I0000 00:00:1795164807.3 1 port.cc:1] chatter\\nkept line\\n")
"""
    assert run(program).stderr == "kept line\n"


@pytest.mark.example_level
def test_privacy_optimizer_takes_microbatched_steps() -> None:
    tensorflow, keras, privacy = load_tensorflow(), load_legacy_keras(), load_tensorflow_privacy()
    generator = np.random.default_rng(0)
    x = generator.normal(size=(64, 4)).astype(np.float32)
    y = (x @ np.array([1, -2, 0.5, 1]) > 0).astype(np.int64)
    for kind in (privacy.DPKerasSGDOptimizer, privacy.DPKerasAdamOptimizer, privacy.VectorizedDPKerasSGDOptimizer):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        optimizer = kind(l2_norm_clip=1.0, noise_multiplier=0.1, num_microbatches=16, learning_rate=0.3)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
        before = [array.copy() for array in model.get_weights()]
        model.fit(x, y, epochs=20, batch_size=32, verbose=0)
        assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
        outputs = tensorflow.argmax(model(x), axis=1).numpy()
        assert (outputs == y).mean() > 0.85


@pytest.mark.example_level
def test_privacy_optimizer_clips_each_microbatch() -> None:
    tensorflow, privacy = load_tensorflow(), load_tensorflow_privacy()
    variable = tensorflow.Variable([0.0, 0.0])
    optimizer = privacy.DPKerasSGDOptimizer(
        l2_norm_clip=1.0, noise_multiplier=0.0, num_microbatches=2, learning_rate=1.0
    )
    data = tensorflow.constant([[30.0, 40.0], [0.0, 0.5]])
    optimizer.minimize(lambda: tensorflow.linalg.matvec(data, variable), [variable])
    # Gradients (30, 40) clipped to (0.6, 0.8) and (0, 0.5) untouched, averaged, descended.
    np.testing.assert_allclose(variable.numpy(), [-0.3, -0.65], rtol=1e-6)


@pytest.mark.example_level
def test_privacy_query_sums_clipped_records_with_noise() -> None:
    tensorflow, privacy = load_tensorflow(), load_tensorflow_privacy()
    records = [tensorflow.fill([100_000], value) for value in (1.0, -2.0)]
    results = []
    for stddev in (0.0, 3.0):
        query = privacy.GaussianSumQuery(l2_norm_clip=1e9, stddev=stddev)
        state = query.initial_global_state()
        sample = query.initial_sample_state(records[0])
        for record in records:
            sample = query.accumulate_record(query.derive_sample_params(state), sample, record)
        results.append(query.get_noised_result(sample, state)[0].numpy())
    np.testing.assert_allclose(results[0], -1.0)
    # 1e5 normal samples: their deviation leaves [2.9, 3.1] with probability under 1e-40, their mean +-0.06 under 1e-9.
    assert 2.9 < np.std(results[1]) < 3.1
    assert abs(np.mean(results[1]) + 1) < 0.06


@pytest.mark.example_level
def test_privacy_leaves_its_import_switch_as_it_was() -> None:
    load_tensorflow_privacy()
    assert not hasattr(sys, "skip_tf_privacy_import")


@pytest.mark.example_level
def test_privacy_refuses_a_tensorflow_with_another_keras() -> None:
    program = """
import tensorflow
tensorflow.keras.Model
from secagg.errors import ConfigurationError
from secagg.models.tensorflow import load_tensorflow_privacy
try:
    load_tensorflow_privacy()
except ConfigurationError as error:
    print(error)
"""
    result = run(program, TF_CPP_MIN_LOG_LEVEL="3")
    assert "TF_USE_LEGACY_KERAS=1" in result.stdout, result.stderr


WITHOUT = """
import sys
from importlib.machinery import PathFinder

class FinderWithoutModule:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in {absent} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = FinderWithoutModule
from secagg.errors import MissingExtraError
from secagg.models.zoo import build
"""
EXAMPLE_LEVEL = """
from secagg.privacy.example_level import ExampleLevel
private = ExampleLevel(clip_l2=1.0, noise_multiplier=1.0, examples=8, clients=2, epochs=1, batch_size=4)
try:
    build("softmax", (3,), 2, private=private, seed=0)
except MissingExtraError as error:
    print(error)
"""


def test_missing_tensorflow_names_the_extra() -> None:
    program = f"""{WITHOUT.format(absent=("tensorflow", "tf_keras"))}
build("numpy-softmax", (3,), 2, seed=0)
try:
    build("softmax", (3,), 2, seed=0)
except MissingExtraError as error:
    print(error)
"""
    result = run(program)
    assert result.stdout == (
        'tensorflow is not installed. Install it, in a clone of secagg, by: pip install ".[training]"\n'
    ), result.stderr


def test_training_needs_tensorflow_and_its_keras_alone() -> None:
    """As with the extra `training`, without the extra `example-level`."""
    program = f"""{WITHOUT.format(absent=("tf_keras", "tensorflow_privacy"))}
import numpy as np
model = build("mlp", (3,), 2, seed=0)
model.fit(np.eye(3, dtype=np.float32), np.array([0, 1, 0]), epochs=1, batch_size=2, seed=0)
print(type(model.model).__module__.partition(".")[0])
{EXAMPLE_LEVEL}"""
    result = run(program)
    assert result.returncode == 0, result.stderr
    trained, refused = result.stdout.splitlines()
    assert trained == "keras"
    if sys.version_info < (3, 12):
        assert (
            'tensorflow_privacy is not installed. Install it, in a clone of secagg, by: pip install ".[example-'
            in refused
        )
    else:
        assert "needs tensorflow-privacy, which supports Python below 3.12: expected Python 3.11" in refused
        assert "pip install" not in refused


@pytest.mark.parametrize("python", [(3, 12), (3, 13), (4, 0)])
def test_example_level_on_a_later_python_names_the_python_needed(python: tuple[int, int]) -> None:
    message = str(MissingExtraError("tf_keras", "example-level", python=python))
    assert message == (
        "The extra example-level (--unit example) needs tensorflow-privacy, which supports Python below 3.12: expected "
        f"Python 3.11, found {python[0]}.{python[1]}. Use Python 3.11, or protect whole clients (--unit client)."
    )
    assert "pip install" not in message
    assert 'pip install ".[example-level]"' in str(MissingExtraError("tf_keras", "example-level", python=(3, 11)))


def test_importing_the_models_imports_no_heavy_package() -> None:
    heavy = "('tensorflow', 'tf_keras', 'keras', 'sklearn', 'scipy', 'tensorflow_privacy')"
    program = f"import sys, secagg.models.zoo, secagg.data.load; print([m for m in {heavy} if m in sys.modules])"
    assert run(program).stdout == "[]\n"
    assert importlib.util.find_spec("tensorflow") is not None
