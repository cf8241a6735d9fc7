import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.events import DistributedDiscreteGaussianEvent, NeighbouringRelation, PrivacyEvent, PrivacyUnit
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.records import UPDATES_HIDDEN_DETAIL
from secagg.errors import ConfigurationError
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
