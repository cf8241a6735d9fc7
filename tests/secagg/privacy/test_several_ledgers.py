import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from dp.accounting.gaussian_curve import largest_mu
from dp.accounting.guarantee import guarantee
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
)
from dp.figures import rounded_up
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import UPDATES_HIDDEN_DETAIL
from secagg.errors import ConfigurationError
from secagg.privacy.read_ledger import ReadLedger
from secagg.privacy.several_ledgers import together

EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)
THINNER = msgspec.structs.replace(EVENT, local_sigma=15.0)
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        name: str,
        event: PrivacyEvent = EVENT,
        *,
        digest: str | None = "a" * 64,
        data: str | None = "hospital",
        delta: float = 1e-3,
        releases: int = 2,
    ) -> Path:
        path = tmp_path / name
        about = Description(run=name, data=data, data_digest=digest)
        with Ledger.create(
            path, epsilon=50, delta=delta, population=300, unit=event.unit, relation=event.relation, description=about
        ) as opened:
            for number in range(releases):
                opened.reserve(event, f"round {number}")
        return path

    return made


def test_together_composes_all_releases_of_the_same_data(make: Make) -> None:
    found = together([make("one"), make("two", THINNER)])
    assert len(found.sums) == 1
    assert found.everything is None
    assert found.sums[0].guarantee == guarantee({EVENT: 2, THINNER: 2}, delta=1e-3)
    alone = [ledger.spent.epsilon for ledger in found.ledgers]
    assert max(alone) < found.sums[0].guarantee.epsilon < sum(alone)
    text = found.as_text()
    assert "2 ledgers together: epsilon " in text
    assert "composed at delta 0.001, that of every ledger's budget" in text


def test_together_takes_the_least_delta_and_says_so(make: Make) -> None:
    found = together([make("one", delta=1e-3), make("two", delta=1e-5)])
    assert found.sums[0].guarantee == guarantee({EVENT: 4}, delta=1e-5)
    assert "composed at delta 1e-05, the least of the ledgers' budgets" in found.as_text()


def test_together_keeps_different_data_apart_and_says_when_to_add(make: Make) -> None:
    found = together([make("one"), make("two", digest="b" * 64, data="school"), make("three", releases=1)])
    by_data = [[ledger.path.name for ledger in each.ledgers] for each in found.sums]
    assert by_data == [["one", "three"], ["two"]]
    assert found.everything is not None
    assert found.everything.guarantee == guarantee({EVENT: 5}, delta=1e-3)
    assert "only needed for people whose data are in more than one" in found.as_text()


def test_together_counts_unknown_data_and_one_name_as_the_same(make: Make) -> None:
    unknown = together([make("one"), make("two", digest=None, data=None)])
    assert len(unknown.sums) == 1
    assert "record no digest of their data and count as being of the same data" in unknown.as_text()
    split = together([make("three"), make("four", digest="b" * 64)])
    assert len(split.sums) == 1
    assert "one name and different digests" in split.as_text()


def test_together_counts_a_copy_once(make: Make, tmp_path: Path) -> None:
    path = make("one")
    shutil.copy(path, tmp_path / "older")
    with Ledger.open(path) as opened:
        opened.reserve(EVENT, "another")
    for paths in ([path, tmp_path / "older"], [tmp_path / "older", path], [path, path]):
        found = together(paths)
        assert found.sums[0].guarantee == guarantee({EVENT: 3}, delta=1e-3)
        assert len(found.copies) == 1
        assert "is not counted" in found.as_text()


def test_together_counts_releases_to_come(make: Make) -> None:
    new, old = make("new", releases=0), make("old")
    found = together([new, old], planned={THINNER: 3})
    assert found.sums[0].guarantee == guarantee({EVENT: 2, THINNER: 3}, delta=1e-3)


