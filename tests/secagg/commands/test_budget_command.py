import json
import math
from pathlib import Path

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.calibration.modular import rounded_norm
from dp.errors import DpError, InfeasibleTarget
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyUnit,
)
from dp.figures import rounded_up
from dp.ledger.ledger import Ledger
from dp.ledger.records import Commitment, Reservation
from dp.ledger.sqlite_log import SqliteLog
from dp.noise.distributed import DistributedDiscreteGaussian, LatticeNoise
from dp.reporting.assumptions import NOTHING_ELSE, ONLY_LEDGER
from dp.reporting.collect import budget_report
from dp.reporting.page import as_html
from dp.reporting.text import as_text
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean
from secagg.commands.budget import NOT_INTACT, plan_on_terminal, report_on_terminal, verify_on_terminal
from secagg.errors import ConfigurationError, SecaggError
from secagg.planning.budget_request import GAUSSIAN, BudgetRequest, ContinuousNoise
from secagg.planning.plan import CONDITION, Plan, plan
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT, colluding_clients
from secagg.privacy.noise import Target
from secagg.runs.config import TrainingConfig
from tests.support.commands import secagg

ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE
EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, epsilon=8, delta=1e-3, population=300) as opened:
        opened.commit(opened.reserve(EVENT, "round 1"), contributors=120)
        opened.reserve(EVENT, "round 2")
    return path


def head(path: Path) -> str:
    with Ledger.open_to_read(path) as opened:
        return opened.head


def asked(clients: int = 1000, rounds: int = 100, mechanism: str = "gaussian", **given: float | int | None) -> str:
    """What `plan_on_terminal` refuses with, in one line."""
    arguments = {
        name: given.get(name)
        for name in ("noise_multiplier", "epsilon", "delta", "per_round", "sampling", "bits", "dimension")
    }
    arguments |= {name: given.get(name) for name in ("minimum_contributors",)}
    arguments |= {"dropout": given.get("dropout", DROPOUT), "adversarial": given.get("adversarial", ADVERSARIAL)}
    with pytest.raises((SecaggError, DpError)) as refused:
        plan_on_terminal(clients=clients, rounds=rounds, mechanism=mechanism, as_json=False, **arguments)  # type: ignore[arg-type]  # numbers of either kind
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_plan_finds_the_least_noise_for_an_epsilon() -> None:
    found = plan(BudgetRequest(clients=1000, rounds=100, epsilon=8.0))
    assert found.delta == 0.000501 < 1 / 1000
    again = guarantee({GaussianEvent(noise_multiplier=found.noise_multiplier): 100}, delta=found.delta)
    less = guarantee({GaussianEvent(noise_multiplier=0.999 * found.noise_multiplier): 100}, delta=found.delta)
    assert found.epsilon == again.epsilon <= 8 < less.epsilon
    assert (found.relation, found.unamplified_epsilon) == (NeighbouringRelation.ZERO_OUT, None)


def test_plan_of_given_noise_says_what_it_costs_with_sampling_and_without() -> None:
    found = plan(BudgetRequest(clients=1000, rounds=100, noise_multiplier=1.0, sampling=0.01, delta=1e-5))
    noise = GaussianEvent(noise_multiplier=1.0, relation=ADD_OR_REMOVE)
    sampled = PoissonSampledEvent(sampling_rate=0.01, event=noise)
    assert found.epsilon == guarantee({sampled: 100}, delta=1e-5, relation=ADD_OR_REMOVE).epsilon
    assert found.unamplified_epsilon == guarantee({noise: 100}, delta=1e-5, relation=ADD_OR_REMOVE).epsilon
    assert found.bound < 1 < 30 < found.unamplified_epsilon
    text = found.as_text()
    for words in ("add-or-remove-one", "client: everything", "10 a round", CONDITION, "without amplification"):
        assert words in text


