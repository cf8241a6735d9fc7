"""The only module that imports TensorFlow, Keras and tensorflow-privacy.

TensorFlow takes seconds to import, so it is imported on first use. Training needs only TensorFlow and its Keras 3 (the
extra `training`). Example-level privacy also needs tensorflow-privacy and tf-keras (the extra `example-level`). These
need two switches:

- `TF_USE_LEGACY_KERAS=1`, before `tf.keras` is first touched, makes `tf.keras` the package tf-keras (Keras 2).
  tensorflow-privacy 0.9 derives its optimizers from `tf.keras.optimizers.legacy`, which Keras 3 no longer has.
  Models made with `import keras` (Keras 3) are not affected and may live in the same process.
- `sys.skip_tf_privacy_import`, before `tensorflow_privacy` is imported, makes its `__init__` import nothing. It would
  otherwise import its TensorFlow 1 estimators. Their package, tensorflow-estimator 2.15, cannot be imported under
  TensorFlow 2.16 and later. The Keras optimizers and queries of tensorflow-privacy work if imported one by one.

Known to work together: tensorflow 2.21, tf-keras 2.21, tensorflow-privacy 0.9.0 and numpy 1.26 on Python 3.11. Without
tensorflow-privacy: tensorflow 2.21, keras 3.15 and numpy 2.5 on Python 3.12 and 3.13.
"""

import importlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from types import SimpleNamespace
from typing import Any, Final

from secagg.errors import ConfigurationError, MissingExtraError

_LEGACY_KERAS: Final = "TF_USE_LEGACY_KERAS"
_LOG_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"
_LOG_LINE: Final = re.compile(rb"[IWE]\d{4} \d\d:\d\d:\d|WARNING: All log messages before absl")
_PRIVACY: Final = {
    "optimizers.dp_optimizer_keras": (
        "DPKerasAdagradOptimizer",
        "DPKerasAdamOptimizer",
        "DPKerasSGDOptimizer",
        "GenericDPSGDOptimizer",
    ),
    "optimizers.dp_optimizer_keras_vectorized": (
        "VectorizedDPKerasAdagradOptimizer",
        "VectorizedDPKerasAdamOptimizer",
        "VectorizedDPKerasSGDOptimizer",
    ),
    "dp_query.gaussian_query": ("GaussianSumQuery",),
    "dp_query.discrete_gaussian_query": ("DiscreteGaussianSumQuery",),
    "dp_query.distributed_discrete_gaussian_query": ("DistributedDiscreteGaussianSumQuery",),
    "dp_query.distributed_skellam_query": ("DistributedSkellamSumQuery",),
    "dp_query.no_privacy_query": ("NoPrivacyAverageQuery", "NoPrivacySumQuery"),
    "dp_query.normalized_query": ("NormalizedQuery",),
    "dp_query.quantile_adaptive_clip_sum_query": ("QuantileAdaptiveClipSumQuery",),
}


