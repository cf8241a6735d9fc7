"""What a party accepts: the terms of a client that does not trust the server, and the rules of a committee member.

Adversary: a server that asks for what it likes. Each party looks at nothing but its own terms. A committee member opens
one sum of each session, of at least its own minimum of distinct clients. It never opens sums of two sets of clients
under the same session context that differ in fewer clients than that minimum, or than either session's threshold:
their difference would be a sum of too few. (More than two sets can be combined in more ways than pairs show. One set
may be opened again, in another session: use one context for one set of inputs.) The second rule is about the clients'
inputs, so a member compares across all of its keys and shares: its record is the member's, and not that of one key.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.cohort import whole_clients
from protocols.committee import Committee, CommitteeKey, CommitteeShare
from protocols.crypto.integers import shown
from protocols.errors import ParameterError, UnsafeSession
from protocols.identity import Identity, Roster
from protocols.replay import OpeningRecord, SessionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTerms:
    """What a client brings to a session with a server that it does not trust.

    Attributes:
        identity: Its own identity.
        roster: The identities that it has pinned; at least those of the session.
        sessions: Its memory of the sessions it took part in.
        adversarial: The fraction of the roster, in [0, 1), that it wants to be safe from together with the server; they
            may all be invited into one session.
        minimum_contributors: It takes part only where no sum of fewer vectors, at least 2, is released.
        committee: The committee's key that it has pinned; without one it takes part in no session with a committee.

    Raises:
        ParameterError: A field is none of these.
    """

    identity: Identity
    roster: Roster
    sessions: SessionRecord
    adversarial: float
    minimum_contributors: int
    committee: CommitteeKey | None = None

    def __post_init__(self) -> None:
        if type(self.identity) is not Identity or type(self.roster) is not Roster:
            raise ParameterError("a client's terms need an Identity and a Roster")
        if not callable(getattr(self.sessions, "record", None)):
            raise ParameterError("a client's terms need a record of its sessions; see SessionRecord")
        if self.committee is not None and not isinstance(self.committee, CommitteeKey):
            raise ParameterError(
                f"committee: expected the committee's key that this client has pinned, or None, found "
                f"{type(self.committee).__name__}"
            )
        if type(self.adversarial) not in (int, float) or not 0 <= self.adversarial < 1:
            raise ParameterError(f"adversarial must be a fraction in [0, 1), not {shown(self.adversarial)}")
        if type(self.minimum_contributors) is not int or self.minimum_contributors < 2:
            raise ParameterError(
                f"minimum_contributors must be an int of at least 2, not {shown(self.minimum_contributors)}"
            )

    @property
    def corrupt(self) -> int:
        """How many clients of the roster that fraction is, rounded down."""
        return whole_clients(len(self.roster), self.adversarial, "adversarial")

    def accept_committee(self, key: CommitteeKey) -> None:
        """Compare a session's committee with what this client has pinned.

        As large a fraction of the committee as of the roster, rounded down, is taken to be corrupt.

        Raises:
            UnsafeSession: The key is not the one pinned, or so many corrupt members could open a second sum.
        """
        if self.committee is None or self.committee.fingerprint != key.fingerprint:
            raise UnsafeSession("the session's committee has another key than the one that this client has pinned")
        corrupt = whole_clients(key.members, self.adversarial, "adversarial")
        if 2 * key.threshold <= key.members + corrupt:
            raise UnsafeSession(
                f"with {corrupt} of {key.members} members of the committee corrupt, any {key.threshold} of them could "
                f"open more than one sum; that takes a threshold of {(key.members + corrupt) // 2 + 1}"
            )

    def accept(self, *, client: int, clients: tuple[int, ...], threshold: int, roster: Roster) -> None:
        """Compare what a session says with what this client has pinned.

        Raises:
            UnsafeSession: The identities are not those pinned, or sums of too few may be released.
        """
        if any(self.roster.get(each) != roster[each] for each in clients):
            raise UnsafeSession("the session names an identity that is not the one in this client's own roster")
        if roster[client] != self.identity.public:
            raise UnsafeSession(f"the session knows client {client} by another identity than this client's own")
        if threshold < self.minimum_contributors:
            raise UnsafeSession(
                f"the session releases sums of {threshold} clients, this client allows none below "
                f"{shown(self.minimum_contributors)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyholder:
    """What a committee member brings to a session: its share, and its own rules.

    Attributes:
        share: Its share of the committee's key.
        openings: Its memory of what it has opened, the same one for every share that it holds.
        minimum_contributors: It opens no sum of fewer vectors; at least 2.
        roster: The clients' identities that it has pinned; without them it trusts the server's word on who sent what.
            Openings are compared by the clients' ids, so the rosters of all its keys give a client the same id.

    Raises:
        ParameterError: A field is none of these.
    """

    share: CommitteeShare = field(repr=False)
    openings: OpeningRecord
    minimum_contributors: int
    roster: Roster | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.share, CommitteeShare):
            raise ParameterError(
                f"share: expected a share of a committee's key, such as a KeyShare, found {type(self.share).__name__}"
            )
        if self.roster is not None and type(self.roster) is not Roster:
            raise ParameterError("a keyholder's roster must be a Roster")
        if not callable(getattr(self.openings, "record", None)):
            raise ParameterError("a keyholder needs a record of what it has opened; see OpeningRecord")
        if type(self.minimum_contributors) is not int or self.minimum_contributors < 2:
            raise ParameterError(
                f"minimum_contributors must be an int of at least 2, not {shown(self.minimum_contributors)}"
            )

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that stand for the share, and say nothing about it: of the committee's key, and of the index."""
        return hashlib.sha256(b"secagg keyholder v1" + self.share.key.fingerprint + bytes([self.share.index])).digest()

    def accept(self, *, member: int, committee: Committee, threshold: int, roster: Mapping[int, bytes] | None) -> None:
        """Compare what a session says with this member's share and rules.

        Raises:
            UnsafeSession: The key, the member's place or an identity is another one, or sums of too few may be opened.
        """
        if committee.key.fingerprint != self.share.key.fingerprint or committee.index(member) != self.share.index:
            raise UnsafeSession(f"member {member} holds another share than the session says, or one of another key")
        if threshold < self.minimum_contributors:
            raise UnsafeSession(
                f"the session opens sums of {threshold} clients, this committee member none below "
                f"{shown(self.minimum_contributors)}"
            )
        if self.roster is None:
            if roster is not None:
                raise UnsafeSession("the session has a roster, and this committee member has pinned none")
            return
        if roster is None or any(self.roster.get(client) != key for client, key in roster.items()):
            raise UnsafeSession("the session's identities are not those that this committee member has pinned")
