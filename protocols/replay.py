"""Records that parties keep across restarts, so that they answer nothing twice: two interfaces, two in-memory records.

A client remembers which steps of which sessions it has answered (`SessionRecord`). A party that opens sums, or helps to
open them, remembers which (`OpeningRecord`). Durable records are in `secagg.storage`.

The record of sessions counts participations too. A client takes part in a session from just before its first reply that
depends on its vector (`Step.sends_vector`), and then for ever: whether the sum is opened, given up or withheld, and
whether the reply ever leaves. A client may have a cap on its participations. The step is recorded, compared with the
cap and counted in one transaction, before the reply is made. A session that is not counted yet goes no further once the
cap is reached: also the keys and secret shares of its earlier steps are not sent any more.

Two sums of one set of inputs, such as those of two attempts at one round, have a difference. If their contributors
differ in one client, it is that client's vector. So every party that helps to open a sum refuses a set of contributors
that differs from an earlier one of the same context, but in fewer clients than a minimum (`check_apart`). A committee
member applies this rule when it decrypts. A client applies it in the step that reveals: with pairwise masks when it
reveals secret shares for the survivors, and in LightSecAgg when it sends the sum of its coded shares.

That rule compares pairs of sets. In a protocol with roots (`SeedSum`) the rule is stricter, and holds for any number of
sums: the contributors and their weights are the same, or the contributors are disjoint (`check_disjoint`).

What this gives for clients: let A and B be the contributors of two sums under one context, u the number of clients in
A or B, and t the smaller of the two sessions' thresholds. Suppose that at most c clients are corrupt and break the
rule, that each sum was opened by the replies of at least t of its contributors, and that 2t > u + c. At least 2t - u
clients have then replied for both sums. That is more than c, so one of them is honest, and it has compared A with B.
Hence A = B, or A and B differ in at least t clients. At least t - c of these are honest, so that the difference of the
two sums is still a combination of at least t - c vectors that the adversary does not know.

A session cannot know which clients another one invites. What it can require is 2r > n + c (`are_kept_apart`) and
t >= c + 2, where n is the number of clients that it invites, and r that of contributors whose replies open its sum. If
both sessions require that, with n1, r1 and n2, r2, then A = B, or A and B differ in at least 2 honest clients, whatever
clients were invited:

- If an honest client has replied for both sums, it has compared A with B, so they are equal or differ in t clients.
- Otherwise every client that replied for both is corrupt. Let A and B differ in h honest and e corrupt clients. So at
  most c - e clients have replied for both, and r1 + r2 <= u + c - e. Since A has at most n1 clients and B at most n2,
  2u <= n1 + n2 + h + e. Together, h >= (2 r1 - n1 - c) + (2 r2 - n2 - c) + e, which is at least 2.

The number r depends on the protocol (`SecureSum.least_repliers`):

- A server that follows the protocol uses only sums that t contributors have opened, so r = t. In `SecAgg` a malicious
  server needs as many.
- In `SecAggPlus` a malicious server needs s = `share_threshold` holders of secret shares for each honest contributor.
  The secrets of the c corrupt ones it knows. Each client is a holder for k + 1 clients, where k is the number of
  neighbours. So r is the larger of s and (t - c) s / (k + 1). A suggested threshold may be too low for that, and
  `secagg.engines.server.plans.averaging` then requires more contributors.
- A curious server that keeps the replies of a step that has failed may compute with fewer than t of them. It then needs
  as many as a malicious one, and a curious `SecAggPlus` has a small s. So against that, use the malicious one.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from protocols.crypto.integers import shown
from protocols.errors import ParameterError, ParticipationRefused, SessionReused, UnsafeOpening, UnsafeSession

NO_IDENTITY: Final = hashlib.sha256(b"secagg client without identity v1").digest()
"""What stands for the identity of a client in sessions without a roster: 32 bytes, the same for every id.

