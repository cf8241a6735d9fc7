"""SeedSum: one message from each client, whose pads a committee of replicated seeds removes from the sum.

Each client draws a seed for every set of m - t of the m committee members. It adds the pads of all seeds to its vector,
and seals to each member the seeds of its sets. That is its only message. The members agree on the contributors. Each
then adds up, for each of its sets, what the contributors' seeds give. With these sums, the server removes the pads. Any
t + 1 members cover all sets. To t members, the seeds of one set are unknown.

Pads are keystreams (`protocols.seeds.stream_pads`), or lattice masks under the sum of short keys, one for each seed
(`protocols.seeds.lattice_pads`). With the second kind, a member's work does not depend on the vector's length.

Sources: replicated secret sharing (Ito, Saito, Nishizeki, Globecom 1987); pseudorandom secret sharing (Cramer, Damgard,
Ishai, TCC 2005); one message from each client, and a committee that opens only the sum (Karthikeyan and Polychroniadou,
ia.cr/2024/723). The combination is the project's own: docs/seeds.md has its argument.

Adversary: any clients and at most t committee members may do anything. With `Adversary.CURIOUS` the server follows the
protocol; with `Adversary.MALICIOUS` it may do anything too, and clients sign what they send under the identities of a
roster. In both cases:

- A member signs one list of contributors in each session, or in each batch of it. It sends nothing that depends on a
  pad before it has seen the signatures of a quorum over this list. So only the sum of this list is opened.
- A member records the list under its identity before its signature leaves. Any two lists of contributors that it signs
  under one context are the same with the same weights, or disjoint.
- Any t + 1 members together hold all seeds. So if t + 1 of them collude with the server, nothing is hidden, also if the
  quorum is larger.
- Traffic that is recorded today stays secret from a quantum computer: boxes are sealed under ML-KEM-768 and X25519
  together, and the rest is symmetric or, with lattice pads, rests on ring-LWE. Signatures are Ed25519.
- The sum is right if at most t members lie and `Finish.verified` is true. A client can send any vector of its choice.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self, assert_never

from protocols.codec import Invitation
from protocols.cohort import Adversary, check_cohort, whole_clients
from protocols.crypto.integers import shown
from protocols.errors import ParameterError, SessionExpired, UnsafeSession
from protocols.secure_sum import Role, SecureSum, Step
from protocols.seeds.derived import Derived, seed_committee
from protocols.seeds.lattice_pads import LatticePads
from protocols.seeds.member_key import InvalidCertificate
from protocols.seeds.messages import (
    Agreement,
    Certificate,
    Complaints,
    Entries,
    Proposal,
    SeedInput,
    SumShares,
)
from protocols.seeds.pads import PadKind, Pads
from protocols.seeds.party import SeedParty
from protocols.seeds.server import SeedServer
from protocols.seeds.stream_pads import StreamPads
from protocols.session import Extra, Participant, Session

STEPS: Final = (
    Step("mask_input", Invitation, SeedParty.mask_input,
          SeedInput, SeedServer.take_input, SeedServer.close_inputs,
          sends_vector=True, streams=SeedParty.stream_input),
    Step("check_entries", Entries, SeedParty.check_entries,
          Complaints, SeedServer.take_complaints, SeedServer.close_complaints, Role.COMMITTEE),
    Step("agree", Proposal, SeedParty.agree,
          Agreement, SeedServer.take_agreement, SeedServer.close_agreement, Role.COMMITTEE,
          reveals=SeedParty.contributors),
    Step("open_sum", Certificate, SeedParty.open_sum,
          SumShares, SeedServer.take_sums, SeedServer.close_sums, Role.COMMITTEE,
          repeats=True, streams=SeedParty.stream_sum),
)  # fmt: skip
"""The table of steps. The last one repeats if a member did not send a sum that it was asked for.