@pytest.mark.parametrize("mechanism", [LatticeNoise.DISCRETE_GAUSSIAN, LatticeNoise.SKELLAM])
def test_plan_on_a_lattice_answers_both_ways(mechanism: LatticeNoise) -> None:
    def ask(epsilon: float | None = None, noise_multiplier: float | None = None) -> Plan:
        return plan(
            BudgetRequest(
                clients=100,
                rounds=50,
                mechanism=mechanism,
                bits=18,
                dimension=1 << 14,
                epsilon=epsilon,
                noise_multiplier=noise_multiplier,
            )
        )

    by_epsilon = ask(epsilon=6.0)
    assert by_epsilon.lattice is not None
    assert by_epsilon.cohort is not None
    assert (by_epsilon.cohort.clients, by_epsilon.cohort.relied_on) == (100, 80)
    assert by_epsilon.bound <= 6
    assert 1.02 < by_epsilon.lattice.noise_to_gaussian < 1.2
    noise = by_epsilon.lattice.noise_to_clip
    by_noise = ask(noise_multiplier=noise)
    assert by_noise.lattice is not None
    assert 0.998 * noise <= by_noise.lattice.noise_to_clip <= noise
    assert by_noise.bound == pytest.approx(by_epsilon.bound, rel=5e-3)
    assert "18 bits a coordinate, 16,384 coordinates" in by_noise.as_text()


def test_plan_on_a_lattice_tells_what_sampling_saves() -> None:
    skellam = LatticeNoise.SKELLAM
    found = plan(BudgetRequest(clients=200, rounds=50, sampling=0.25, mechanism=skellam, dimension=1024, epsilon=4.0))
    assert found.lattice is not None
    assert found.cohort is not None
    assert (found.cohort.clients, found.cohort.relied_on, found.lattice.bits) == (50, 41, 24)
    assert found.bound <= 4
    assert isinstance(found.unamplified_epsilon, float)
    assert found.unamplified_epsilon > 8
    assert (found.relation, found.subsampling) == (ADD_OR_REMOVE, ("binomial expansion at integer orders",))


def test_plan_of_a_share_keeps_the_budget_of_train_under_its_defaults() -> None:
    """A share that was sized for everybody present and honest spent 9.24 instead of 8."""
    config = TrainingConfig(clients=300, rounds=30, epsilon=8.0, delta=1e-3)
    found = plan(
        BudgetRequest(
            clients=300,
            rounds=30,
            epsilon=8.0,
            delta=1e-3,
            mechanism=LatticeNoise.DISCRETE_GAUSSIAN,
            dimension=650,
        )
    )
    assert found.lattice is not None
    assert found.cohort is not None
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=range(300),
        minimum_contributors=config.required_contributors,
        shapes=[(650,)],
        clip_l2=1.0,
        target=Target(
            epsilon=8.0, delta=1e-3, releases=30, colluding=colluding_clients(config.clients, config.adversarial)
        ),
    )
    assert mean.noise is not None
    assert mean.target is not None
    assert found.cohort.required_contributors == config.required_contributors == 255
    assert mean.noise.event.contributors == found.cohort.relied_on == 240
    assert found.noise_multiplier == pytest.approx(mean.noise.noise_multiplier, rel=1e-4)
    deployed = DistributedDiscreteGaussian(
        local_sigma=found.lattice.local_deviation,
        minimum_contributors=found.cohort.relied_on,
        l2_sensitivity=rounded_norm(1 / found.lattice.granularity, 650),
        dimension=650,
    )
    least = mean.target.realised(deployed, clients=300, contributors=config.required_contributors)
    assert 7.99 < guarantee({least: 30}, delta=1e-3).epsilon <= 8


@pytest.mark.parametrize(
    ("mechanism", "dimension", "epsilon", "fewer"),
    [(LatticeNoise.DISCRETE_GAUSSIAN, 650, 13.83, 16.07), (GAUSSIAN, None, 12.65, 14.72)],
)
@pytest.mark.parametrize("cohort", [{}, {"dropout": 0.0, "adversarial": 0.001}])
def test_plan_says_what_thinner_noise_costs(
    mechanism: LatticeNoise | ContinuousNoise,
    dimension: int | None,
    epsilon: float,
    fewer: float,
    cohort: dict[str, float],
) -> None:
    request = BudgetRequest(clients=1000, rounds=200, noise_multiplier=5.0, mechanism=mechanism, dimension=dimension)
    found = plan(msgspec.structs.replace(request, **cohort))
    assert found.cohort is not None
    assert found.bound == pytest.approx(epsilon, abs=0.01)
    assert found.cohort.fewer_epsilon == pytest.approx(fewer, abs=0.015)
    assert json.loads(found.as_json())["cohort"]["relied_on"] == (999 if cohort else 800)
    text = found.as_text()
    assert "If 20% drop out" in text
    assert f"sized for {found.cohort.relied_on} honest contributors: at least " in text
    assert f"if a sum has only {found.cohort.fewer} of the {found.cohort.relied_on} honest shares" in text
    assert f"never releases a sum of fewer than {found.cohort.required_contributors:,} contributors" in text