The ids of such a session come from the server. So all of them count as one client, whose record it is.
"""


class SessionRecord(Protocol):
    """A record of what a client has answered, and of the sessions that count. It must survive a restart of the client.

    An older copy of the record has forgotten steps and participations. Nothing detects that.
    """

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """Note, durably before it returns, that step `number` of a session is about to be answered.

        The step, and that the session counts if it does, are noted together or not at all. Nothing is noted if this
        raises an error of those below.

        Args:
            identity: The client's public identity key, or `NO_IDENTITY`.
            session_id: The session's id.
            number: The step, from 0.
            vector: Whether the reply is the first one that depends on the client's vector. From then on, the session
                counts for this identity, once.
            cap: The most sessions that may count for this identity, at least 1; None for any number.
            context: The session's context.
            committee: 32 bytes that stand for the committee that opens the session's sum (`CommitteeKey.pin`); empty if
                there is none.

        Raises:
            SessionReused: The step, or a later one, was recorded before; or the session is resumed at a later step
                without a record of step 0.
            ParticipationRefused: This session does not count yet, and `cap` others of this identity do.
            UnsafeSession: A session of this identity under the same context counts that has another committee, or has
                one where this session has none, or has none.
        """


def check_committees(others: Collection[bytes], committee: bytes) -> None:
    """Raise `UnsafeSession` if a client has sent its vector to another committee under the same context.

    No member of one committee knows what the other one opens, and none knows what clients open by themselves. Two sums
    of one context whose contributors differ in one client could then be opened, one by each of them.

    Args:
        others: The committees of the sessions under this context that count; empty for a session without one.
        committee: The committee of the session that is to count; empty if it has none.
    """
    if any(other != committee for other in others):
        raise UnsafeSession(
            "committee: expected the one to which this client has sent its vector before under this context, or none "
            "if there was none, found another. Use the same committee to repeat a sum, and a new context for new "
            "inputs."
        )


def check_cap(cap: object) -> None:
    """Raise `ParameterError` unless this is a cap on participations: None, or an int of at least 1."""
    if cap is not None and (type(cap) is not int or cap < 1):
        raise ParameterError(f"cap: expected an int of at least 1, or None for no cap, found {shown(cap)}")


def check_participations(others: int, cap: int | None) -> None:
    """Raise `ParticipationRefused` if no further session may count.

    Args:
        others: The number of sessions that count already.
        cap: The most sessions that may count; None for any number.
    """
    if cap is not None and others >= cap:
        raise ParticipationRefused(
            f"participations: expected fewer than this client's cap of {shown(cap)}, found {others}. Let the session "
            "go on without this client. A larger cap weakens the guarantee for this client's data."
        )


class MemoryRecord:
    """A `SessionRecord` for simulations and tests: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._steps: dict[tuple[bytes, bytes], int] = {}
        self._counted: dict[bytes, set[bytes]] = {}
        self._committees: dict[tuple[bytes, bytes], set[bytes]] = {}

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """See `SessionRecord.record`."""
        check_cap(cap)
        last = self._steps.get((identity, session_id), -1)
        if number <= last or (last == -1 and number != 0):
            expected = f"a step after {last}" if last >= 0 else "step 0 first"
            raise SessionReused(f"session record: expected {expected}, found step {number}")
        counted = self._counted.setdefault(identity, set())
        if session_id not in counted:
            check_participations(len(counted), cap)
        committees = self._committees.setdefault((identity, context), set())
        check_committees(committees, committee)
        self._steps[identity, session_id] = number
        if vector and session_id not in counted:
            counted.add(session_id)
            committees.add(committee)

    def participations(self, identity: bytes) -> int:
        """Return the number of sessions that count for an identity."""
        return len(self._counted.get(identity, ()))


def client_key(client: int, identity: bytes | None) -> bytes:
    """Return the 32 bytes that identify a client in a record of openings: a hash of its public identity, or of its id.

    A party with several identities has a key for each. One session may then be opened once with each of them, since the
    party is several clients of that session. Its one record compares the sets of contributors across all keys. In a
    session without a roster nothing but the id tells the clients apart.

    Args:
        client: The client's id in the session.
        identity: The client's public identity key; None in a session without a roster.
    """
    return hashlib.sha256(b"secagg client v1" + (client.to_bytes(4, "big") if identity is None else identity)).digest()


def are_kept_apart(repliers: int, *, clients: int, corrupt: int) -> bool:
    """Return whether any two sums of one context are equal or differ in 2 honest clients, if clients keep records.

    The session's threshold must be at least `corrupt` + 2 besides.

    Args:
        repliers: The least number of contributors whose replies open a sum.
        clients: The number of clients that a session invites.
        corrupt: The largest number of clients that break the rule.
    """
    return 2 * repliers > clients + corrupt


class OpeningRecord(Protocol):
    """A record of the sums that a party has opened or helped to open. It must survive a restart of that party.

    A party has one record for all of its identities, keys and key shares, whether it acts as a client or as a committee
    member. Do not use a second record beside it: neither would know the sums in the other one. Two sums whose
    difference is one client's vector could then be opened, one by each record.
    """

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
        weights: tuple[int, ...] = (),
        batches: bool = False,
    ) -> None:
        """Note, durably before it returns, that a sum is about to be opened.

        Args:
            key: 32 bytes that identify a committee member's key share or identity (`Keyholder.fingerprint`), or a
                client (`client_key`). A session may be opened once with each key, or once for each batch.
            session_id: The session's id.
            context: The session's context.
            contributors: Ids of the clients whose inputs are in the sum, ascending.
            minimum: The smallest number of clients in which another set of contributors under this context, earlier or
                later, must differ from this one.
            root: 32 bytes that stand for everything that is opened, in a protocol whose party may then open the same
                again, after a restart; otherwise empty. Of two sums of which one has a root, the contributors must be
                the same with the same weights, or disjoint (`check_disjoint`).
            weights: The contributors' weights in the sum, in a protocol with roots; empty if each counts once.
            batches: Whether the session may have several sums, with a root each, whose contributors are disjoint.

        Raises:
            SessionReused: A sum of this session was opened with this key before, without a root or with another one,
                and the session has no batches.
            UnsafeOpening: A sum was opened under this context, with this key or another, or in this session. Its
                contributors are not the same but differ in fewer clients than this minimum, or than the minimum of
                that sum; or one of the two has a root, and they are neither the same with the same weights nor
                disjoint.
        """


