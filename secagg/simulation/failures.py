"""Failures of single clients, which do not end the round for the others.

All clients run the same program from the same weights. If it fails for some clients and not for others, the reason is
in their data. Without noise, such a client is left out. With noise, the set of contributors must not depend on data:
the client sends zeros with its noise share, and only its owner learns the reason.
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
"""What a client's training may raise because of its data: any exception, since the model is a user's own code.

Only `MemoryError` ends the run at once. An error in the program occurs for all clients, and that ends the run too.
"""


class Failures:
    """The clients whose part of one round has failed.

    Args:
        number: The number of the round.
        kinds: The exceptions that do not end the round; any other exception is raised.

    Attributes:
        reasons: For each client that failed, the reason: one line for its owner.
    """

    def __init__(self, number: int, *, kinds: Kinds = DATA_DEPENDENT) -> None:
        self.reasons: dict[int, str] = {}
        self._number, self._kinds = number, kinds
        self._first: Exception | None = None

    @contextmanager
    def of(self, client: int) -> Iterator[None]:
        """Record a failure inside the block as the client's, and continue after the block.

        Raises:
            Exception: An exception of none of the kinds; its message, or a note on it, names the client.
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
        """Check that at least one client has not failed.

        Args:
            working: The clients that have not failed.

        Raises:
            DataError: All clients have failed, the first one because of its data.
            ModelError: All clients have failed, the first one for another reason.
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
    """Return which clients drop out in each step; those in `failed` do so before they send anything."""
    first = next(row.name for row in protocol.steps if row.role is Role.CLIENT)
    left = {name: [client for client in clients if client not in failed] for name, clients in drops.items()}
    return left | {first: sorted({*left.get(first, ()), *failed})} if failed else left
