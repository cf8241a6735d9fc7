"""The rows of lower bounds, as JSON holds them."""

from dataclasses import asdict, replace

from secagg.audit.epsilon.rows import EpsilonRow

ROW = EpsilonRow(
    unit="client",
    relation="zero-out",
    delta=1e-5,
    ledger=4.38,
    exact=4.0,
    lower_bound=3.0,
    confidence=0.95,
    method="one canary",
    trials=100,
    rests_on="one release",
)


def test_row_has_the_fields_of_the_report() -> None:
    assert list(asdict(ROW)) == [
        "unit",
        "relation",
        "delta",
        "ledger",
        "exact",
        "lower_bound",
        "confidence",
        "method",
        "trials",
        "rests_on",
    ]


def test_part_is_that_of_the_exact_epsilon_if_there_is_one() -> None:
    assert ROW.part == 0.75
    assert replace(ROW, exact=None).part is None
