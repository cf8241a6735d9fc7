import pytest

from secagg.planning.cost.figures import bytes_in_words, count, seconds_in_words, short


@pytest.mark.parametrize(
    "number", [0, 0.0004, 0.012, 0.0949, 0.0951, 0.5, 0.996, 1, 9.96, 99.49, 100, 9999, 10**4, 9.96e9, 1e12, 7e99]
)
def test_short_number_has_five_characters_and_two_digits(number: float) -> None:
    assert len(short(number)) <= 5
    if number >= 0.01:
        assert float(short(number)) == pytest.approx(number, rel=0.06)


def test_counts_are_in_full_up_to_five_digits() -> None:
    assert [count(number) for number in (0, 5, 99_999, 100_000)] == ["0", "5", "99999", "1.0e5"]


def test_words_have_a_fitting_unit() -> None:
    assert [seconds_in_words(each) for each in (0.5, 119, 3600, 90_000, 10**7)] == [
        "0.50 s", "119 s", "60.0 minutes", "25.0 hours", "116 days",
    ]  # fmt: skip
    assert [bytes_in_words(each) for each in (38, 4e3, 2e6, 3.1e9, 5e12, 2e16)] == [
        "38.0 bytes", "4.0 kB", "2.0 MB", "3.1 GB", "5.0 TB", "20.0 PB",
    ]  # fmt: skip