@cache
def load_tensorflow() -> Any:
    """Import TensorFlow once. If tf-keras is installed, it becomes `tf.keras`, unless the user has chosen otherwise.

    TensorFlow's start-up messages are suppressed unless `TF_CPP_MIN_LOG_LEVEL` is set.

    Returns:
        The module `tensorflow`.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    _require("tensorflow", "training")
    if has_legacy_keras():
        os.environ.setdefault(_LEGACY_KERAS, "1")
    if _LOG_LEVEL in os.environ:
        return importlib.import_module("tensorflow")
    os.environ[_LOG_LEVEL] = "2"
    try:
        with _without_log_lines():
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.config.list_physical_devices()  # Its messages about absent accelerators appear here.
    finally:
        del os.environ[_LOG_LEVEL]  # A child process would take it for the user's wish to see these messages.
    return tensorflow


@cache
def load_keras() -> Any:
    """Import the Keras of TensorFlow, Keras 3.

    Returns:
        The module `keras`.

    Raises:
        MissingExtraError: TensorFlow or Keras is not installed.
    """
    load_tensorflow()
    _require("keras", "training")
    return importlib.import_module("keras")


def has_legacy_keras() -> bool:
    """Return whether tf-keras is installed."""
    return _is_installed("tf_keras")


@cache
def load_legacy_keras() -> Any:
    """Import tf-keras, the Keras 2 of TensorFlow.

    Returns:
        The module `tf_keras`.

    Raises:
        MissingExtraError: TensorFlow or tf-keras is not installed.
    """
    load_tensorflow()
    _require("tf_keras", "example-level")
    return importlib.import_module("tf_keras")


@cache
def load_tensorflow_privacy() -> SimpleNamespace:
    """Import those parts of tensorflow-privacy that work: its Keras optimizers and its queries.

    Returns:
        A namespace with those classes under their own names, such as `DPKerasAdamOptimizer` or `GaussianSumQuery`.

    Raises:
        MissingExtraError: TensorFlow, tf-keras or tensorflow-privacy is not installed.
        ConfigurationError: `tf.keras` is Keras 3 in this process, or the installed versions do not work together.
    """
    for package in ("tensorflow_privacy", "tf_keras"):
        _require(package, "example-level")
    tensorflow = load_tensorflow()
    home = tensorflow.keras.Model.__module__
    if not home.startswith("tf_keras"):
        raise ConfigurationError(
            f"tf.keras: expected tf-keras, which tensorflow-privacy needs, found {home.partition('.')[0]}: TensorFlow "
            f"was imported without {_LEGACY_KERAS}=1. Set {_LEGACY_KERAS}=1 in the environment, or call "
            "secagg.models.tensorflow.load_tensorflow() before TensorFlow is first imported."
        )
    try:
        with _privacy_import_switch():
            modules = {name: importlib.import_module(f"tensorflow_privacy.privacy.{name}") for name in _PRIVACY}
        return SimpleNamespace(**{name: getattr(modules[home], name) for home in _PRIVACY for name in _PRIVACY[home]})
    except (ImportError, AttributeError, TypeError) as error:
        found = ", ".join(
            f"{name} {metadata.version(name)}" for name in ("tensorflow", "tf-keras", "tensorflow-privacy", "numpy")
        )
        raise ConfigurationError(
            f"tensorflow-privacy: expected versions that work together, found {found} ({error}). Use tensorflow 2.21, "
            "tf-keras 2.21, tensorflow-privacy 0.9.0 and numpy 1.26, which are known to work together."
        ) from error


def written_by(traced: Any) -> set[int]:
    """Return the variables to which a traced function may write, also in functions and branches that it calls.

    The answer comes from the code by which TensorFlow itself orders operations
    (tensorflow/python/framework/auto_control_deps_utils.py).

    Args:
        traced: A concrete function.

    Returns:
        The `id` of each such variable's `handle`.
    """
    dependencies = importlib.import_module("tensorflow.python.framework.auto_control_deps_utils")
    graph, captured = traced.graph, traced.captured_inputs
    only_read = set(dependencies.get_read_only_resource_input_indices_graph(graph))
    first = len(graph.inputs) - len(captured)
    return {id(handle) for index, handle in enumerate(captured, start=first) if index not in only_read}


def _require(package: str, extra: str) -> None:
    if not _is_installed(package):
        raise MissingExtraError(package, extra)


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None  # A program sets None to say that a package must not be imported.
    return importlib.util.find_spec(package) is not None


@contextmanager
def _privacy_import_switch() -> Iterator[None]:
    switch = "skip_tf_privacy_import"
    had_it = hasattr(sys, switch)
    setattr(sys, switch, True)
    try:
        yield
    finally:
        if not had_it:
            delattr(sys, switch)


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Hold back what is written to file descriptor 2. At the end, pass on everything except log lines.

    TensorFlow's C++ code logs there before its own log level applies, so no setting suppresses these lines.
    """
    try:
        kept = os.dup(2)
    except OSError:  # A process without standard error shows no log lines either.
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not _LOG_LINE.match(line):
                    os.write(2, line)