def test_together_refuses_what_no_composition_adds(make: Make) -> None:
    examples = msgspec.structs.replace(EVENT, unit=PrivacyUnit.EXAMPLE, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    with pytest.raises(ConfigurationError, match=r"expected the unit client .* found example and add-or-remove-one"):
        together([make("one"), make("two", examples)])
    with pytest.raises(ConfigurationError, match="expected at least one"):
        together([])


def test_together_says_that_a_condition_of_a_ledger_failed(make: Make) -> None:
    sound, exposed = make("sound"), make("exposed", releases=0)
    assert "FAILED" not in together([sound, exposed]).as_text()
    with Ledger.open(exposed) as opened:
        opened.commit(opened.reserve(EVENT, "one"), contributors=100, details={UPDATES_HIDDEN_DETAIL: "no"})
    found = together([sound, exposed])
    (note,) = (note for note in found.notes if "FAILED" in note)
    assert note.startswith(f"A condition of the guarantee of {exposed} FAILED: At least one release was summed by a")
    assert note.endswith("So no sum that includes this ledger is a guarantee.")
    assert note in found.as_text()
    assert note in json.loads(found.as_json())["notes"]


def test_together_as_json_has_no_digest_of_data(make: Make) -> None:
    found = together([make("one"), make("two")])
    document = json.loads(found.as_json(), parse_constant=pytest.fail)
    assert document["by_data"][0]["epsilon"] == found.sums[0].guarantee.epsilon
    assert [ledger["run"] for ledger in document["ledgers"]] == ["one", "two"]
    assert "a" * 64 not in found.as_json() + found.as_text()


def test_planned_releases_are_counted_with_the_first_ledgers_data_also_where_it_is_a_copy(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("whole", "copy", "other")}
    event = EVENT
    for name, digest in (("whole", "a" * 64), ("other", "b" * 64)):
        description = Description(data=name, data_digest=digest)
        with Ledger.create(paths[name], epsilon=60, delta=1e-3, population=16, description=description) as ledger:
            ledger.reserve(event, "round 1")
            if name == "whole":
                shutil.copy(paths[name], paths["copy"])
                ledger.reserve(event, "round 2")
    with_copy = together([paths["copy"], paths["other"], paths["whole"]], planned={event: 100})
    without = together([paths["whole"], paths["other"]], planned={event: 100})
    assert [each.data for each in with_copy.sums] == [each.data for each in without.sums] == [("whole",), ("other",)]
    assert [each.guarantee.epsilon for each in with_copy.sums] == [each.guarantee.epsilon for each in without.sums]


DIGEST = "c1" * 32
NOISE = GaussianEvent(noise_multiplier=4.0)


def ledger_with(
    path: Path,
    *,
    accounting: Accounting = Accounting.FIXED,
    participation: Participation | None = None,
    releases: Sequence[Sequence[int] | None] = (None,),
    epsilon: float = 6.0,
    towards: Observer = Observer.SERVER,
    event: PrivacyEvent = NOISE,
) -> Path:
    """A ledger of hospital data with one release for each cohort; None asks everybody."""
    with Ledger.create(
        path,
        epsilon=epsilon,
        delta=1e-3,
        population=300,
        relation=event.relation,
        description=Description(data="hospital", data_digest="a" * 64),
        accounting=accounting,
        participation=participation,
        towards=towards,
    ) as opened:
        for cohort in releases:
            opened.reserve(event, "x", participants=cohort)
    return path


def mu_squared(epsilon: float) -> float:
    return largest_mu(epsilon, 1e-3) ** 2


def of_mu(square: float) -> float:
    return guarantee({GaussianEvent(noise_multiplier=1 / math.sqrt(square)): 1}, delta=1e-3).epsilon


def test_ledger_that_was_read_says_what_it_claims(tmp_path: Path) -> None:
    spent = ReadLedger.of(ledger_with(tmp_path / "spent"))
    epsilon = rounded_up(guarantee({NOISE: 1}, delta=1e-3).epsilon)
    assert spent.in_words == f"epsilon {epsilon} of 6 spent at delta 0.001, 1 release"
    adaptive = ReadLedger.of(
        ledger_with(tmp_path / "l", participation=Participation(clients=DIGEST), releases=([1], [2]))
    )
    assert adaptive.in_words == "epsilon 6.0000 guaranteed at delta 0.001, the budget, 2 releases"
    assert (adaptive.counts_whole, adaptive.is_added, adaptive.events) == (True, True, {})


def test_budgets_of_gaussian_filters_add_up_by_their_squares_whatever_is_used(tmp_path: Path) -> None:
    one = ledger_with(tmp_path / "one", accounting=Accounting.GAUSSIAN_FILTER)
    two = ledger_with(tmp_path / "two", accounting=Accounting.GAUSSIAN_FILTER, epsilon=2.0, releases=(None, None))
    found = together([one, two])
    assert found.sums[0].epsilon == pytest.approx(of_mu(mu_squared(6.0) + mu_squared(2.0)), rel=1e-9)
    assert found.sums[0].epsilon >= of_mu(mu_squared(6.0) + mu_squared(2.0))
    assert found.sums[0].delta == 1e-3
    assert "These count with their whole budget, whatever part of it is used" in found.as_text()
    assert "epsilon 6.0000 guaranteed at delta 0.001, the budget, of which" in found.as_text()
    assert together([one]).sums[0].epsilon <= 6.0


def test_budget_of_a_gaussian_filter_is_composed_with_what_other_ledgers_spent(tmp_path: Path) -> None:
    filtered = ledger_with(tmp_path / "filtered", accounting=Accounting.GAUSSIAN_FILTER)
    spent = ledger_with(tmp_path / "spent", releases=(None,) * 3)
    found = together([filtered, spent])
    assert found.sums[0].epsilon == pytest.approx(of_mu(mu_squared(6.0) + 3 / 16), rel=1e-9)
    document = json.loads(found.as_json())
    assert document["version"] == 2
    assert [(each["claim"], each["counts_whole"]) for each in document["ledgers"]] == [
        ("budget", True),
        ("spent", False),
    ]


def test_budgets_without_a_gaussian_filter_are_added_epsilon_to_epsilon_and_delta_to_delta(tmp_path: Path) -> None:
    renyi = ledger_with(tmp_path / "renyi", accounting=Accounting.RENYI_FILTER)
    adaptive = ledger_with(
        tmp_path / "adaptive", participation=Participation(clients=DIGEST), releases=(range(9),), epsilon=5.0
    )
    spent = ledger_with(tmp_path / "spent")
    found = together([spent, renyi, adaptive])
    assert found.sums[0].epsilon == pytest.approx(guarantee({NOISE: 1}, delta=1e-3).epsilon + 6.0 + 5.0, rel=1e-15)
    assert found.sums[0].delta == 3e-3
    assert "the epsilon and the delta are added to those of all other releases" in found.as_text()
    assert found.sums[0].accountant.endswith("the budgets of 2 ledgers added")
    alone = together([renyi, adaptive]).sums[0]
    assert (alone.epsilon, alone.delta) == (11.0, 2e-3)


def test_ledger_with_a_filter_and_without_releases_costs_nothing_until_some_are_planned(tmp_path: Path) -> None:
    empty = ledger_with(tmp_path / "empty", accounting=Accounting.GAUSSIAN_FILTER, releases=())
    spent = ledger_with(tmp_path / "spent")
    assert together([spent, empty]).sums[0].epsilon == guarantee({NOISE: 1}, delta=1e-3).epsilon
    planned = together([empty, spent], planned={NOISE: 2}).sums[0]
    assert planned.epsilon == pytest.approx(of_mu(mu_squared(6.0) + 1 / 16), rel=1e-9)


def test_ledger_that_counts_clients_counts_with_the_one_that_was_asked_most(tmp_path: Path) -> None:
    counted = Participation(clients=DIGEST, adaptive=False, cap=3)
    one = ledger_with(tmp_path / "one", participation=counted, releases=([0, 1], [1, 2], [2, 3]))
    two = ledger_with(tmp_path / "two", participation=counted, releases=([0, 4], [4, 5], [4, 6]))
    found = together([one, two])
    # No client was asked five times; that the populations are the same one is not used.
    assert found.sums[0].guarantee == guarantee({NOISE: 5}, delta=1e-3)
    assert "counts with the releases of the client that was charged most" in found.as_text()
    assert together([one, two], planned={NOISE: 40}).sums[0].guarantee == guarantee({NOISE: 6}, delta=1e-3)
    for form in (found.as_text(), found.as_json()):
        assert DIGEST not in form


def test_sum_with_a_ledger_towards_readers_holds_towards_readers_only(tmp_path: Path) -> None:
    event = PoissonSampledEvent(
        sampling_rate=0.1,
        event=GaussianEvent(noise_multiplier=2.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE),
    )
    path = ledger_with(
        tmp_path / "readers",
        participation=Participation(clients=DIGEST, adaptive=False),
        releases=([1], [2], [3]),
        towards=Observer.READERS,
        event=event,
    )
    (each,) = together([path]).sums
    assert each.guarantee == guarantee({event: 3}, delta=1e-3, relation=event.relation)
    assert each.in_words.endswith("relation add-or-remove-one, towards readers only")
