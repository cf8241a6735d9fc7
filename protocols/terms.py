"""What a party accepts: the terms of a client that does not trust the server, and the rules of a committee member.

Adversary: a server that may ask for anything. Each party relies only on its own terms. A committee member, and a client
that keeps a record of openings, have two rules:

1. It opens one sum of each session, or helps to open one, of at least its own minimum of distinct clients. (For a
   client, that minimum is the session's threshold, which `ClientTerms` compares with the client's own minimum.)
2. Under one session context, it never does so for two sets of clients that differ in too few clients. "Too few" is
   fewer than that minimum, or than either session's threshold: the difference of two sums would be a sum of too few.

The second rule compares pairs of sets only. It does not protect from combinations of more than two sets. (A member of
`SeedSum` follows a stricter rule, which does: two sets under one context are the same with the same weights, or
disjoint. In a session with batches it opens several sums, of disjoint sets.) One set may be opened again, in another
session: use one context for one set of inputs. The rule is about the clients' inputs, so a party compares across all of
its identities, keys and key shares. Its record is the party's and not that of one key.
`protocols.replay` says what the rule gives if only some of the parties keep it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.cohort import Adversary, whole_clients
from protocols.committee import Committee, CommitteeKey, CommitteeShare
from protocols.crypto.integers import shown
from protocols.errors import ParameterError, UnsafeSession
from protocols.identity import Identity, Roster
from protocols.replay import OpeningRecord, SessionRecord, check_cap


def check_committee(key: CommitteeKey, *, adversarial: float, adversary: Adversary) -> None:
    """Check that a committee withstands its corrupt members: a fraction of them, rounded down.

    Args:
        key: The committee's key.
        adversarial: The fraction, in [0, 1).
        adversary: The server. One that follows the protocol asks for one sum; any other could ask for two.

    Raises:
        UnsafeSession: That many corrupt members could open what they like, or two sums.
    """
    corrupt = whole_clients(key.members, adversarial, "adversarial")
    if key.colluding < corrupt:
        raise UnsafeSession(
            f"committee: expected one that withstands {corrupt} corrupt members of {key.members}, found one that "
            f"withstands {key.colluding}. The corrupt ones could open every client's vector. Use another committee."
        )
    if adversary is not Adversary.CURIOUS and 2 * key.threshold <= key.members + corrupt:
        raise UnsafeSession(
            f"committee: expected a threshold of at least {(key.members + corrupt) // 2 + 1} for {key.members} "
            f"members, {corrupt} of them corrupt, found {key.threshold}. Two groups with only corrupt members in "
            "common could open two sums."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTerms:
    """What a client brings to a session with a server that it does not trust.

    Attributes:
        identity: The client's own identity.
        roster: The identities that the client has pinned; at least those of the session.
        sessions: The record of the sessions in which the client took part.
        adversarial: The fraction of the roster, in [0, 1), that may be corrupt and collude with the server. All of
            these clients may be invited into one session.
        minimum_contributors: The smallest number of vectors in a sum that may be released, at least 2. The client
            takes part only if the session's threshold is not below it.
        committee: The committee's key that the client has pinned, of any epoch: keys with its `pin` are accepted.
            Without one, the client takes part in no session with a committee.
        cap: The most sessions in which the client sends something that depends on its vector, at least 1, over all
            sessions of its identity in its record, whatever the server calls them; None for any number.

    Raises:
        ParameterError: A field has another type or is out of its range.
    """

    identity: Identity
    roster: Roster
    sessions: SessionRecord
    adversarial: float
    minimum_contributors: int
    committee: CommitteeKey | None = None
    cap: int | None = None

    def __post_init__(self) -> None:
        check_cap(self.cap)
        if type(self.identity) is not Identity or type(self.roster) is not Roster:
            raise ParameterError("identity, roster: expected an Identity and a Roster, found another type")
        if not callable(getattr(self.sessions, "record", None)):
            raise ParameterError("sessions: expected a SessionRecord, found an object without a method `record`")
        if self.committee is not None and not isinstance(self.committee, CommitteeKey):
            raise ParameterError(
                f"committee: expected the committee's key that this client has pinned, or None, found "
                f"{type(self.committee).__name__}"
            )
        if type(self.adversarial) not in (int, float) or not 0 <= self.adversarial < 1:
            raise ParameterError(f"adversarial: expected a fraction in [0, 1), found {shown(self.adversarial)}")
        if type(self.minimum_contributors) is not int or self.minimum_contributors < 2:
            raise ParameterError(
                f"minimum_contributors: expected an int of at least 2, found {shown(self.minimum_contributors)}"
            )

    @property
    def corrupt(self) -> int:
        """The number of clients of the roster that may be corrupt, which is the fraction of all, rounded down."""
        return whole_clients(len(self.roster), self.adversarial, "adversarial")

    def accept_committee(self, key: CommitteeKey) -> None:
        """Compare a session's committee with what this client has pinned.

        The same fraction of the committee as of the roster, rounded down, is assumed to be corrupt.

        Raises:
            UnsafeSession: The key is not the pinned one, or that many corrupt members could open a second sum.
        """
        if self.committee is None or self.committee.pin != key.pin:
            raise UnsafeSession("the key of the session's committee is not the one that this client has pinned")
        check_committee(key, adversarial=self.adversarial, adversary=Adversary.MALICIOUS)

    def accept(self, *, client: int, threshold: int, roster: Roster) -> None:
        """Compare what a session says with what this client has pinned.

        Raises:
            UnsafeSession: The identities are not the pinned ones, or the threshold is below this client's minimum.
        """
        if not roster.items() <= self.roster.items():
            raise UnsafeSession("the session names an identity that is not the one in this client's own roster")
        if roster[client] != self.identity.public:
            raise UnsafeSession(f"the session's identity of client {client} is not this client's own identity")
        if threshold < self.minimum_contributors:
            raise UnsafeSession(
                f"threshold: expected at least this client's minimum of {shown(self.minimum_contributors)}, found "
                f"{threshold}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyholder:
    """What a committee member brings to a session: its key share, and its own rules.

    Attributes:
        share: The member's share of the committee's key.
        openings: The record of what the member has opened, one and the same for every key share that it holds. If the
            member is a client too, of this session or of others, it is also the client's record.
        minimum_contributors: The smallest number of vectors in a sum that the member opens, at least 2.
        roster: The clients' identities that the member has pinned. Without them, it trusts the server to say who sent
            what. Openings are compared by the clients' ids, so the rosters of all its keys must give a client the same
            id.

    Raises:
        ParameterError: A field has another type or is out of its range.
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
            raise ParameterError(f"roster: expected a Roster or None, found {type(self.roster).__name__}")
        if not callable(getattr(self.openings, "record", None)):
            raise ParameterError("openings: expected an OpeningRecord, found an object without a method `record`")
        if type(self.minimum_contributors) is not int or self.minimum_contributors < 2:
            raise ParameterError(
                f"minimum_contributors: expected an int of at least 2, found {shown(self.minimum_contributors)}"
            )

    @property
    def fingerprint(self) -> bytes:
        """32 bytes under which this member records what it opens: `CommitteeShare.record_key`."""
        return self.share.record_key

    def accept(self, *, member: int, committee: Committee, threshold: int, roster: Mapping[int, bytes] | None) -> None:
        """Compare what a session says with this member's share and rules.

        Raises:
            UnsafeSession: The key, the member's index or an identity is another one, or the threshold is below this
                member's minimum.
        """
        if committee.key.fingerprint != self.share.key.fingerprint or committee.index(member) != self.share.index:
            raise UnsafeSession(
                f"the session's committee has another key, or another key share, for member {member} than this member "
                "holds"
            )
        if threshold < self.minimum_contributors:
            raise UnsafeSession(
                f"threshold: expected at least this committee member's minimum of {shown(self.minimum_contributors)}, "
                f"found {threshold}"
            )
        if self.roster is None:
            if roster is not None:
                raise UnsafeSession("the session has a roster, and this committee member has pinned no roster")
            return
        if roster is None or any(self.roster.get(client) != key for client, key in roster.items()):
            raise UnsafeSession("the session's identities are not those that this committee member has pinned")