A member reveals nothing before the step `open_sum`. It commits itself in the step `agree`: that is where the record of
openings is kept.
"""

_ID_BYTES: Final = 5
_LEAST_LIMIT: Final = 4096


@dataclass(frozen=True, kw_only=True)
class SeedSum(SecureSum):
    """A protocol with one message from each client, and a committee of replicated seeds.

    Attributes:
        adversary: The server.
        pads: The kind of pads. With stream pads the modulus of a session is a power of two, and a session is refused if
            one of the next two fields is set. With lattice pads the modulus is any number.
        value_bits: b, if every client's entries represent only integers in [-2^(b-1), 2^(b-1)), a negative integer v
            being represented by modulus + v. None if entries may be anything below the modulus. Fewer bits make shorter
            messages.
        headroom: Whether the caller vouches that every sum of contributors' entries, as such integers and each times
            its client's weight, lies in [-m/2, m/2) for the modulus m. Encodings ensure that for sums without weights.
            Sums then need no more bits than the modulus, and messages are shorter still. If a sum leaves this range, it
            is wrong, and so are sums next to it.

    Raises:
        ParameterError: A field has another type or is out of its range.
    """

    adversary: Adversary = Adversary.CURIOUS
    pads: PadKind = PadKind.STREAM
    value_bits: int | None = None
    headroom: bool = False

    name: ClassVar[str] = "seeds"
    wire: ClassVar[int] = 1
    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS, Adversary.MALICIOUS)
    accepts: ClassVar[frozenset[Extra]] = frozenset(
        (Extra.ROSTER, Extra.COMMITTEE, Extra.EXPIRES, Extra.WEIGHTS, Extra.BATCHES)
    )
    needs_committee: ClassVar[bool] = True
    shards: ClassVar[bool] = True
    experimental: ClassVar[str] = "its argument has not been reviewed outside the project"
    steps = STEPS

    def __post_init__(self) -> None:
        if self.adversary not in self.adversaries:
            raise ParameterError(f"adversary: expected CURIOUS or MALICIOUS, found {shown(self.adversary)}")
        object.__setattr__(self, "adversary", Adversary(self.adversary))  # Its name as a string is accepted too.
        if self.pads not in tuple(PadKind):
            raise ParameterError(f"pads: expected STREAM or LATTICE, found {shown(self.pads)}")
        object.__setattr__(self, "pads", PadKind(self.pads))
        if type(self.headroom) is not bool:
            raise ParameterError(f"headroom: expected a bool, found {shown(self.headroom)}")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple[Self, int]:
        """See `SecureSum.suggest`. The threshold is the number of clients left after the largest dropout.

        At least two of them must be honest.
        """
        check_cohort(clients, adversarial, dropout)
        if adversary not in cls.adversaries:
            known = ", ".join(cls.adversaries)
            raise ParameterError(f"adversary: expected one of {known} for {cls.name}, found {shown(adversary)}")
        corrupt, dropped = (
            whole_clients(clients, fraction, name)
            for fraction, name in ((adversarial, "adversarial"), (dropout, "dropout"))
        )
        if clients - dropped < corrupt + 2:
            raise ParameterError(
                f"clients that stay: expected at least {corrupt + 2} with {corrupt} colluding of {clients}, found "
                f"{clients - dropped}. A sum needs at least 2 honest contributors to hide their inputs. Lower the "
                "dropout."
            )
        return cls(adversary=adversary), clients - dropped

    def with_headroom(self) -> Self:
        """See `SecureSum.with_headroom`. A bound on single entries has no further effect, so it is removed."""
        return self if self.pads is PadKind.STREAM else replace(self, headroom=True, value_bits=None)

    def quorum(self, session: Session, role: Role) -> int:
        """See `SecureSum.quorum`."""
        return session.threshold if role is Role.CLIENT else self._derived(session).quorum

    def message_limit(self, session: Session) -> int:
        """See `SecureSum.message_limit`: a client's message, the entries for a member, or a member's openings."""
        derived, clients = self._derived(session), len(session.clients)
        entries = clients * (derived.entry_bytes + _ID_BYTES)
        sums = derived.sets.held * (derived.pads.opening_bytes(clients) + 64)
        return max(derived.pads.padded_bytes + derived.sealed_bytes, entries, sums) + _LEAST_LIMIT

    def reply_limit(self, session: Session, number: int) -> int:
        """See `SecureSum.reply_limit`: a member's openings may be up to 126 times as long as a client's message."""
        if not self.steps[number].sends_vector:
            return self.message_limit(session)
        derived = self._derived(session)
        return derived.pads.padded_bytes + derived.sealed_bytes + _LEAST_LIMIT

    def list_limit(self, session: Session) -> int:
        """See `SecureSum.list_limit`: parties, or the sets of a member."""
        return max(super().list_limit(session), seed_committee(session).sets.count)

    def _validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        key = seed_committee(session)
        self._derived(session)
        if session.expires is None:
            raise ParameterError("expires: expected the time at which the session expires, found none")
        if session.expires > key.expires:
            raise ParameterError(
                f"expires: expected at most {key.expires}, when the first key of a member expires, found "
                f"{session.expires}"
            )
        if self.adversary is Adversary.MALICIOUS and session.roster is None:
            raise ParameterError("roster: expected the clients' identities against a MALICIOUS server, found none")
        if self.adversary is Adversary.CURIOUS and session.roster is not None:
            raise ParameterError("roster: expected none, since a roster applies only to a MALICIOUS server, found one")

    def check_time(self, session: Session, now: float) -> None:
        """See `SecureSum.check_time`. The certificates of all members must be valid too."""
        super().check_time(session, now)
        try:
            seed_committee(session).check(now)
        except InvalidCertificate as error:
            raise SessionExpired(str(error)) from None

    def check_safety(self, session: Session, corrupt: int) -> None:
        """See `SecureSum.check_safety`. At least two contributors must be honest.

        The argument for lattice pads needs this. With stream pads it is a rule about what a sum may tell.
        """
        if session.threshold < corrupt + 2:
            raise UnsafeSession(
                f"threshold: expected at least {corrupt + 2} with {corrupt} corrupt clients, found "
                f"{session.threshold}. A sum needs at least 2 honest contributors to hide their inputs."
            )

    def client_party(self, session: Session, participant: Participant) -> SeedParty:
        """See `SecureSum.client_party`."""
        return SeedParty(self._derived(session), participant)

    def server_party(self, session: Session) -> SeedServer:
        """See `SecureSum.server_party`."""
        return SeedServer(self._derived(session))

    def pads_of(self, session: Session, digest: bytes) -> Pads:
        """Return the pads of a session, or raise `ParameterError` if its vectors cannot be padded."""
        match self.pads:
            case PadKind.STREAM:
                if self.headroom or self.value_bits is not None:
                    raise ParameterError(
                        "value_bits and headroom: expected neither with stream pads, which are as long as the vector "
                        f"in any case, found {shown(self.value_bits)} and {self.headroom}. Leave them out, or use "
                        "lattice pads."
                    )
                return StreamPads(session)
            case PadKind.LATTICE:
                seed = hashlib.sha256(b"secagg seeds lattice v1" + digest).digest()
                sets = seed_committee(session).sets.count
                return LatticePads(session, seed=seed, sets=sets, value_bits=self.value_bits, headroom=self.headroom)
            case _:
                assert_never(self.pads)

    def _derived(self, session: Session) -> Derived:
        digest = self.digest(session)
        return Derived(session=session, digest=digest, pads=self.pads_of(session, digest))
