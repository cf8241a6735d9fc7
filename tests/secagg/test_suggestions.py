"""Suggestions of a known name for an unknown one."""

import pytest

from secagg.suggestions import did_you_mean

KNOWN = ("epsilon", "delta", "Clients")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("epsilom", "; did you mean epsilon?"),
        ("DELTA", "; did you mean delta?"),
        ("client", "; did you mean Clients?"),
        ("seed", ""),
        ("", ""),
    ],
)
def test_close_name_is_suggested_as_it_is_written_and_no_other(word: str, found: str) -> None:
    assert did_you_mean(word, KNOWN) == found


def test_nothing_is_suggested_if_nothing_is_known() -> None:
    assert did_you_mean("epsilon", ()) == ""
