"""Any secure sum as a subject: cohorts of any size that the protocol allows, from its class or from one object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocols import Adversary, Committee, Roster, SecureSum, Session
from protocols.committee import CommitteeShare
from protocols.errors import ParameterError
from protocols.seeds import SeedSum
from protocols.seeds.sets import quorum
from protocols.session import Extra, Opening
from secagg.audit.claims import Claim, claimed
from secagg.audit.subject import Subject
from secagg.audit.sums.cohort import ADVERSARIAL, Cohort, identity_of
from secagg.audit.sums.committee import dealt
from secagg.audit.sums.seed_committee import COLLUDING, MEMBERS, NEVER_S, self_made

Maker = Callable[[int], tuple[SecureSum, int]]
"""Returns, for a number of clients, the protocol and the threshold of a session.

Raises:
    ParameterError: The protocol has no such cohort.
"""

DroppingMaker = Callable[[int, float], tuple[SecureSum, int]]
"""Returns, for a number of clients and the fraction that must be able to drop out, the protocol and the threshold."""

MODULUS_BITS: Final = 24
_DEALT: Final = 3  # The members of a committee whose key is dealt.
_FIRST_MEMBER: Final = 1_000_000  # The id of the first committee member; clients have the ids 1, 2, ...
_SUM_CLAIMS: Final = ("C-01", "C-02", "C-06", "C-07", "C-11", "C-12", "C-13")


class SumSubject(Subject):
    """A protocol that is audited.

    Args:
        maker: Makes the protocol for a cohort.
        name: The name in reports.
        claims: What the protocol claims.
        identified: Whether sessions have a roster of identities, as a malicious server requires it.
        dropping: Makes the protocol for a cohort and a fraction of dropouts; None if `maker` makes the only one.
    """

    kind: ClassVar[str] = "protocol"

    def __init__(
        self,
        maker: Maker,
        *,
        name: str,
        claims: Sequence[Claim],
        identified: bool = False,
        dropping: DroppingMaker | None = None,
    ) -> None:
        self.name = name
        self.claims = tuple(claims)
        self.identified = identified
        self._maker = maker
        self._dropping = dropping

    @classmethod
    def suggested(cls, kind: type[SecureSum], *, adversary: Adversary = Adversary.CURIOUS) -> Self:
        """Return a subject with what a protocol's class suggests for each cohort and such a server."""
        made = _Suggested(kind, adversary)
        malicious = adversary is Adversary.MALICIOUS
        return cls(
            made,
            name=f"{kind.name}-{adversary.value}" if kind.adversaries else kind.name,
            claims=claims_of(kind, malicious=malicious),
            identified=malicious,
            dropping=made,
        )

    @classmethod
    def of(cls, protocol: SecureSum) -> Self:
        """Return a subject with one protocol's parameters, and the lowest threshold that a session may have.

        If the protocol protects from a malicious server, sessions have a roster. An object that has an attribute
        `adversary` protects from that server; any other one from the servers that its class names.
        """
        strongest = getattr(protocol, "adversary", next(reversed(protocol.adversaries), None))
        malicious = strongest == Adversary.MALICIOUS and Extra.ROSTER in protocol.accepts
        claims = claims_of(type(protocol), malicious=malicious)
        made = _Fixed(protocol, identified=malicious)
        return cls(made, name=protocol.name, claims=claims, identified=malicious)

    def cohort(
        self,
        clients: int,
        *,
        length: int,
        modulus: int | None = None,
        attached: tuple[Opening, ...] = (),
        context: bytes = b"",
        session_id: bytes = b"secagg audit session",
        dropout: float | None = None,
    ) -> Cohort:
        """Return a cohort with the client ids 1, 2, ... that is ready to run.

        Args:
            clients: The number of clients.
            length: Number of coordinates of each vector.
            modulus: The modulus; None for the largest one of 24 bits that the protocol sums over.
            attached: The rules of the secrets that every client attaches.
            context: The session's context.
            session_id: The session's id.
            dropout: The fraction of clients that must be able to drop out; None for what the subject does by default.
                A subject with one protocol's parameters always has the lowest threshold.

        Raises:
            ParameterError: The protocol runs no such session. The check that needs it is not applicable then.
        """
        made = self._maker(clients) if dropout is None or self._dropping is None else self._dropping(clients, dropout)
        protocol, threshold = made
        session, shares = _session(
            protocol,
            clients,
            threshold,
            identified=self.identified,
            length=length,
            modulus=protocol.modulus(MODULUS_BITS) if modulus is None else modulus,
            attached=attached,
            context=context,
            session_id=session_id,
        )
        protocol.validate(session)
        return Cohort(protocol=protocol, session=session, key_shares=shares)


