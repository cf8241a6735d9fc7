import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp.events import Trust
from dp.ledger.participation import Accounting
from protocols import Adversary
from secagg.aggregation.weighting import Weighting
from secagg.data import load
from secagg.errors import ConfigurationError
from secagg.models import zoo
from secagg.reports.wording import assumed_server, protection
from secagg.runs.config import TrainingConfig
from secagg.runs.fields import SettingFields
from secagg.runs.parsing import parse, read_settings
from secagg.runs.settings import describe
from secagg.training.cohorts import Draw


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
    config = TrainingConfig(dataset=dataset, clip_l2=clip_l2, seed=seed)
    assert parse(tomllib.loads(config.as_toml())) == config


def test_config_takes_whole_numbers_for_real_ones(tmp_path: Path) -> None:
    config = read_back("epsilon = 4\nclip_l2 = 1\nweighting = 'weighted'\nmax_examples = 20\n", tmp_path / "c.toml")
    assert (config.epsilon, config.clip_l2, config.max_examples) == (4.0, 1.0, 20.0)
    assert config.weighting is Weighting.WEIGHTED


def test_config_with_cohorts_is_read_back_and_other_ones_are_written_as_before(tmp_path: Path) -> None:
    names = {"cohort", "draw", "cap", "separation", "accounting"}
    assert not names & set(tomllib.loads(TrainingConfig().as_toml()))
    text = "cohort = 100\ndraw = 'random'\ncap = 12\naccounting = 'fixed'\n"
    config = read_back(text, tmp_path / "c.toml")
    assert (config.cohort, config.draw, config.cap) == (100, Draw.RANDOM, 12)
    assert config.accounting is Accounting.FIXED
    assert TrainingConfig(cohort=100, draw="in-turn").draw is Draw.IN_TURN  # type: ignore[arg-type]


def test_config_of_cohorts_counts_what_a_round_asks_and_how_often() -> None:
    config = parse({"cohort": 100, "dropout": 0.2})
    assert (config.asked, config.participations, config.dropping, config.required_contributors) == (100, 10, 20, 70)
    assert (config.drawing, config.limited, config.by_poisson) == (Draw.IN_TURN, True, False)
    assert parse({"cohort": 100, "cap": 15}).participations == 15
    secret = parse({"cohort": 100, "draw": "poisson", "trust": "central"})
    assert (secret.by_poisson, secret.participations, secret.dropout) == (True, 30, 0.0)
    everybody = TrainingConfig()
    assert (everybody.asked, everybody.participations, everybody.limited) == (300, 30, False)
    assert parse({"cap": 31}).participations == 31


