"""Errors that name the client whose part has failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dp.errors import InvalidParameter
from secagg.errors import ConfigurationError, DataError, EncodingError, ModelError, TrainingDiverged

# The only argument of these errors is the message, so that the client's name can be put before it.
_NAMED: Final = (ConfigurationError, DataError, EncodingError, InvalidParameter, ModelError, TrainingDiverged)


@contextmanager
def naming(client: int | None) -> Iterator[None]:
    """Name the client in an error of one of the classes `_NAMED` that the block raises, if the client is known."""
    try:
        yield
    except _NAMED as error:
        if client is None:
            raise
        raise about(client, error) from error.__cause__


def about(client: int, error: Exception) -> Exception:
    """Return an error whose message, or a note on it, names the client."""
    if type(error) in _NAMED:
        return error if str(error).startswith(f"client {client} ") else type(error)(f"client {client}: {error}")
    error.add_note(f"It was raised by the training of client {client}.")
    return error


def in_words(error: Exception) -> str:
    """Return an error's message, preceded by its class unless the error is one of secagg's own."""
    return str(error) if isinstance(error, _NAMED) else f"{type(error).__name__}: {error}"
