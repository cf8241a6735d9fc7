"""Which populations, observers and ways of accounting a ledger can be made for, and what its first record says."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest

from dp.errors import IncompatibleLedger, InvalidParameter
from dp.events import NeighbouringRelation, Observer, PrivacyUnit
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation, clients_digest
from dp.ledger.records import first_record
from tests.support.cohorts import EITHER, CohortLedger, population
from tests.support.ledgers import create

DIGEST: Final = "5e" * 32


def record(**changes: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {"epsilon": 8.0, "delta": 1e-3, "population": 300} | changes
    found: dict[str, Any] = json.loads(first_record(**chosen, clock=lambda: 1.0, entropy=bytes))
    return found


def test_first_record_without_participation_is_as_before() -> None:
    assert record() == {
        "type": "budget",
        "epsilon": 8.0,
        "delta": 1e-3,
        "population": 300,
        "unit": "client",
        "relation": "zero-out",
        "time_s": 1.0,
        "software": record()["software"],
        "salt": "0" * 32,
    }


def test_first_record_says_who_takes_part_and_how_it_is_accounted() -> None:
    found = record(participation=Participation(clients=DIGEST, cap=45))
    assert found["participation"] == {"clients": DIGEST, "cap": 45}
    assert found["towards"] == "server"
    assert "accounting" not in found
    filtered = record(accounting=Accounting.GAUSSIAN_FILTER)
    assert (filtered["accounting"], "order" in filtered, "towards" in filtered) == ("gaussian-filter", False, False)
    ordered = record(accounting=Accounting.RENYI_FILTER, order=3)
    assert (ordered["accounting"], ordered["order"]) == ("renyi-filter", 3.0)
    assert record(accounting=Accounting.RENYI_FILTER)["order"] == pytest.approx(2.784, abs=1e-3)
    examples = record(
        unit=PrivacyUnit.EXAMPLE, relation=EITHER, participation=Participation(clients=DIGEST, size=12, adaptive=False)
    )
    assert examples["participation"] == {"clients": DIGEST, "size": 12, "adaptive": False}


READERS: Final = {"towards": Observer.READERS, "relation": EITHER}


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        ({"participation": "x"}, "expected a Participation"),
        (
            {"participation": Participation(clients=DIGEST), "towards": "everybody"},
            "towards: expected server or readers",
        ),
        ({"participation": Participation(clients=DIGEST), "relation": EITHER}, "expected zero-out, because the server"),
        ({"participation": Participation(clients=DIGEST, size=299)}, "size: expected the population 300"),
        ({"participation": Participation(clients=DIGEST), "unit": PrivacyUnit.EXAMPLE}, "size: expected the number"),
        ({"participation": Participation(clients=DIGEST), "population": 1 << 23, "delta": 1e-9}, "at most 4194304"),
        ({"participation": Participation(clients=DIGEST), "towards": Observer.READERS}, "add-or-remove-one"),
        ({"participation": Participation(clients=DIGEST, cap=3)} | READERS, "cap: expected None for readers"),
        (
            {"participation": Participation(clients=DIGEST, size=9), "unit": PrivacyUnit.EXAMPLE} | READERS,
            "the unit client for readers",
        ),
        (
            {"participation": Participation(clients=DIGEST), "accounting": Accounting.GAUSSIAN_FILTER} | READERS,
            "accounting: expected fixed or renyi-filter for readers",
        ),
        ({"accounting": "none"}, "accounting: expected fixed or gaussian-filter or renyi-filter"),
        ({"order": 2.0}, "order: expected None for fixed"),
        ({"accounting": Accounting.GAUSSIAN_FILTER, "order": 2.0}, "order: expected None for gaussian-filter"),
        ({"accounting": Accounting.RENYI_FILTER, "order": 1.0}, "order: expected a number from 1.01"),
        ({"accounting": Accounting.RENYI_FILTER, "order": "2"}, "order: expected a number"),
        ({"accounting": Accounting.RENYI_FILTER, "order": 1.05}, "order: expected one that reaches epsilon 8 at delta"),
        ({"accounting": Accounting.RENYI_FILTER, "epsilon": 1e-6, "delta": 1e-12}, "some Renyi order reaches"),
    ],
)
def test_create_refuses_what_does_not_go_together(path: Path, budget: dict[str, Any], match: str) -> None:
    chosen = {"epsilon": 8.0, "delta": 1e-3, "population": 300} | budget
    with pytest.raises(InvalidParameter, match=match):
        Ledger.create(path, **chosen)
    assert not path.exists()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"clients": "5E" * 32}, "clients: expected a SHA-256"),
        ({"clients": None}, "clients: expected a SHA-256"),
        ({"cap": 0}, "cap"),
        ({"cap": 1 << 32}, "cap"),
        ({"cap": 1.5}, "cap"),
        ({"size": 0}, "size"),
        ({"size": (1 << 22) + 1}, "size"),
        ({"adaptive": 1}, "adaptive: expected True or False"),
    ],
)
def test_participation_refuses_what_is_out_of_range(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        Participation(**{"clients": DIGEST} | changes)


@pytest.mark.parametrize("accounting", Accounting)
def test_texts_of_members_stand_for_them(accounting: Accounting) -> None:
    """A text that is not noticed to be one would leave a ledger without its filter."""
    options: dict[str, Any] = {"accounting": accounting.value, "towards": "server"}
    with CohortLedger(9, **options).open() as ledger:
        assert ledger.budget.accounting is accounting
        assert ledger.budget.towards is Observer.SERVER
        assert (ledger.limit is None) is (accounting is Accounting.FIXED)


def test_digest_depends_on_every_identity_and_on_their_order() -> None:
    content = b"".join(len(one).to_bytes(8) + one for one in (b"a", b"", b"bc"))
    assert clients_digest([b"a", b"", b"bc"]) == hashlib.sha256(content).hexdigest()
    lists = [[b"a", b"b"], [b"b", b"a"], [b"ab"], [b"a", b"b", b""], []]
    assert len({clients_digest(one) for one in lists}) == len(lists)


def test_other_population_is_refused(path: Path) -> None:
    """Somebody goes on with a ledger over another list of clients, so that client 3 is another person.

    The check of the population must stop it (IncompatibleLedger).
    """
    with CohortLedger(9).open() as ledger:
        ledger.check_clients(population(9).clients)
        with pytest.raises(IncompatibleLedger, match=r"expected the population of the digest .* found another one"):
            ledger.check_clients(population(10).clients)
    with create(path) as ledger, pytest.raises(IncompatibleLedger, match="expected a ledger with participation"):
        ledger.check_clients(DIGEST)


def test_relation_of_examples_is_the_budgets_own() -> None:
    """Who takes part is no example's doing, so the statement towards the server may be under add-or-remove-one."""
    for relation in NeighbouringRelation:
        found = record(unit=PrivacyUnit.EXAMPLE, relation=relation, participation=Participation(clients=DIGEST, size=9))
        assert (found["towards"], found["relation"]) == ("server", relation.value)
