"""The server's side of all rounds: the one place that reserves, releases and commits.

A release is a function of the work. A caller that asks again for the release of a work gets the same one, without a
message and at no cost. So a model that was restored from an older checkpoint moves the same way again, and neither
the ledger nor the model depends on the other: both follow from the kept release.

The order of writes, each on the disk before the next:

1. the reservation, if there is noise;
2. the serial of the attempt;
3. the opening, before the requests leave with which a sum may be opened;
4. the release;
5. its commitment.

A crash between any two of them is described in docs/engines/crashes.md. Without a folder nothing is kept, and a crash
ends the run.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dp.ledger.ledger import Ledger
from dp.ledger.records import Detail
from protocols import Identity, Session
from protocols.crypto.entropy import Entropy, draw
from protocols.errors import RemoteError, SessionExpired
from protocols.identity import Roster
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import Engine, PrivateTraining, Release, RoundPlan, RoundResult
from secagg.engines.parties import Parties
from secagg.engines.server.attempt import Attempt, is_exact, session_of, with_folder
from secagg.engines.server.folder import CoordinatorFolder
from secagg.engines.server.kept import KeptRelease
from secagg.engines.server.plans import Plan, planned_mean
from secagg.engines.server.preflight import check_committee_time, check_no_sample, check_sizes
from secagg.engines.server.release_account import ReleaseAccount
from secagg.engines.server.result import checked_result
from secagg.engines.server.round_report import Observer, RoundOutcome, RoundReport, tell
from secagg.engines.server.testimony import colluding_of, later_attempt, left_out
from secagg.engines.wire.offer import Offer, fresh_session_id
from secagg.engines.wire.work import Work
from secagg.errors import (
    ConfigurationError,
    NothingReleased,
    OpeningExpired,
    OpeningUnfinished,
    ServerRolledBack,
    UnusableMean,
)

RUN_BYTES: Final = 16
_LEAST_CLIENTS: Final = 2

Details = Callable[[Release], Mapping[str, Detail]]

Asked = Sequence[int] | Callable[[], Sequence[int]]
"""The clients to ask, or a function that draws them for each attempt."""


def _no_details(_: Release) -> Mapping[str, Detail]:
    return {}


class Coordinator:
    """The server's side of all rounds, one process at a time; a context manager.

    Args:
        folder: The folder that `secagg keys coordinator` has made, which keeps what a crash must not lose; None to keep
            nothing.
        plan: Plans the mean of each round.
        ledger: Needed if and only if there is noise; the caller closes it.
        training: What the clients' own training guarantees if they add noise while they train; the mean then adds none.
        run: The name of the run in the ledger's labels.
        colluding: How many clients may help the server without breaking the protocol. The ledger states it, if it is
            given. By default it is the number of the plan's `adversarial` or of the noise, if one of them says it.
        members: The ids of the committee's members, in the order of their key shares; none without a committee.
        rollback: The last serial that nodes have seen, if this folder was restored from a backup and the owner accepts
            that the ledger lacks the releases since then; otherwise None.
        entropy: Randomness for session ids and for noise that the server adds; `os.urandom` outside tests.
        clock: A clock in seconds, to measure the server's work.
        wall_clock: Returns the time in seconds since 1970, by which sessions and keys of a committee expire.
        observers: Called after each attempt, such as `JsonLines`. One that fails is logged, and changes nothing.

    Attributes:
        run_id: A name that no other run has, for `Work.run`.

    Raises:
        CoordinatorError: The folder is not a coordinator's, is damaged, or another process uses it.
        ConfigurationError: A release that was kept needs a ledger to be committed in, and there is none.
        dp.errors.LedgerError: The ledger cannot be written.
    """

    def __init__(
        self,
        folder: str | Path | None,
        plan: Plan,
        *,
        ledger: Ledger | None = None,
        training: PrivateTraining | None = None,
        run: str | None = None,
        colluding: int | None = None,
        members: Sequence[int] = (),
        rollback: int | None = None,
        entropy: Entropy = os.urandom,
        clock: Callable[[], float] = time.process_time,
        wall_clock: Callable[[], float] = time.time,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._plan = plan
        self._observers = tuple(observers)
        self._account = ReleaseAccount(ledger=ledger, training=training, run=run, colluding=colluding)
        self._entropy, self._clock, self._wall_clock = entropy, clock, wall_clock
        self._checked: SecureMean | None = None
        self._serial = 0
        self._culprits: frozenset[int] = frozenset()
        self._folder = None if folder is None else CoordinatorFolder.open(folder, members=members, rollback=rollback)
        try:
            self.run_id = draw(entropy, RUN_BYTES).hex() if self._folder is None else self._folder.run_id
            for kept in () if self._folder is None else self._folder.releases():
                self._account.commit(kept)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder; closing twice is harmless."""
        if self._folder is not None:
            self._folder.close()

    @property
    def identity(self) -> Identity:
        """The coordinator's identity, whose public key every node has.

        Raises:
            ConfigurationError: There is no folder.
        """
        return self._kept_in().identity

    @property
    def roster(self) -> Roster:
        """The public identity keys of all nodes.

        Raises:
            ConfigurationError: There is no folder.
            CoordinatorError: There is no roster in it.
        """
        return self._kept_in().roster

    def check(self, work: Work, clients: Sequence[int], engine: Engine) -> None:
        """Find every error that can be known in advance; nothing is reserved, and no client is asked.

        Raises:
            ConfigurationError: Plan, ledger and engine do not fit together.
            CoordinatorError: The committee's file is not one that can be used now.
            UnsafeSession: A party refuses to take part on these terms.
            DataError: See `Engine.check`.
            dp.errors.LedgerUnavailable: The ledger cannot be written to.
        """
        mean = self._mean(work, clients)
        self._account.check(mean)
        self._checked = mean
        attempt = self._attempt(mean, session_of(mean, work, 1, fresh_session_id(1, bytes)), work, 1, None)
        engine.check(attempt.plan)

    def run(self, work: Work, clients: Asked, engine: Engine, *, details: Details = _no_details) -> Release:
        """Return the release of a work: the one that is kept, or that of a new session, or of one that is half done.

        Clients that were found to have broken the protocol are left out.

        Args:
            work: What every client trains on.
            clients: The clients to ask, or a function that draws them; it is called for each new session, just before
                the session's cost is reserved for all of them.
            engine: The way to reach them.
            details: Returns what the ledger is to record of the release besides. If it fails, the release is committed
                without that, and the error is raised.

        Raises:
            NothingReleased: Too few parties are left, or noise left no mean; what was reserved stays spent.
            OpeningUnfinished: A sum may have been opened, too few parties answer to finish it, and nodes add no noise.
            OpeningExpired: A sum may have been opened, the session has expired, and nodes add no noise.
            CoordinatorError: The committee's file is not one that can be used now. Nothing is reserved, and nobody has
                been asked.
            ServerRolledBack: Nodes have seen later serials than this folder.
            CohortsExhausted: The function raises it, as any other error of drawing; nobody has been asked.
            dp.errors.BudgetExceeded: The budget does not allow another release; nobody has been asked.
            EngineError: The engine's result is not that of such a round.
            protocols.errors.RemoteError: The parties' replies together show misbehaviour.
        """
        inputs = work.digest()
        if self._folder is not None and (kept := self._folder.release(inputs)) is not None:
            return kept.release
        while True:
            attempt = self._half_done(work) or self._begun(work, clients() if callable(clients) else clients)
            result = self._run(attempt.plan, engine)
            if result.total is not None:
                return self._released(attempt, result, details)
            self._observe(attempt.plan, result, RoundOutcome.WITHHELD, result.withheld)
            if not self._may_try_again(attempt, result):
                raise NothingReleased(result.withheld, result=result)

    def abandon(self, work: Work) -> None:
        """Give up the opening that is kept for a work, so that the next `run` begins a new session.

        The sum may have been opened. Nodes refuse to open another sum of the same work for nearly the same clients: ask
        the same ones again, or clients of whom at least the threshold were not in that sum.
        """
        if self._folder is not None:
            self._folder.drop_opening(work.digest())

    def forget(self, number: int, *, run: str | None = None) -> None:
        """Forget a run's kept releases up to a round, but for the last two: the caller's checkpoint has them.

        Args:
            number: The number of the round.
            run: The run, as in `Work.run`; by default `run_id`.
        """
        if self._folder is not None:
            self._folder.forget(self.run_id if run is None else run, number)

    def _kept_in(self) -> CoordinatorFolder:
        if self._folder is None:
            raise ConfigurationError("folder: expected one, which has the coordinator's keys, found none. Name one.")
        return self._folder

    def _mean(self, work: Work, clients: Sequence[int], *, again: bool = False) -> SecureMean:
        if self._folder is not None:
            self._folder.renew_committee()
        parties = Parties() if self._folder is None else self._folder.parties
        left = [client for client in clients if client not in self._culprits]
        mean = planned_mean(self._plan, left, work, parties, again=again)
        check_committee_time(mean, self._wall_clock())
        if self._folder is not None:
            check_no_sample(mean)
            check_sizes(mean, work)
        return mean

    def _half_done(self, work: Work) -> Attempt | None:
        """Return the attempt at this work in which a sum may have been opened; None if there is none."""
        kept = None if self._folder is None else self._folder.opening(work.digest())
        if kept is None or self._folder is None:
            return None
        parties, offer = self._folder.parties, Offer.from_bytes(kept.offer)
        key = None if parties.committee is None else parties.committee.key
        mean, session = offer.build(parties.roster, key)
        try:
            mean.protocol.check_time(session, self._wall_clock())
        except SessionExpired as error:
            if is_exact(mean):
                raise OpeningExpired(str(error), least=session.threshold) from None
            self._folder.drop_opening(work.digest())
            return None
        return self._attempt(mean, session, work, offer.serial, kept.reservation, opening=kept.state)

    def _begun(self, work: Work, clients: Sequence[int]) -> Attempt:
        """Return a new attempt at a work, reserved and with a serial of its own."""
        mean = self._mean(work, clients, again=self._checked is not None or len(clients) < _LEAST_CLIENTS)
        if self._checked is None or not mean.is_like(self._checked):
            self._account.check(mean)
            self._checked = mean
        reservation = self._account.reserve(mean, work.round)
        self._serial = self._serial + 1 if self._folder is None else self._folder.next_serial()
        session = session_of(mean, work, self._serial, fresh_session_id(self._serial, self._entropy))
        return self._attempt(mean, session, work, self._serial, reservation)

    def _attempt(
        self,
        mean: SecureMean,
        session: Session,
        work: Work,
        serial: int,
        reservation: int | None,
        *,
        opening: bytes | None = None,
    ) -> Attempt:
        plan = RoundPlan(mean=mean, session=session, work=work, serial=serial, training=self._account.training)
        if self._folder is not None:
            plan = with_folder(plan, self._folder, reservation=reservation, opening=opening, ignored=self._culprits)
        return Attempt(plan=plan, reservation=reservation)

    def _run(self, plan: RoundPlan, engine: Engine) -> RoundResult:
        try:
            return checked_result(plan, engine.run(plan))
        except RemoteError as error:
            self._culprits |= left_out(error, self._colluding(plan.mean))
            self._observe(plan, RoundResult(), RoundOutcome.FAILED, type(error).__name__, culprits=error.culprits)
            raise

    def _colluding(self, mean: SecureMean) -> int | None:
        """Return how many clients may collude: as stated, else as planned."""
        stated = self._account.colluding
        return colluding_of(self._plan, mean) if stated is None else stated

    def _may_try_again(self, attempt: Attempt, result: RoundResult) -> bool:
        """Return whether a new session may follow at once: a resumed one could not be finished, and nodes add noise.

        Raises:
            OpeningUnfinished: A sum may have been opened, and nodes add no noise.
            ServerRolledBack: Nodes have seen later serials.
        """
        serial, colluding = attempt.plan.serial, self._colluding(attempt.plan.mean)
        if (found := later_attempt(result.seen.values(), serial, colluding)) is not None:
            raise ServerRolledBack(found=found, expected=serial)
        if self._folder is None or self._folder.opening(attempt.plan.work.digest()) is None:
            return False
        if is_exact(attempt.plan.mean):
            raise OpeningUnfinished(result.withheld, least=attempt.plan.session.threshold)
        self._folder.drop_opening(attempt.plan.work.digest())
        return attempt.resumed

    def _released(self, attempt: Attempt, result: RoundResult, details: Details) -> Release:
        """Return the release of a total, once it is kept and committed."""
        plan, begun = attempt.plan, self._clock()
        release = self._decoded(plan, result)
        release = replace(release, cost=replace(result.cost, server_s=result.cost.server_s + self._clock() - begun))
        recorded, failure = self._account.details(plan.mean), None
        try:
            recorded |= details(release)
        except Exception as error:  # noqa: BLE001  # It has been released all the same, so it is committed first.
            failure = error
        kept = KeptRelease(
            inputs=plan.work.digest(),
            run=plan.work.run,
            round=plan.number,
            reservation=attempt.reservation,
            details=recorded,
            release=release,
        )
        if self._folder is not None:
            self._folder.keep_release(kept)
        self._account.commit(kept)
        if self._folder is not None:
            self._folder.drop_opening(kept.inputs)
        self._observe(plan, replace(result, cost=release.cost), RoundOutcome.RELEASED, None)
        if failure is not None:
            raise failure
        return release

    def _decoded(self, plan: RoundPlan, result: RoundResult) -> Release:
        """Return the release of a total.

        Raises:
            NothingReleased: Noise or rounding has left no mean.
        """
        if result.total is None:
            raise TypeError("result: expected one with a total")
        contributors = len(result.contributors)
        try:
            decoded = plan.mean.decode(
                result.total,
                contributors=contributors,
                rotation=plan.rotation,
                attached=result.attached,
                entropy=self._entropy,
                overwrite=result.total.flags.writeable,
            )
        except UnusableMean as error:
            if self._folder is not None:
                self._folder.drop_opening(plan.work.digest())
            self._observe(plan, result, RoundOutcome.WITHHELD, str(error))
            raise NothingReleased(str(error), result=replace(result, total=None)) from error
        return Release(
            mean=decoded.mean,
            contributors=tuple(client for client in result.contributors if client not in plan.mean.padding),
            dropped=result.dropped,
            realised=self._account.realised(plan.mean, contributors),
            rounding_bound=decoded.rounding_bound,
            failed=result.failed,
            findings=result.findings,
        )

    def _observe(
        self,
        plan: RoundPlan,
        result: RoundResult,
        outcome: RoundOutcome,
        reason: str | None,
        *,
        culprits: Iterable[int] = (),
    ) -> None:
        """Tell the observers what an attempt did."""
        if not self._observers:
            return
        report = RoundReport.of(plan, result, outcome, reason, culprits=culprits, privacy=self._account.privacy)
        tell(self._observers, report)
