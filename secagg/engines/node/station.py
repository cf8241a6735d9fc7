"""A node's side of a session: a parcel in, a reply out, and everything that must be on the disk in between.

A station answers whatever arrives, and never raises an error for it: it returns a machine's reply, or a refusal of one
code. The reason goes to the node's own log. What is checked and written, in this order:

1. The parcel's limits, its form, the coordinator's signature and the node's own id. No file is touched before that.
   The rest is done under the lock of the node's home.
2. If this very parcel was answered last, the reply that was kept is returned, byte for byte.
3. With an offer: its serial is above every serial that the node has recorded; the policy, its cap included, and the
   node's own terms allow the session; the work is the one that the offer names; the request is a whole one of the first
   step that asks this node.
4. The cost is reserved in the node's own ledger, if it has one, under a label of this node and this very offer.
5. The node trains, and its update is clipped and encoded. Up to here nothing was recorded or said, and a crash costs
   time only: the same parcel trains again, under the same reservation.
6. The step is recorded. With the first one, every earlier session of this home is dead. With the first one that sends
   something that depends on the update, the session counts.
7. The machine answers.
8. The reply and the machine's snapshot are kept in the live file, and the reply is returned.

A crash between 6 and 8 makes the node drop out of the session: the step is recorded, and there is no reply to return.
A step that a protocol repeats is not recorded. A committee member has recorded before what it says there, and says the
same to every request of that step. The machine of a member records in 7, in the home's record of openings, what it
agrees to open. A member by replicated seeds may sign the same statement again, so after a crash it gives the same
answer to the same request, and no answer to another one.

Adversary: a server that may send anything, now or again, and a process that is killed at any time. The station says
nothing twice in two ways as long as the home's record is the latest one. What an honest station says is as safe as the
protocol and the policy make it.
"""

import hashlib
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dp.checks import printable
from dp.errors import BudgetExceeded, DpError, LedgerError
from protocols.crypto.entropy import Entropy
from protocols.errors import (
    DamagedSnapshot,
    NotSigned,
    ParameterError,
    ParticipationRefused,
    ProtocolError,
    RemoteError,
    SessionExpired,
    SessionReused,
    UnsafeOpening,
)
from protocols.machine import Client
from secagg.aggregation.contribution import Contribution
from secagg.engines.base import RoundPlan, Update
from secagg.engines.client import contribute, weight_of
from secagg.engines.node.home import Home
from secagg.engines.node.home_error import HomeError
from secagg.engines.node.home_lock import WAIT_S, HomeBusy
from secagg.engines.node.live import LiveFile, LiveSession
from secagg.engines.node.policy import PolicyRefusal
from secagg.engines.node.session import NodeSession
from secagg.engines.wire.offer import Offer, serial_of
from secagg.engines.wire.parcel import NotForMe, Refusal, Reply, Request, open_request
from secagg.engines.wire.work import Work
from secagg.errors import SecaggError
from secagg.interruption import HeldInterrupts
from secagg.logger import LOGGER
from secagg.storage.labelled_file import KeyFileError
from secagg.storage.store import StoreError

Train = Callable[[Work], Update]

_REFUSALS: Final[tuple[tuple[type[Exception], Refusal], ...]] = (
    (NotForMe, Refusal.NOT_FOR_ME),
    (HomeBusy, Refusal.BUSY),
    (PolicyRefusal, Refusal.POLICY),
    (UnsafeOpening, Refusal.POLICY),
    (RemoteError, Refusal.MALFORMED),
    (SessionReused, Refusal.ANSWERED),
    (SessionExpired, Refusal.EXPIRED),
    (ParticipationRefused, Refusal.POLICY),
    (DamagedSnapshot, Refusal.ANSWERED),
    (ParameterError, Refusal.POLICY),
    (BudgetExceeded, Refusal.BUDGET),
    (LedgerError, Refusal.UNAVAILABLE),
    (DpError, Refusal.POLICY),
    (StoreError, Refusal.UNAVAILABLE),
    (HomeError, Refusal.UNAVAILABLE),
    (KeyFileError, Refusal.UNAVAILABLE),
    (OSError, Refusal.UNAVAILABLE),
)
"""The code of each error of the library; an error of a class that is not here is a mistake of ours, and `FAILED`."""


