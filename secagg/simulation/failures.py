"""Failures of single clients: the training of one of them does not end the round of all others.

All clients run the same program from the same weights.  Where that fails for some of them and not for the others, the
reason is in their data.  Such a client is left out where nothing is to be private.  Where there is noise, who is left
out must not depend on data: the client sends zeros with its share of the noise, and nobody but its owner learns why.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from dp.checks import printable
from protocols import Role, SecureSum
from secagg.checks import listed
from secagg.client_errors import about, in_words
from secagg.errors import DataError, ModelError

Kinds = tuple[type[Exception], ...]

DATA_DEPENDENT: Final[Kinds] = (Exception,)
"""What a client's training may raise because of its data: anything, since the model is a user's own code.

Only a full memory ends the run.  An error of the program is one of all clients, which ends the run too.
"""


class Failures:
    """The clients whose part of one round has failed.

    Args:
        number: Of the round.
        kinds: What may fail without ending the round; everything else is raised.

    Attributes:
        reasons: By client, why it failed: one line for its owner.
    """

    def __init__(self, number: int, *, kinds: Kinds = DATA_DEPENDENT) -> None:
        self.reasons: dict[int, str] = {}
        self._number, self._kinds = number, kinds
        self._first: Exception | None = None

    @contextmanager
    def of(self, client: int) -> Iterator[None]:
        """Note a failure inside the block as the client's, and go on behind the block.

        Raises:
            Exception: It is none of the kinds; its message, or a note on it, names the client.
        """
        try:
            yield
        except Exception as error:
            if not self._contains(error):
                if (named := about(client, error)) is not error:
                    raise named from error.__cause__
                raise
            self.reasons[client] = printable(in_words(error).removeprefix(f"client {client} "))
            self._first = self._first or error

    def check(self, working: Collection[int]) -> None:
        """Make sure that the failures are those of single clients.

        Args:
            working: The clients that have not failed.

        Raises:
            DataError: All have failed, the first one over its data.
            ModelError: All have failed, the first one in another way.
        """
        if working or self._first is None:
            return
        kind = DataError if isinstance(self._first, DataError) else ModelError
        client, reason = next(iter(self.reasons.items()))
        raise kind(
            f"the training of all {len(self.reasons)} clients ({listed(self.reasons)}) has failed in round "
            f"{self._number}, and nothing has been sent; client {client}: {reason}"
        ) from self._first

    def _contains(self, error: Exception) -> bool:
        return isinstance(error, self._kinds) and not isinstance(error, MemoryError)


def departing(
    drops: Mapping[str, Collection[int]], failed: Collection[int], *, protocol: SecureSum
) -> dict[str, list[int]]:
    """Who vanishes, by round of the protocol, where clients that have failed do so before they send anything."""
    first = next(row.name for row in protocol.steps if row.role is Role.CLIENT)
    left = {name: [client for client in clients if client not in failed] for name, clients in drops.items()}
    return left | {first: sorted({*left.get(first, ()), *failed})} if failed else left
