import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp.events import Trust
from protocols import Adversary
from secagg.aggregation.encoding import Weighting
from secagg.errors import ConfigurationError
from secagg.runs.config import TrainingConfig, assumed_server, parse, protection, read_settings


def read_back(text: str, path: Path) -> TrainingConfig:
    path.write_text(text, encoding="utf-8")
    return parse(read_settings(path))


CHANGED: dict[str, Any] = {
    "dataset": 'a "quoted" \\ path/to\tsome\x7f Ünïcödé 😀.npz',
    "model": "numpy-softmax",
    "adversary": Adversary.MALICIOUS,
    "clients": 11,
    "rounds": 2,
    "adversarial": 0.0,
    "dropout": 0.0,
    "minimum_contributors": 9,
    "epsilon": math.inf,
    "delta": 1e-7,
    "clip_l2": 1e300,
    "server_learning_rate": 5e-324,
    "weighting": Weighting.WEIGHTED,
    "max_examples": 12.5,
    "alpha": 0.1,
    "modulus_bits": 62,
    "seed": 2**32 - 1,
    "compare": False,
}


def test_config_survives_toml(tmp_path: Path) -> None:
    for config in (TrainingConfig(), TrainingConfig(**CHANGED)):
        assert read_back(config.as_toml(), tmp_path / "config.toml") == config


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.floats(1e-300, 1e300), st.integers(0, 2**32 - 1))
def test_config_survives_toml_whatever_its_values(dataset: str, clip_l2: float, seed: int) -> None:
    import tomllib

    config = TrainingConfig(dataset=dataset, clip_l2=clip_l2, seed=seed)
    assert parse(tomllib.loads(config.as_toml())) == config


def test_config_takes_whole_numbers_for_real_ones(tmp_path: Path) -> None:
    config = read_back("epsilon = 4\nclip_l2 = 1\nweighting = 'weighted'\nmax_examples = 20\n", tmp_path / "c.toml")
    assert (config.epsilon, config.clip_l2, config.max_examples) == (4.0, 1.0, 20.0)
    assert config.weighting is Weighting.WEIGHTED


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        # Unknown and of a wrong type.
        ({"epsilom": 1.0}, r"unknown setting epsilom; there are dataset, model, .*epsilon"),
        ({"epsilom": 1.0}, r"; did you mean epsilon\?$"),
        ({"batch-size": 1}, r"; did you mean batch_size\?$"),
        ({"training": {"epsilon": 1.0}}, r"unknown setting training"),
        ({"mechanism": "skelam"}, r"discrete-gaussian, skellam; did you mean skellam\?$"),
        ({"clients": "many"}, r"clients: expected `int`, got `str`"),
        ({"clients": 10.5}, r"clients: expected `int`, got `float`"),
        ({"clients": True}, r"clients: expected `int`, got `bool`"),
        ({"epsilon": "8"}, r"epsilon: expected `float`, got `str`"),
        ({"epsilon": True}, r"epsilon: expected `float`, got `bool`"),
        ({"dataset": 3}, r"dataset: expected `str`, got `int`"),
        ({"compare": 1}, r"compare: expected `bool`, got `int`"),
        ({"adversary": "semi-malicious"}, r'adversary must be "curious" or "malicious", not "semi-malicious"'),
        ({"adversary": "honest"}, r"adversary: invalid enum value 'honest'"),
        ({"weighting": "heavy"}, r"weighting: invalid enum value 'heavy'"),
        # Out of range.
        ({"clients": 1}, r"clients: expected `int` >= 2"),
        ({"rounds": 0}, r"rounds: expected `int` >= 1"),
        ({"epsilon": 0.0}, r"epsilon: expected `float` > 0"),
        ({"epsilon": math.nan}, r"epsilon must be finite|epsilon: expected"),
        ({"clip_l2": math.inf}, r"clip_l2 must be finite, not inf"),
        ({"clip_l2": -0.5}, r"clip_l2: expected `float` > 0"),
        ({"delta": 0.0}, r"delta: expected `float` > 0"),
        ({"delta": 1.0}, r"delta: expected `float` < 1"),
        ({"dropout": 1.0}, r"dropout: expected `float` < 1"),
        ({"dropout": -0.1}, r"dropout: expected `float` >= 0"),
        ({"modulus_bits": 63}, r"modulus_bits: expected `int` <= 62"),
        ({"seed": -1}, r"seed: expected `int` >= 0"),
        ({"epochs": 0}, r"epochs: expected `int` >= 1"),
        ({"batch_size": 0}, r"batch_size: expected `int` >= 1"),
        ({"server_momentum": 1.0}, r"server_momentum: expected `float` < 1"),
        ({"minimum_contributors": 1}, r"minimum_contributors: expected `int` >= 2"),
        ({"dataset": "\udcff.npz"}, r"dataset must be valid Unicode, not '\\udcff\.npz'"),
        # What cannot work together, and what would.
        ({"delta": 1 / 300}, r"delta 0\.00333\d* is not below one over 300 clients; 0\.003 would do"),
        ({"minimum_contributors": 271}, r"leaves only 270 of 300 clients; at most 270 would do"),
        ({"clients": 3, "dropout": 0.7, "delta": 0.1}, r"leaves 1 of 3 clients.*at most 0\.333 would do"),
        ({"dropout": 0.6}, r"minimum_contributors is 151 by default, a majority, but .* only 120 of 300 clients"),
        ({"weighting": "weighted"}, r"max_examples must be given"),
        ({"max_examples": 3.0}, r"max_examples must be given exactly where weighting is weighted"),
    ],
)
def test_config_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"delta": 0.003},
        {"delta": 0.9, "epsilon": math.inf},
        {"minimum_contributors": 270},
        {"clients": 3, "dropout": 0.333, "delta": 0.1},
        {"weighting": "weighted", "max_examples": 3.0},
    ],
)
def test_config_takes_what_its_refusals_advise(settings: dict[str, Any]) -> None:
    parse(settings)