def test_plan_compares_with_the_exact_noise_of_the_continuous_gaussian() -> None:
    request = BudgetRequest(clients=300, rounds=30, epsilon=8.0, delta=1e-3)
    exact = plan(request).noise_multiplier
    lattice = plan(msgspec.structs.replace(request, mechanism=LatticeNoise.DISCRETE_GAUSSIAN, dimension=650)).lattice
    assert lattice is not None
    assert lattice.noise_to_gaussian == pytest.approx(lattice.noise_to_clip / exact, rel=1e-6)
    assert lattice.noise_to_gaussian == pytest.approx(2.8485 / 2.6292, rel=1e-3)


def test_plan_of_more_clients_than_a_sum_takes_has_no_shares() -> None:
    found = plan(BudgetRequest(clients=10**8, rounds=100, noise_multiplier=1.0, sampling=0.5))
    assert found.cohort is None
    assert "Each share" not in found.as_text()


def test_plan_has_no_jump_below_a_noise_multiplier() -> None:
    found = plan(BudgetRequest(clients=1000, rounds=100, sampling=0.1, delta=1e-5, noise_multiplier=0.294))
    assert found.bound == pytest.approx(111.4, rel=1e-3)


def test_plan_has_a_word_for_an_epsilon_without_bound() -> None:
    found = plan(BudgetRequest(clients=10, rounds=1, noise_multiplier=1.0))
    infinite = msgspec.structs.replace(found, epsilon="infinite", unamplified_epsilon="infinite")
    assert infinite.bound == math.inf
    assert json.loads(infinite.as_json(), parse_constant=pytest.fail)["epsilon"] == "infinite"
    assert "infinite at delta" in infinite.as_text()


def test_plan_refuses_what_cannot_be() -> None:
    for message, given in (
        ("rounds: expected an integer >= 1, found -3", {"rounds": -3, "epsilon": 8.0}),
        ("clients: expected an integer >= 2, found 1", {"clients": 1, "epsilon": 8.0}),
        ("delta: expected less than 1/1000", {"epsilon": 8.0, "delta": 1e-3}),
        ("noise_multiplier: expected a finite number above 0", {"noise_multiplier": 0.0}),
        ("epsilon: expected a finite number above 0, found nan", {"epsilon": float("nan")}),
        ("sampling: expected a probability in (0, 1], found 1.5", {"epsilon": 8.0, "sampling": 1.5}),
        ("sampling: expected a finite number above 0", {"epsilon": 8.0, "sampling": 0.0}),
        ("--per-round: expected 1 to 1000", {"epsilon": 8.0, "per_round": 1001}),
        ("--per-round and --sampling", {"epsilon": 8.0, "per_round": 10, "sampling": 0.1}),
        ("expected exactly one of them, found both", {"epsilon": 8.0, "noise_multiplier": 1.0}),
        ("expected exactly one of them, found neither", {}),
        ("--bits and --dimension: expected none with --mechanism gaussian", {"epsilon": 8.0, "bits": 16}),
    ):
        assert message in asked(**given)  # type: ignore[arg-type]  # numbers of either kind
    for message, cohort in (
        ("dropout: expected a fraction in [0, 1), found 1.0", {"dropout": 1.0}),
        ("adversarial: expected a fraction in [0, 1), found -0.1", {"adversarial": -0.1}),
        ("minimum_contributors: expected an integer >= 2, found 1", {"minimum_contributors": 1}),
        ("minimum_contributors: expected at most 900", {"minimum_contributors": 901}),
        ("adversarial: expected fewer than the 850 contributors", {"adversarial": 0.9}),
    ):
        assert message in asked(epsilon=8.0, **cohort)
    skellam = {"mechanism": "skellam", "dimension": 100, "epsilon": 8.0}
    assert "expected at most 1000000 in a round" in asked(clients=10**7, delta=1e-9, **skellam)  # type: ignore[arg-type]  # of any kind
    assert "expected one of gaussian, discrete-gaussian, skellam, found x" in asked(mechanism="x", epsilon=8.0)
    assert "--dimension: expected the number of coordinates" in asked(mechanism="skellam", epsilon=8.0)
    thin = asked(mechanism="discrete-gaussian", noise_multiplier=1e-6, dimension=100, bits=16)
    assert "expected at least the noise that discrete-gaussian shares can have" in thin
    with pytest.raises(
        InfeasibleTarget, match=r"bits: expected at least \d+, found 8\. A modulus of 8 bits has no room"
    ):
        plan(
            BudgetRequest(clients=1000, rounds=100, epsilon=1.0, mechanism=LatticeNoise.SKELLAM, bits=8, dimension=1000)
        )


