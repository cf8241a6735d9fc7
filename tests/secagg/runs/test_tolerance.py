from pathlib import Path

import pytest

from dp.events import Trust
from dp.ledger.ledger import Ledger
from secagg.privacy.noise import Target
from secagg.runs.config import TrainingConfig
from secagg.runs.tolerance import Cohort
from tests.support.commands import secagg


def cohort(clients: int, *, trust: Trust = Trust.DISTRIBUTED, **settings: object) -> Cohort:
    config = TrainingConfig(clients=clients, **settings)  # type: ignore[arg-type]  # settings of several types
    target = Target(epsilon=8.0, delta=1e-3, releases=1, colluding=1, trust=trust)
    return Cohort.of(config, minimum_contributors=config.required_contributors, target=target)


def test_cohort_counts_whole_clients_and_says_where_protocol_and_noise_differ() -> None:
    small = cohort(10)
    assert (small.colluding, small.noise_colluding, small.vanishing) == (0, 1, 1)
    assert small.in_words == ("0 colluding of 10 clients (the noise alone: 1 of 10), and 1 dropout of 10 in a round")
    assert len(small.warnings) == 1
    assert small.warnings[0].startswith("withstands 0 colluding of 10 clients")
    assert "adversarial must be at least 0.1;" in small.warnings[0]
    assert cohort(10, adversarial=0.1).warnings == ()


def test_cohort_of_which_nobody_may_vanish_warns() -> None:
    warnings = cohort(9, adversarial=0.2).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("withstands 0 dropouts of 9 clients")


@pytest.mark.parametrize(("protocol", "colluding"), [("secagg-plus", 0), ("paillier", 0), ("plain", None)])
def test_cohort_asks_the_protocol(protocol: str, colluding: int | None) -> None:
    found = cohort(10, protocol=protocol)
    assert found.colluding == colluding
    assert bool(found.warnings) == (colluding == 0)


def test_cohort_with_noise_of_one_party_counts_no_shares() -> None:
    assert cohort(10, trust=Trust.CENTRAL).noise_colluding is None
    assert cohort(300).collusion_in_words == "15 colluding of 300 clients (the noise alone: 1 of 300)"


@pytest.mark.parametrize("clients", range(2, 40))
def test_advice_of_a_warning_is_enough(clients: int) -> None:
    for warning in cohort(clients, dropout=0.0).warnings:
        if "adversarial" in warning:
            least = float(warning.partition("at least ")[2].partition(";")[0])
            assert int(least * clients) >= 1


def test_train_warns_of_a_small_cohort_and_shows_a_pasteable_head(tmp_path: Path) -> None:
    options = ("--dataset", "breast-cancer", "--model", "numpy-softmax", "--clients", "9", "--rounds", "1")
    found = secagg(
        "train",
        *options,
        "--epsilon",
        "1e-5",
        "--delta",
        "1e-9",
        "--modulus-bits",
        "40",
        "--no-compare",
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    assert "withstands 0 colluding of 9 clients (the noise alone: 1 of 9), and 0 dropouts of 9" in found.stderr
    assert found.stderr.count("warning: withstands 0 ") == 2
    with Ledger.open_to_read(tmp_path / "run" / "ledger.sqlite") as ledger:
        assert ledger.head in found.stdout.splitlines()
    line = found.stdout.partition("epsilon guaranteed, client level")[2].partition("at delta")[0]
    assert float(line.strip(" │")) == 1e-5