@dataclass(frozen=True, slots=True)
class _Suggested:
    """Makes what a protocol's class suggests; it can be pickled, so that another process makes the same."""

    kind: type[SecureSum]
    adversary: Adversary

    def __call__(self, clients: int, dropout: float = 0.1) -> tuple[SecureSum, int]:
        return self.kind.suggest(clients=clients, adversarial=ADVERSARIAL, dropout=dropout, adversary=self.adversary)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """Makes sessions of one protocol object."""

    protocol: SecureSum
    identified: bool

    def __call__(self, clients: int) -> tuple[SecureSum, int]:
        return self.protocol, _lowest_threshold(self.protocol, clients, identified=self.identified)


def claims_of(kind: type[SecureSum], *, malicious: bool) -> tuple[Claim, ...]:
    """Return the claims that a protocol makes by its declarations.

    A protocol that declares no server that it protects from is audited for C-03 all the same, and so rejected: nothing
    that calls itself a secure sum may go without it.
    """
    ids = [*_SUM_CLAIMS, "C-03", "C-04", "C-08"]
    if malicious:
        ids.append("C-05")
    ids += ["C-09", "C-10"] if kind.needs_committee else ["C-36"]
    return claimed(*sorted(ids))


def _lowest_threshold(protocol: SecureSum, clients: int, *, identified: bool) -> int:
    refused = ParameterError(f"clients: expected a cohort that {protocol.name} can run, found one of {clients}")
    for threshold in range(2, clients + 1):
        session, _ = _session(
            protocol,
            clients,
            threshold,
            identified=identified,
            length=4,
            modulus=protocol.modulus(MODULUS_BITS),
        )
        try:
            protocol.validate(session)
        except ParameterError as error:
            refused = error
        else:
            return threshold
    raise refused


def _session(
    protocol: SecureSum,
    clients: int,
    threshold: int,
    *,
    identified: bool,
    length: int,
    modulus: int,
    attached: tuple[Opening, ...] = (),
    context: bytes = b"",
    session_id: bytes = b"secagg audit session",
) -> tuple[Session, dict[int, CommitteeShare]]:
    ids = tuple(range(1, clients + 1))
    committee: Committee | None = None
    shares: dict[int, CommitteeShare] = {}
    if protocol.needs_committee:
        committee, held = _committee(protocol)
        shares = dict(zip(committee.members, held, strict=True))
    session = Session(
        session_id=session_id,
        clients=ids,
        threshold=threshold,
        length=length,
        modulus=modulus,
        context=context,
        roster=Roster({client: identity_of(client).public for client in ids}) if identified else None,
        attached=attached,
        committee=committee,
        expires=NEVER_S if Extra.EXPIRES in protocol.accepts else None,
    )
    return session, shares


def _committee(protocol: SecureSum) -> tuple[Committee, tuple[CommitteeShare, ...]]:
    """Return a committee for a protocol, of the kind that it takes, and what its members hold."""
    if isinstance(protocol, SeedSum):
        own = quorum(MEMBERS, COLLUDING)
        return self_made(_members(MEMBERS), COLLUDING, own)
    return dealt(_members(_DEALT), _DEALT // 2 + 1)


def _members(count: int) -> tuple[int, ...]:
    return tuple(range(_FIRST_MEMBER, _FIRST_MEMBER + count))
