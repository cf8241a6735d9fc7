"""What every command says of itself, byte for byte as recorded in tests/vectors/help."""

import pytest

from tests.vectors.record_help import help_texts, recorded_texts

RECORDED = recorded_texts()


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return help_texts()


def test_help_is_recorded_of_every_command(texts: dict[str, str]) -> None:
    assert sorted(texts) == sorted(RECORDED)


@pytest.mark.parametrize("command", RECORDED)
def test_help_is_as_recorded(command: str, texts: dict[str, str]) -> None:
    assert texts[command] == RECORDED[command]