def test_verify_says_what_an_intact_ledger_holds(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = head(ledger)
    assert verify_on_terminal(ledger, head=None) == 0
    line = capsys.readouterr().out
    assert line.startswith(
        "consistent; no --head given, so a rebuilt, replaced or truncated ledger would not be noticed: 2 releases (1 "
    )
    assert line.endswith(f" at delta 0.001; head {kept}\n")
    assert line.count("\n") == 1
    assert verify_on_terminal(ledger, head=kept) == 0
    assert capsys.readouterr().out.startswith("intact, and the kept head is its last record: 2 releases")
    with Ledger.open(ledger) as opened:
        opened.reserve(EVENT, "round 3")
    assert verify_on_terminal(ledger.parent, head=kept) == 0
    assert capsys.readouterr().out.startswith("intact, 1 record after the kept head: 3 releases (2 uncommitted)")


def test_report_does_not_replace_the_ledger_by_its_page(ledger: Path) -> None:
    before = ledger.read_bytes()
    with pytest.raises(ConfigurationError, match=r"found the ledger .* itself"):
        report_on_terminal(ledger, as_json=False, html=ledger.parent / "." / ledger.name)
    assert ledger.read_bytes() == before


def test_verify_refuses_another_copy_and_an_altered_one(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older"
    older.write_bytes(ledger.read_bytes())
    with Ledger.open(ledger) as opened:
        opened.reserve(EVENT, "round 3")
    altered = tmp_path / "altered"
    altered.write_bytes(ledger.read_bytes().replace(b"round 2", b"round 9"))
    for path, kept in ((older, head(ledger)), (altered, None)):
        assert verify_on_terminal(path, head=kept) == NOT_INTACT
        found = capsys.readouterr()
        assert found.out == ""
        assert found.err.startswith("secagg: not intact: ")
        assert found.err.count("\n") == 1
    assert verify_on_terminal(older, head=None) == 0


def test_verify_refuses_a_whole_chain_beyond_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "forged"
    with Ledger.create(tmp_path / "honest", epsilon=0.01, delta=1e-3, population=300) as opened:
        made = opened.budget
    reserved = Reservation(number=1, label="round 1", event=EVENT, time_s=made.time_s)
    with SqliteLog.create(path, msgspec.json.encode(made)) as chain:
        chain.append(msgspec.json.encode(reserved))
    assert verify_on_terminal(path, head=None) == NOT_INTACT
    found = capsys.readouterr()
    assert (found.out, found.err.count("\n")) == ("", 1)
    assert "beyond its budget: epsilon " in found.err
    with Ledger.open_to_read(path) as opened:
        report = budget_report(opened)
    assert report.overspent
    assert not report.assumptions[0].verified
    assert "BEYOND THE BUDGET" in as_text(report)
    assert "beyond the budget</span>" in as_html(report)


def test_verify_refuses_less_noise_than_was_reserved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "forged"
    with Ledger.create(tmp_path / "honest", epsilon=8.0, delta=1e-3, population=300) as opened:
        made = opened.budget
    reserved = Reservation(number=1, label="round 1", event=EVENT, time_s=made.time_s)
    thinner = GaussianEvent(noise_multiplier=1e-3)
    recorded = Commitment(number=1, contributors=300, details={}, time_s=made.time_s, realised=thinner)
    with SqliteLog.create(path, msgspec.json.encode(made)) as chain:
        chain.append(msgspec.json.encode(reserved))
        chain.append(msgspec.json.encode(recorded))
    assert verify_on_terminal(path, head=None) == NOT_INTACT
    assert "less noise is recorded than was reserved, of 1" in capsys.readouterr().err


def test_verify_that_cannot_tell_is_another_error(ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match=r"found no ledger\.sqlite in it"):
        verify_on_terminal(tmp_path / "folder", head=None)
    with pytest.raises(DpError, match="found no file"):
        verify_on_terminal(tmp_path / "missing", head=None)
    with pytest.raises(DpError, match="64 hexadecimal digits"):
        verify_on_terminal(ledger, head="00")


def test_verify_calls_an_empty_ledger_consistent_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger.create(tmp_path / "new", epsilon=8, delta=1e-3, population=300).close()
    assert verify_on_terminal(tmp_path / "new", head=None) == 0
    line = capsys.readouterr().out
    assert "unaltered" not in line
    assert line.startswith(
        "consistent; no --head given, so a rebuilt, replaced or truncated ledger would not be noticed"
    )
    assert "0 releases (0 uncommitted), epsilon 0.0000 of 8 spent" in line


def test_verify_takes_a_head_as_it_is_pasted(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = head(ledger)
    for pasted in (
        f"{kept[:40]}\n  {kept[40:]} ",
        f"\u2502 {kept[:30]} \u2502\n\u2502 {kept[30:]} \u2502",
        f" {kept.upper()}\r\n",
        f"{kept[:10]}\t{kept[10:20]}\u00a0{kept[20:]}",
    ):
        assert verify_on_terminal(ledger, head=pasted) == 0
        assert capsys.readouterr().out.startswith("intact, and the kept head is its last record")


def test_reading_commands_work_while_the_ledger_is_written(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open(ledger) as opened:
        opened.reserve(EVENT, "round 3")
        assert verify_on_terminal(ledger.parent, head=opened.head) == 0
        report_on_terminal(ledger.parent, as_json=False, html=None)
        out = capsys.readouterr().out
        assert out.startswith("intact, and the kept head is its last record: 3 releases")
        assert "round 3" in out
        opened.reserve(EVENT, "round 4")


def test_report_adds_ledgers_up(ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "elsewhere" / "ledger.sqlite"
    other.parent.mkdir()
    with Ledger.create(other, epsilon=8, delta=1e-3, population=300) as opened:
        opened.reserve(EVENT, "round 1")
    report_on_terminal(ledger, other.parent, as_json=False, html=None)
    whole = guarantee({EVENT: 3}, delta=1e-3).epsilon
    text = capsys.readouterr().out
    assert f"2 ledgers together: epsilon {rounded_up(whole)} at delta 0.001" in text
    report_on_terminal(ledger, other, as_json=True, html=None)
    assert json.loads(capsys.readouterr().out)["by_data"][0]["epsilon"] == whole
    with pytest.raises(ConfigurationError, match="--html: expected one ledger, found 2"):
        report_on_terminal(ledger, other, as_json=False, html=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_report_of_a_folder_counts_earlier_ledgers_of_the_same_data(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.create(ledger.with_name("ledger-1.sqlite"), epsilon=8, delta=1e-3, population=300) as opened:
        opened.reserve(EVENT, "round 1")
    report_on_terminal(ledger.parent, as_json=True, html=None)
    found = json.loads(capsys.readouterr().out)
    words = {item["heading"]: item["text"] for item in found["checklist"]}["With earlier ledgers"]
    assert rounded_up(guarantee({EVENT: 3}, delta=1e-3).epsilon) in words
    assert "ledger-1.sqlite" in words
    assert len(found["failed"]) == 2
    assert all("ledger-1.sqlite" in each for each in found["failed"])
    assert "FAILED" in found["statement"]


def test_report_of_an_older_copy_says_so(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = ledger.with_name("ledger-newer.sqlite")
    newer.write_bytes(ledger.read_bytes())
    report_on_terminal(ledger, as_json=False, html=None)
    assert "FAILED" not in capsys.readouterr().out
    with Ledger.open(newer) as opened:
        opened.reserve(EVENT, "round 3")
    report_on_terminal(ledger, as_json=False, html=None)
    assert "holds every record of this ledger and more" in " ".join(capsys.readouterr().out.split())


def test_report_survives_a_neighbour_that_cannot_be_added(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.with_name("ledger-old.sqlite").write_bytes(b"no ledger")
    report_on_terminal(ledger, as_json=False, html=None)
    out = " ".join(capsys.readouterr().out.split())
    assert "This folder also holds ledger-old.sqlite, which could not be added up: " in out
    assert "comes on top of this figure for everyone whose data are in them too." in out


def test_report_fails_beside_a_ledger_of_another_unit(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ledger.with_name("ledger-1.sqlite")
    Ledger.create(other, epsilon=8, delta=1e-3, population=300, unit=PrivacyUnit.EXAMPLE).close()
    report_on_terminal(ledger, as_json=True, html=None)
    found = json.loads(capsys.readouterr().out)
    failed = [each for each in found["assumptions"] if each["state"] == "failed"]
    assert [each["text"] for each in failed] == [f'Not true: "{NOTHING_ELSE}"', f'Not true: "{ONLY_LEDGER}"']
    assert all("ledger-1.sqlite, which could not be added up: " in each["how"] for each in failed)


def test_report_takes_names_that_the_ledger_lacks(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_on_terminal(ledger, as_json=False, html=None, organisation="Clinic", title="trial 7")
    out = " ".join(capsys.readouterr().out.split())
    assert "Clinic (given for this report; the ledger does not say)" in out
    assert "trial 7 (given for this report; the ledger does not say)" in out


def test_plan_for_a_small_epsilon_does_not_show_more() -> None:
    text = plan(BudgetRequest(clients=1000, rounds=1, epsilon=0.1234567)).as_text()
    shown = float(text.split()[1])
    assert shown <= 0.1234567


def test_commands_exit_with_0_and_3(ledger: Path, tmp_path: Path) -> None:
    planned = secagg("budget", "plan", "--clients", "1000", "--rounds", "100", "--epsilon", "8", "--json", cwd=tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert json.loads(planned.stdout)["epsilon"] <= 8
    stale = secagg("budget", "verify", str(ledger), "--head", "0" * 64, cwd=tmp_path)
    assert (stale.returncode, stale.stdout) == (3, "")
    assert stale.stderr.startswith("secagg: not intact: ")


def test_report_writes_control_characters_of_file_names_as_escapes(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file name that would set a terminal's colours, or begin a line of its own."""
    steering = tmp_path / "ledger-\x1b[31m\nepsilon 0.sqlite"
    with Ledger.create(steering, epsilon=8, delta=1e-3, population=300) as opened:
        opened.reserve(EVENT, "round 1")
    report_on_terminal(ledger, as_json=False, html=None)
    report_on_terminal(ledger, steering, as_json=False, html=None)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\nepsilon 0.sqlite" not in printed
    assert printed.count("ledger-\\x1b[31m\\nepsilon 0.sqlite") >= 2
    steering.write_bytes(b"no ledger" * 1000)
    refused = secagg("budget", "report", str(steering), cwd=tmp_path)
    assert refused.returncode == 2
    assert "\x1b" not in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("mechanism", ["gaussian", "skellam"])
def test_plan_of_a_small_cohort_warns_that_no_collusion_is_covered(
    mechanism: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for clients, warned in ((10, True), (20, False)):
        plan_on_terminal(
            clients=clients, rounds=2, noise_multiplier=None, epsilon=8.0, delta=None, per_round=None, sampling=None,
            mechanism=mechanism, bits=None, dimension=None if mechanism == "gaussian" else 100, dropout=0.1,
            adversarial=0.05, minimum_contributors=None, as_json=False,
        )  # fmt: skip
        text = capsys.readouterr().out
        assert (f"withstands 0 colluding of {clients} clients" in text) == warned
        assert f"at delta 0.001, below 1/{clients}" in text


@pytest.mark.parametrize(
    "cohort", [{"dropout": 0.6}, {"minimum_contributors": 271}, {"adversarial": 0.95}, {"delta": 1 / 300}]
)
def test_plan_refuses_the_cohorts_that_train_refuses_in_the_same_words(cohort: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        TrainingConfig(**cohort)  # type: ignore[arg-type]  # numbers of either kind
    assert asked(clients=300, epsilon=8.0, **cohort) == str(refused.value)  # type: ignore[arg-type]  # numbers of either kind