@pytest.mark.parametrize(
    ("clients", "dropout", "gone", "required"),
    [
        (300, 0.1, 30, 255),
        (100, 0.41, 41, 51),
        (100, 0.29, 29, 57),
        (10, 0.05, 0, 10),
        (3, 0.333, 0, 3),
        (20, 0.0, 0, 20),
    ],
)
def test_config_counts_whole_clients(clients: int, dropout: float, gone: int, required: int) -> None:
    config = TrainingConfig(clients=clients, dropout=dropout)
    assert config.dropping == gone
    assert config.required_contributors == required


def test_config_is_private_unless_epsilon_is_infinite() -> None:
    assert TrainingConfig().private
    assert not TrainingConfig(epsilon=math.inf).private


def test_config_says_what_is_protected_from_whom() -> None:
    curious, malicious = Adversary.CURIOUS, Adversary.MALICIOUS
    assert protection("secagg", private=True, adversary=curious) == "secure and private"
    assert protection("secagg", private=False, adversary=curious) == "secure"
    assert protection("secagg", private=True, adversary=malicious) == "secure and private, malicious server"
    assert protection("plain", private=True, adversary=curious) == "noised, but not secure"
    distributed, local, central = Trust.DISTRIBUTED, Trust.LOCAL, Trust.CENTRAL
    assert assumed_server("secagg", malicious, distributed) == "malicious: it may do anything"
    assert assumed_server("secagg", curious, distributed) == "curious: it follows the protocol"
    assert assumed_server("secagg", curious, local) == "curious: it follows the protocol"
    assert assumed_server("secagg", curious, central) == "trusted with exact sums, and to add the noise"
    assert assumed_server("plain", curious, distributed) == "trusted with every update"
    assert assumed_server("plain", curious, local) == "trusted with every update, noisy as it is"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mechanism": "laplace"}, "mechanism: .*discrete-gaussian, skellam"),
        ({"trust": "nobody"}, "trust: .*distributed, local, central"),
        ({"noise_removal": True, "epsilon": math.inf}, "nothing to take off"),
        ({"trust": "central", "adversary": "malicious"}, "cannot be trusted with the noise"),
    ],
)
def test_config_refuses_noise_that_cannot_work(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(settings)


def test_config_steps_the_server_as_set() -> None:
    step = TrainingConfig(server_learning_rate=3.0, server_momentum=0.25).server_step
    assert (step.learning_rate, step.momentum) == (3.0, 0.25)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epsilon = ", "is not valid TOML"),
        (b"\xff\xfe", "is not valid TOML"),
        (b"epsilon = 1\nepsilon = 2\n", "is not valid TOML"),
        (b"seed = " + 100_000 * b"[", "nested too deeply"),
        (b"seed = " + 5_000 * b"1", "is not valid TOML"),
        (None, "No such file"),
    ],
)
def test_config_file_that_cannot_be_read_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"settings\.toml.*{message}"):
        read_settings(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_settings(tmp_path)
