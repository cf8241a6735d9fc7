"""Progress of `secagg train` where no terminal shows bars: one line a round on standard error, as it happens."""

import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from dp.figures import rounded_up, used_in_percent
from secagg.commands.progress import write_line
from secagg.runs.comparison import WITHOUT_NOISE
from secagg.training.records import RoundRecord


class FailedClients:
    """Says whose training has failed and why, once for each client: in a simulation all owners share one screen.

    Args:
        say: Shows a line.
        secret: Whether clients are drawn in secret, so that no file may say whose training has failed.
    """

    def __init__(self, say: Callable[[str], None], *, secret: bool = False) -> None:
        self._say = say
        self._known = ", and it names a client that was drawn in secret" if secret else ""
        self._later = "are not told, since clients are drawn in secret" if secret else "are only in metrics.jsonl"
        self._told = set[int]()

    def observe(self, kind: str | None, record: RoundRecord) -> None:
        """Say who has failed in a round of the run itself, for the first time."""
        if kind is not None:
            return
        done = "it takes part with zeros" if record.epsilon is not None else "it is left out"
        for client, reason in record.failed.items():
            if client not in self._told:
                self._told.add(client)
                self._say(
                    f"round {record.round}: the training of client {client} has failed, and {done}: {reason}. Not for "
                    f"publication: noise does not cover this line{self._known}. Later failures of this client "
                    f"{self._later}."
                )


class RoundLines:
    """A context manager whose `observe` writes a line for each round.

    The runs to compare with, which make their rounds in pairs, are told of once the run itself has ended, so that the
    wait for them is not silent.

    Args:
        rounds: The round that the run ends with.
        earlier: Rounds that have been made before, each with the kind of its run, which are not told of again.
        secret: Whether clients are drawn in secret. The records then have the expected number of clients.
    """

    def __init__(self, rounds: int, earlier: Iterable[tuple[str | None, RoundRecord]], *, secret: bool = False) -> None:
        self._rounds, self._secret = rounds, secret
        self._earlier = {(kind, record.round): record for kind, record in earlier}
        self._pending: RoundRecord | None = None
        self._ended = False
        self._began_s = time.monotonic()

    def __enter__(self) -> "RoundLines":
        done = [number for kind, number in self._earlier if kind is None]
        if done:
            last = max(done)
            goes_on = f"going on after round {last} of {self._rounds}"
            self._write(
                goes_on if last < self._rounds else f"the last round, {last} of {self._rounds}, was made before"
            )
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def observe(self, kind: str | None, record: RoundRecord) -> None:
        """Write a line."""
        if kind is None:
            self._ended = record.round >= self._rounds
        if self._earlier.get((kind, record.round)) == record:
            return
        if kind is None:
            self._write_round(record)
            return
        if self._pending is not None and self._ended:
            number, accuracy = self._pending.round, self._pending.accuracy
            self._write(
                f"runs to compare with, round {number} of {self._rounds}: accuracy {accuracy:.2%} without noise, "
                f"{record.accuracy:.2%} in the clear"
            )
        self._pending = record if kind == WITHOUT_NOISE else None

    def _write_round(self, record: RoundRecord) -> None:
        said = [f"round {record.round} of {self._rounds}: accuracy {record.accuracy:.2%}"]
        if record.epsilon is not None:
            used = "" if record.used is None else f" ({used_in_percent(record.used)} of it used)"
            said.append(f"epsilon {rounded_up(record.epsilon)}{used}")
        said.append(
            f"about {record.contributors} clients drawn" if self._secret else f"{record.contributors} contributors"
        )
        if record.withheld is not None:
            said.append(f"nothing released ({record.withheld})")
        self._write(", ".join([*said, *record.told]))

    def _write(self, line: str) -> None:
        write_line(f"{line}, elapsed {timedelta(seconds=int(time.monotonic() - self._began_s))}")