@dataclass(frozen=True, slots=True)
class Opened:
    """A sum that was opened: what a record compares it by.

    Attributes:
        contributors: Ids of the clients whose inputs are in the sum, ascending.
        weights: Their weights in the sum; empty if each is 1.
        minimum: The smallest number of clients in which another set of contributors must differ, if no root is known.
        rooted: Whether it has a root.
    """

    contributors: tuple[int, ...]
    weights: tuple[int, ...]
    minimum: int
    rooted: bool

    @classmethod
    def of(cls, contributors: tuple[int, ...], weights: tuple[int, ...], minimum: int, root: bytes) -> "Opened":
        """Return what a record compares of a sum, after checking its weights.

        Raises:
            ParameterError: There are weights without a root, or not one for each contributor.
        """
        if weights and (not root or len(weights) != len(contributors)):
            raise ParameterError(
                f"weights: expected one for each of {len(contributors)} contributors of a sum with a root, or none, "
                f"found {len(weights)}"
            )
        return cls(contributors, () if set(weights) <= {1} else weights, minimum, bool(root))

    def check(self, earlier: "Opened") -> None:
        """Raise `UnsafeOpening` if this sum and an earlier one together tell too much."""
        if self.rooted or earlier.rooted:
            check_disjoint(self, earlier)
        else:
            check_apart(self.contributors, earlier.contributors, max(self.minimum, earlier.minimum))


def check_disjoint(one: Opened, other: Opened) -> None:
    """Raise `UnsafeOpening` unless two sums have the same contributors with the same weights, or none in common.

    Any number of sums of which each two satisfy this tell no more than the different ones of them do: each client is in
    one of these only. Pairs of sets that are far apart do not have this property: of S, T and the union of S and T with
    one more client, each two may differ in many clients, and together they show that client's vector.
    """
    if (one.contributors, one.weights) == (other.contributors, other.weights):
        return
    common = len(set(one.contributors) & set(other.contributors))
    if common:
        raise UnsafeOpening(
            "contributors: expected those of an earlier sum under this context or of this session, each with the same "
            f"weight, or none of them, found a sum that has {common} clients in common with one and is not the same. "
            "Several such sums would reveal the vectors of few clients. Repeat the sum with the same contributors and "
            "weights, or sum other clients; never change the context for the same inputs."
        )


def check_apart(contributors: Collection[int], earlier: Collection[int], minimum: int) -> None:
    """Raise `UnsafeOpening` if two sets of contributors differ, but in fewer than `minimum` clients."""
    apart = len(set(contributors) ^ set(earlier))
    if 0 < apart < minimum:
        raise UnsafeOpening(
            "contributors: expected the same set as in an earlier sum under this context, or one that differs in at "
            f"least {shown(minimum)} clients, found a difference of {apart}. The two sums would reveal the sum of "
            "these clients. Repeat the sum with the same contributors; never change the context for the same inputs."
        )


def check_session(
    others: Mapping[bytes, tuple[int, ...]], contributors: tuple[int, ...], *, root: bytes, batches: bool
) -> None:
    """Raise `SessionReused` if no other sum of a session may be opened with a key.

    Args:
        others: The sums of the session that were opened with the key, this one not among them: contributors by root.
        contributors: The contributors of the sum.
        root: The root of the sum.
        batches: Whether the session may have several sums. None has the contributors of another one; that they have
            none in common is left to `Opened.check`.
    """
    if others and not (batches and root and all(others) and contributors not in others.values()):
        raise SessionReused(
            "session: expected one of which no sum was opened with this key, found one of which a sum was opened. Use "
            "a new session; in a session with batches, propose clients that were in no sum of it."
        )


class MemoryOpenings:
    """An `OpeningRecord` for simulations and tests: it forgets everything when the process ends."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[bytes, bytes], dict[bytes, Opened]] = {}
        self._contexts: dict[bytes, list[Opened]] = {}

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
        weights: tuple[int, ...] = (),
        batches: bool = False,
    ) -> None:
        """See `OpeningRecord.record`."""
        opened = Opened.of(contributors, weights, minimum, root)
        of_session = self._sessions.get((key, session_id), {})
        if root and root in of_session:
            return
        others = {its_root: earlier.contributors for its_root, earlier in of_session.items()}
        check_session(others, contributors, root=root, batches=batches)
        of_context = self._contexts.get(context, [])  # Opened with any of the party's keys.
        for earlier in (*of_context, *of_session.values()):
            opened.check(earlier)
        self._sessions.setdefault((key, session_id), {})[root] = opened
        self._contexts.setdefault(context, []).append(opened)