class _Refused(Exception):
    """A refusal that the station itself decides on."""

    def __init__(self, code: Refusal, reason: str, *, last: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.last = last


class Station:
    """A node's side of its sessions, one after the other. Several threads and processes may use one home.

    Args:
        home: The node's home, or the path of one.
        clock: A clock in seconds that never goes back; only waiting for the home's lock reads it.
        entropy: The node's secret randomness; `os.urandom` outside tests.
    """

    def __init__(
        self,
        home: Home | str | Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._home = home if isinstance(home, Home) else Home.open(home)
        self._clock = clock
        self._entropy = entropy
        self._limits = self._home.policy.limits()
        self._live = LiveFile(self._home.live, entropy=entropy)
        self._built: NodeSession | None = None

    def answer(self, parcel: bytes, train: Train | None) -> bytes:
        """Return the reply to a parcel; nothing that arrives makes this raise an error.

        An interruption passes, such as Ctrl-C during training. The same parcel can then be answered again.

        Args:
            parcel: What arrived.
            train: The node's training, which is called at most once, in the first step of a session; None if the node
                has no inputs. It may raise any error. The error is neither reported nor logged, because its text may
                contain data.
        """
        request: Request | None = None
        try:
            request = self._opened(parcel)
            with self._home.lock(WAIT_S, self._clock):
                return self._answer(request, hashlib.sha256(parcel).digest(), train)
        except Exception as error:  # noqa: BLE001  # Whatever it is, the server learns one code.
            refused = _as_refusal(error)
            _release(error)
        except BaseException as error:
            _release(error)
            raise
        return self._refusal(request, refused)

    def forget_expired(self) -> None:
        """Forget the live session, and the member's secrets in it, if it has expired.

        `answer` does the same with each parcel. Call this where no parcel may come for long. A later message of the
        session is refused.

        Raises:
            HomeError: The home is damaged.
            HomeBusy: Another process uses it.
        """
        with self._home.lock(WAIT_S, self._clock):
            self._forget_expired(self._live.read())

    def _forget_expired(self, kept: LiveSession | None) -> None:
        if kept is None or not kept.snapshot:
            return
        try:
            party = self._session(Offer.from_bytes(kept.offer))
            party.mean.protocol.check_time(party.session, self._home.now())
        except SessionExpired:
            self._live.forget()
        except (ProtocolError, SecaggError):
            return  # The session may not be continued as the home is now, for a reason that its operator may remove.

    def _opened(self, parcel: bytes) -> Request:
        home = self._home
        try:
            return open_request(parcel, coordinator=home.coordinator, receiver=home.node, limits=self._limits)
        except NotSigned as error:
            raise _Refused(Refusal.STRANGER, str(error)) from None

    def _refusal(self, request: Request | None, refused: _Refused) -> bytes:
        serial, step = (0, 0) if request is None else (request.serial, request.step)
        reason = printable(str(refused))
        LOGGER.warning(
            "node %d refuses step %d of serial %d: %s: %s", self._home.node, step, serial, refused.code, reason
        )
        reply = Reply(serial=serial, step=step, sender=self._home.node, refusal=refused.code, last=refused.last)
        return reply.to_bytes()

    def _answer(self, request: Request, digest: bytes, train: Train | None) -> bytes:
        kept = self._live.read()
        self._forget_expired(kept)
        if kept is not None and kept.request == digest:
            return kept.reply
        joins = bool(request.offer) and (kept is None or request.offer != kept.offer)
        party, machine = self._joined(request, train) if joins else self._continued(request, kept)
        offer = request.offer if joins or kept is None else kept.offer
        # An interruption in here takes effect when the step has ended, so that the same parcel still gets its reply.
        interrupts = HeldInterrupts()
        try:
            with interrupts:
                self._record(party, request.step, joins=joins)
                reply = self._kept(request, digest, offer, machine)
        except Exception:
            interrupts.check()  # It is not lost if the step ends in a refusal.
            raise
        finally:
            machine.close()  # What it needs for a later step is in the live file.
        return reply

    def _kept(self, request: Request, digest: bytes, offer: bytes, machine: Client) -> bytes:
        """Return the machine's reply, once it is in the live file with the machine's snapshot."""
        reply = Reply(
            serial=request.serial, step=request.step, sender=self._home.node, body=self._said(machine, request.body)
        ).to_bytes()
        self._live.write(
            LiveSession(
                step=request.step,
                request=digest,
                reply=reply,
                offer=offer,
                snapshot=b"" if machine.closed else machine.snapshot(self._live.key()),
            )
        )
        return reply

    def _continued(self, request: Request, kept: LiveSession | None) -> tuple[NodeSession, Client]:
        """Return the live session and its machine, if the request is of a step that may still be answered."""
        last = self._latest()
        if last is not None and request.serial < serial_of(last):
            raise _old(last)
        offer = None if kept is None else Offer.from_bytes(kept.offer)
        if kept is None or offer is None or offer.serial != request.serial:
            if last is None or request.serial > serial_of(last):
                raise _Refused(Refusal.MALFORMED, "expected an offer with the first request of a session, found none")
            raise _Refused(Refusal.ANSWERED, f"nothing of the session of serial {request.serial} is kept")
        if offer.session_id != last:  # The record is older than the live file: the home was restored from a backup.
            raise _Refused(Refusal.ANSWERED, f"the record does not know the session of serial {request.serial}")
        party = self._session(offer)
        again = request.step == kept.step and party.is_repeated(kept.step)
        if not kept.snapshot or (request.step <= kept.step and not again):
            raise _Refused(Refusal.ANSWERED, f"step {kept.step} was answered last, and step {request.step} is asked")
        party.check_request(request.step, request.body)
        machine = party.restored(kept.snapshot, key=self._live.key(), entropy=self._entropy)
        if not party.may_follow(machine, request.step):  # The live file is older than the record.
            raise _Refused(Refusal.ANSWERED, f"expected step {machine.step}, found a request of step {request.step}")
        return party, machine

    def _joined(self, request: Request, train: Train | None) -> tuple[NodeSession, Client]:
        """Return a new session and its machine, after every check, the reservation and the training."""
        offer, last = Offer.from_bytes(request.offer), self._latest()
        if offer.serial != request.serial:
            raise _Refused(Refusal.MALFORMED, "expected one serial in the request and its offer, found two")
        if offer.session_id == last:
            raise _Refused(
                Refusal.ANSWERED, f"the session of serial {offer.serial} has begun, and nothing of it is kept"
            )
        if last is not None and offer.serial <= serial_of(last):
            raise _old(last)
        party = self._session(offer)
        if not party.is_client and not party.is_member:
            raise _Refused(Refusal.NOT_FOR_ME, "the offered session does not contain this node")
        party.check_policy()
        work = self._work(party, request, train)
        party.check_terms()
        if request.step != party.first_step:
            raise _Refused(Refusal.MALFORMED, f"expected step {party.first_step} first, found step {request.step}")
        party.check_first_request(request.body)
        self._live.key()  # A live folder that cannot be written is found before anything is paid for.
        contribution = None
        if work is not None and train is not None:
            self._reserve(party)
            contribution = self._contribution(party, work, train)
        return party, party.machine(contribution, entropy=self._entropy)

    def _latest(self) -> bytes | None:
        """Return the id of the session with the highest serial that the node has recorded."""
        return self._home.sessions.latest(self._home.identity.public)

    def _session(self, offer: Offer) -> NodeSession:
        """Return the session of an offer, which is built once for all of its steps in this process."""
        if self._built is None or self._built.offer != offer:
            self._built = NodeSession.of(self._home, offer)
        return self._built

    def _work(self, party: NodeSession, request: Request, train: Train | None) -> Work | None:
        """Return what to train on; None if the node has no input in this session."""
        if not party.is_client:
            return None
        if train is None:
            raise _Refused(Refusal.POLICY, "this node has no training, and the offer counts it as a client")
        work = Work.from_bytes(request.work)
        if work.digest() != party.offer.inputs:
            raise _Refused(Refusal.OTHER_INPUTS, "expected the work whose digest is in the offer, found another")
        return work

    def _reserve(self, party: NodeSession) -> None:
        """Reserve the cost of the session in the node's ledger, unless an earlier attempt at this offer has."""
        event = party.event()
        if event is not None:
            self._home.reserve(event, party.label)

    def _contribution(self, party: NodeSession, work: Work, train: Train) -> Contribution:
        """Return the node's input: its update, or zeros and noise if training has failed and there is noise.

        That it has failed is then said to the owner of the home only.
        """
        plan = RoundPlan(mean=party.mean, session=party.session, work=work, serial=party.offer.serial)
        try:
            update = train(work)
            weight = weight_of(plan, update.examples or 0)  # No weighted mean accepts a weight of 0.
            return contribute(plan, update.arrays, weight=weight, entropy=self._entropy)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # Training may raise anything, and its text may contain data.
            if plan.private:  # Nobody else may learn that it failed, so it is not logged either.
                self._home.failures.note(party.offer.serial, error)
            _release(error)
        if plan.private:
            return contribute(plan, None, entropy=self._entropy)
        raise _Refused(Refusal.FAILED, "training has failed")

    def _record(self, party: NodeSession, step: int, *, joins: bool) -> None:
        """Record a step that is about to be answered, unless the machine does it."""
        if joins and step > 0:  # A committee member that is no client.
            party.join()
        if not party.is_recorded_by_machine(step) and not party.is_repeated(step):
            party.record(step)

    def _said(self, machine: Client, request: bytes) -> bytes:
        """Return the machine's reply. If it closes instead, no machine is kept either."""
        try:
            return machine.handle(request)
        except StoreError:
            raise
        except Exception:
            self._live.forget()
            raise


def _old(last: bytes) -> _Refused:
    return _Refused(Refusal.OLD, f"expected a serial above {serial_of(last)}", last=serial_of(last))


def _as_refusal(error: Exception) -> _Refused:
    """Return what the server learns of an error, and what the log does."""
    if isinstance(error, _Refused):
        return error
    for kind, code in _REFUSALS:
        if isinstance(error, kind):
            return _Refused(code, str(error))
    return _Refused(Refusal.FAILED, type(error).__name__)


def _release(error: BaseException) -> None:
    """Empty the frames that an error keeps alive, and those of the errors before it, since they may hold data."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        each = chain.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            chain += (each.__cause__, each.__context__)
