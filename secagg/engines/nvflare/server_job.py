"""The server's side of a job: whom it asks, with which keys, and what it does with what comes back."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from dp.ledger.ledger import Ledger
from protocols.errors import RemoteError
from secagg.checks import check_integer, check_positive, listed
from secagg.engines.nvflare.channel import FlareChannel
from secagg.engines.nvflare.local_file import LocalFile
from secagg.engines.nvflare.rounds import CheckpointFile, run_rounds
from secagg.engines.nvflare.transfer import Link
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import Plan
from secagg.engines.server.round_report import Observer
from secagg.engines.wire.work import Plain, Work
from secagg.errors import ConfigurationError, EngineError, NothingReleased
from secagg.logger import LOGGER
from secagg.storage.roster_file import ROSTER_NAME, RosterFile

START_S: Final = 300.0
"""How long a round waits for enough sites."""

_MIB: Final = 2**20


class JobAborted(EngineError):
    """A job that FLARE has ended; submitted again, it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerJob:
    """What a job asks of the server.

    Attributes:
        coordinator: The name of the coordinator, in the server's own `secagg.toml`.
        run: The name of the run, which no other run of the federation has.
        rounds: The number of rounds.
        deadline_s: The seconds after which a step ends without the replies that are missing.
        plan: Plans the mean of each round.
        settings: What training depends on besides the model.
        min_clients: A round begins when at least that many clients are there.
        clients: The names of the sites that train; None for all of the roster.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    coordinator: str
    run: str
    rounds: int
    deadline_s: float
    plan: Plan
    settings: Mapping[str, Plain] = field(default_factory=dict)
    min_clients: int = 2
    clients: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_integer("rounds", self.rounds, minimum=1)
        check_integer("min_clients", self.min_clients, minimum=2)
        check_positive("deadline", self.deadline_s)

    def execute(
        self,
        model: Callable[[], Mapping[str, NDArray[Any]]],
        link: Link,
        *,
        local: Path,
        submitter: str | None,
        is_aborted: Callable[[], bool],
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> dict[str, NDArray[Any]]:
        """Run all rounds that are left, and return the model.

        Args:
            model: Returns the arrays to begin with, by name; called when the submitter is known to be allowed.
            link: What FLARE does.
            local: The server's folder with `secagg.toml`.
            submitter: Who has submitted the job; None in a simulation.
            is_aborted: Returns whether FLARE has ended the job.
            observers: Called after each attempt at a round; see `Coordinator`.
            clock: A clock in seconds that never goes back.
            wait: Waits for a number of seconds.

        Raises:
            ConfigurationError: The job does not fit the server's files.
            JobAborted: FLARE has ended the job.
            EngineError: Too few sites are there.
        """
        table = LocalFile.read(local).coordinator(self.coordinator, submitter=submitter)
        names = RosterFile.read(Path(table.folder, ROSTER_NAME)).names
        trains, members = self._clients(names), _ids(names, table.members, "members")
        channel = FlareChannel(link, names, clock=clock, wait=wait, in_flight_bytes=table.in_flight_mib * _MIB)
        engine = ChannelEngine(channel, clock=clock, step_s=self.deadline_s)
        checkpoint = CheckpointFile(table.folder, Work(self.run, 1, model(), self.settings))
        ledger = None if table.ledger is None else Ledger.open(table.ledger)
        try:
            with Coordinator(
                table.folder, self.plan, ledger=ledger, run=self.run, members=members, observers=observers
            ) as coordinator:

                def mean_of(work: Work) -> Sequence[NDArray[Any]]:
                    begun = clock()
                    present = self._present(channel, trains, members, is_aborted)
                    release = coordinator.run(work, present, engine)
                    LOGGER.info(
                        "round %d: %d of %d clients in %.3f s",
                        work.round,
                        len(release.contributors),
                        len(present),
                        clock() - begun,
                    )
                    return release.mean

                last = run_rounds(
                    self.rounds,
                    checkpoint=checkpoint,
                    mean_of=mean_of,
                    forget=lambda number: coordinator.forget(number, run=self.run),
                    may_try_again=lambda error: _may_try_again(error, ledger),
                )
        finally:
            if ledger is not None:
                ledger.close()
        return dict(zip(last.names, last.arrays, strict=True))

    def _clients(self, names: Mapping[int, str]) -> tuple[int, ...]:
        wanted = tuple(names.values()) if self.clients is None else tuple(self.clients)
        found = tuple(sorted(set(_ids(names, wanted, "clients"))))
        if len(found) < self.min_clients:
            raise ConfigurationError(
                f"clients: expected {self.min_clients} sites or more, found {listed(wanted)}. Name more of them."
            )
        return found

    def _present(
        self, channel: FlareChannel, trains: Sequence[int], members: Sequence[int], is_aborted: Callable[[], bool]
    ) -> tuple[int, ...]:
        """Return the clients that are there; the committee's members get the same time to start.

        Raises:
            JobAborted: FLARE has ended the job.
            EngineError: Too few clients are there.
        """
        others = [member for member in members if member not in trains]
        if others:
            channel.gather(others, quorum=1, patience_s=self.deadline_s, timeout_s=self.deadline_s, is_over=is_aborted)
        present = channel.gather(
            trains,
            quorum=self.min_clients,
            patience_s=self.deadline_s,
            timeout_s=max(START_S, self.deadline_s),
            is_over=is_aborted,
        )
        if is_aborted():
            raise JobAborted("job: expected to go on, found that FLARE has ended it. Submit it again.")
        if len(present) < self.min_clients:
            raise EngineError(
                f"sites: expected at least {self.min_clients} that answer, found {len(present)}. Start the others, and "
                "submit the job again."
            )
        return present


def _may_try_again(error: Exception, ledger: Ledger | None) -> bool:
    """Return whether a round that ended so begins again by itself.

    It does if clients were found to break the protocol: the coordinator leaves them out. It does if nothing was
    released and there is no noise. With noise the round has spent its part of the budget, so that a person decides.
    """
    return bool(isinstance(error, RemoteError) and error.culprits) or (
        isinstance(error, NothingReleased) and ledger is None
    )


def _ids(names: Mapping[int, str], wanted: Sequence[str], what: str) -> tuple[int, ...]:
    """Return the ids of some sites, in their order.

    Raises:
        ConfigurationError: A name is not in the roster.
    """
    ids = {name: node for node, name in names.items()}
    unknown = [name for name in wanted if name not in ids]
    if unknown:
        raise ConfigurationError(
            f"{what}: expected sites of the roster, found {listed(unknown)}. Correct the names, or make a new roster."
        )
    return tuple(ids[name] for name in wanted)
