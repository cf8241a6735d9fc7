"""Errors that name the client whose part has failed."""

import pytest

from dp.errors import InvalidParameter
from secagg.client_errors import about, in_words, naming
from secagg.errors import DataError, MissingExtraError, TrainingDiverged


@pytest.mark.parametrize("kind", [DataError, InvalidParameter, TrainingDiverged])
def test_own_errors_are_raised_again_with_the_client_in_front(kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^client 7: found nothing$") as caught, naming(7):
        raise kind("found nothing") from KeyError("reason")
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, KeyError)


def test_error_that_names_its_client_is_left_as_it_is() -> None:
    error = DataError("client 7 has no examples")
    assert about(7, error) is error


def test_error_of_a_client_that_is_not_known_is_left_as_it_is() -> None:
    with pytest.raises(DataError, match=r"^found nothing$"), naming(None):
        raise DataError("found nothing")


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), MissingExtraError("sklearn", "data")])
def test_foreign_errors_pass_through_and_can_have_a_note(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, naming(7):
        raise error
    assert caught.value is error
    assert about(7, error) is error
    assert error.__notes__ == ["It was raised by the training of client 7."]


def test_errors_in_words_have_their_class_unless_they_are_own() -> None:
    assert in_words(DataError("found nothing")) == "found nothing"
    assert in_words(ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"