SECRET: dict[str, Any] = {"cohort": 100, "draw": "poisson", "trust": "central"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cohort": 301}, r"cohort: expected at most the 300 clients of the population, found 301"),
        ({"cohort": 1}, r"cohort: expected an integer of at least 2, found 1"),
        ({"cohort": 100, "minimum_contributors": 101}, r"minimum_contributors: expected at most 90, the clients"),
        ({"cohort": 100, "cap": 9}, r"cap: expected at least 10, since 30 rounds ask 100 of 300 clients each, found 9"),
        ({"cap": 29}, r"cap: expected at least 30, since 30 rounds ask all 300 clients each, found 29"),
        ({"cohort": 100, "separation": 4}, r"separation: expected at most 3 rounds, which 300 clients allow"),
        ({"separation": 1}, r"separation: expected a cohort and draw = in-turn, found no cohort"),
        ({"cohort": 100, "draw": "random", "separation": 2}, r"separation: .*in-turn, found draw = random"),
        (SECRET | {"cap": 30}, r"cap: expected none with draw = poisson, found 30"),
        (SECRET | {"separation": 2}, r"separation: .*in-turn, found draw = poisson"),
        (SECRET | {"trust": "distributed"}, r"trust: expected central with draw = poisson, found distributed: noise"),
        (SECRET | {"trust": "local"}, r"trust: expected central with draw = poisson, found local"),
        (SECRET | {"dropout": 0.1}, r"dropout: expected 0 with draw = poisson, found 0\.1"),
        (SECRET | {"accounting": "gaussian-filter"}, r"accounting: expected fixed or renyi-filter with draw = poisson"),
        ({"draw": "random"}, r"draw: expected none without a cohort, found random"),
        ({"cohort": 100, "draw": "poison"}, r"draw: expected one of in-turn, random, poisson, found 'poison'; did you"),
        (
            {"unit": "example", "accounting": "gaussian-filter"},
            r"accounting: expected fixed or renyi-filter with unit = example, found gaussian-filter",
        ),
        (
            {"cohort": 100, "unit": "example", **SECRET},
            r"draw: expected in-turn or random with unit = example, found p",
        ),
        ({"accounting": "filter"}, r"accounting: expected one of fixed, gaussian-filter, renyi-filter, found 'filter'"),
    ],
)
def test_config_of_cohorts_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compression": 0.0}, r"compression: expected .*found 0"),
        ({"compression": 1.5}, r"compression: expected .*found 1\.5"),
        (
            {"compression": 0.5, "weighting": "weighted", "max_examples": 20.0},
            r"compression: expected 1 with weighting = weighted, found 0\.5: the total weight would be an estimate",
        ),
        # Unknown and of a wrong type.
        ({"epsilom": 1.0}, r"settings: expected dataset, model, .*epsilon.*, found epsilom; "),
        ({"epsilom": 1.0}, r"; did you mean epsilon\?$"),
        ({"batch-size": 1}, r"; did you mean batch_size\?$"),
        ({"training": {"epsilon": 1.0}}, r"settings: expected dataset, .*, found training[.;]"),
        ({"mechanism": "skelam"}, r"one of discrete-gaussian, skellam, found 'skelam'; did you mean skellam\?$"),
        ({"clients": "many"}, r"clients: expected an integer from 2 to 100,000, found 'many'\."),
        ({"clients": 10.5}, r"clients: expected an integer from 2 to 100,000, found 10\.5\."),
        ({"clients": True}, r"clients: expected an integer from 2 to 100,000, found True\."),
        ({"epsilon": "8"}, r"epsilon: expected a number from 1e-9 to 1e9, or inf, found '8'\."),
        ({"epsilon": True}, r"epsilon: expected a number from 1e-9 to 1e9, or inf, found True\."),
        ({"dataset": 3}, r"dataset: expected text, found 3\."),
        ({"compare": 1}, r"compare: expected true or false, found 1\."),
        ({"adversary": "semi-malicious"}, r"adversary: expected one of curious, malicious, found 'semi-malicious'\."),
        ({"adversary": "honest"}, r"adversary: expected one of curious, malicious, found 'honest'"),
        ({"weighting": "heavy"}, r"weighting: expected one of uniform, weighted, found 'heavy'"),
        # Out of range.
        (
            {"clients": 1},
            r"clients: expected an integer from 2 to 100,000, found 1\. Give --clients, or clients in the file of set",
        ),
        ({"rounds": 0}, r"rounds: expected an integer from 1 to 100,000, found 0\."),
        ({"epsilon": 0.0}, r"epsilon: expected a number from 1e-9 to 1e9, or inf, found 0\.0\."),
        ({"epsilon": math.nan}, r"epsilon: expected a (finite )?number"),
        ({"clip_l2": math.inf}, r"clip_l2: expected a finite number, found inf"),
        ({"clip_l2": -0.5}, r"clip_l2: expected a number above 0, found -0\.5\."),
        ({"delta": 0.0}, r"delta: expected a number above 0 and below 1, found 0\.0\."),
        ({"delta": 1.0}, r"delta: expected a number above 0 and below 1, found 1\.0\."),
        ({"dropout": 1.0}, r"dropout: expected a number of at least 0 and below 1, found 1\.0\."),
        ({"dropout": -0.1}, r"dropout: expected a number of at least 0 and below 1, found -0\.1\."),
        ({"modulus_bits": 63}, r"modulus_bits: expected an integer from 2 to 62, or auto, found 63\."),
        ({"modulus_bits": "least"}, r"modulus_bits: expected an integer from 2 to 62, or auto, found 'least'\."),
        ({"modulus_bits": "24"}, r"modulus_bits: expected an integer from 2 to 62, or auto, found '24'\."),
        ({"seed": -1}, r"seed: expected an integer of at least 0 and below 4,294,967,296, found -1\."),
        ({"epochs": 0}, r"epochs: expected an integer of at least 1, found 0\."),
        ({"batch_size": 0}, r"batch_size: expected an integer of at least 1, found 0\."),
        ({"server_momentum": 1.0}, r"server_momentum: expected a number of at least 0 and below 1, found 1\.0\."),
        (
            {"minimum_contributors": 1},
            r"minimum_contributors: expected an integer of at least 2, found 1\. Give --minimum-contributors, or mini",
        ),
        ({"dataset": "\udcff.npz"}, r"dataset: expected valid Unicode, found '\\udcff\.npz'"),
        # What cannot work together, and what would.
        ({"delta": 1 / 300}, r"delta: expected less than 1/300.*, found 0\.00333\d*: .* Use at most 0\.003\."),
        (
            {"minimum_contributors": 271},
            r"at most 270, .* leaves of 300, found 271\. .*--minimum-contributors 270: ",
        ),
        ({"clients": 3, "dropout": 0.7, "delta": 0.1}, r"found 1 of 3 with.*Use at most 0\.333\."),
        ({"dropout": 0.6}, r"expected at most 120, .* of 300, found 151, a majority, which is the default"),
        ({"weighting": "weighted"}, r"max_examples: expected a number with weighting = weighted, found none"),
        ({"max_examples": 3.0}, r"max_examples: expected none with weighting = uniform, found 3: it applies only with"),
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
    assert assumed_server("secagg", malicious, trust=distributed) == "malicious: it may do anything"
    assert assumed_server("secagg", curious, trust=distributed) == "curious: it follows the protocol"
    assert assumed_server("secagg", curious, trust=local) == "curious: it follows the protocol"
    assert assumed_server("secagg", curious, trust=central) == "trusted with exact sums, and to add the noise"
    assert assumed_server("plain", curious, trust=distributed) == "trusted with every update"
    assert assumed_server("plain", curious, trust=local) == (
        "it sees every update, and each contains enough noise of its own client"
    )
    assert assumed_server("plain", curious, trust=None) == "trusted with every update"
    assert assumed_server("secagg", curious, trust=None) == "curious: it follows the protocol"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mechanism": "laplace"}, "mechanism: .*discrete-gaussian, skellam"),
        ({"trust": "nobody"}, "trust: .*distributed, local, central"),
        ({"noise_removal": True, "epsilon": math.inf}, "noise_removal: expected false with epsilon = inf"),
        ({"trust": "central", "adversary": "malicious"}, "cannot be trusted to add the noise. Use trust = distributed"),
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
        (b"epsilon = ", "expected valid TOML"),
        (b"\xff\xfe", "expected valid TOML"),
        (b"epsilon = 1\nepsilon = 2\n", "expected valid TOML"),
        pytest.param(b"seed = " + 100_000 * b"[", "nested too deeply", id="nested"),
        pytest.param(b"seed = " + 5_000 * b"1", "expected valid TOML", id="long number"),
        (None, "No such file"),
    ],
)
def test_config_file_that_cannot_be_read_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"settings\.toml.*{message}"):
        read_settings(path)
    with pytest.raises(ConfigurationError, match="expected a file that can be read"):
        read_settings(tmp_path)


def test_help_names_every_data_set_and_every_model() -> None:
    described = {each.name: each.description for each in describe(SettingFields)}
    for setting, names in (("dataset", load.NAMES), ("model", zoo.NAMES)):
        words = re.findall(r"[\w.-]*\w", described[setting])
        assert set(names) <= set(words)
