"""Planted bugs of sums by replicated seeds: members that skip a rule, and clients that derive or draw too little."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from protocols import Adversary, Keyholder, Secret, SeedCommittee, SeedSum, Session
from protocols.crypto.entropy import Entropy
from protocols.errors import RemoteError
from protocols.seeds.derived import SEED_BYTES, Derived
from protocols.seeds.messages import Agreement, Certificate, Proposal, SumShares
from protocols.seeds.pads import PadKind
from protocols.seeds.party import SeedParty
from protocols.session import Participant
from secagg.audit.planted.base import Planted
from secagg.audit.planted.parties import with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.planted.steps import with_answers
from secagg.audit.sums.subject import SumSubject

_OPEN: Final = SeedParty.open_sum


def _unchecked(party: SeedParty, certificate: Certificate) -> None:
    """Take any certificate for one."""
    del party, certificate


def _half(key: SeedCommittee) -> int:
    """Return a quorum that is too small: another one can have only corrupt members in common with it, or none."""
    return key.members // 2


def _seed_itself(derived: Derived, seed: Secret, *, client: int, number: int) -> Secret:
    """Return the seed as the key of its pad, whatever the session, the client and the set are."""
    del derived, client, number
    return seed


def _no_info(derived: Derived, seed_hashes: bytes, *, client: int, member: int) -> bytes:
    """Return the same info for every box."""
    del derived, seed_hashes, client, member
    return b""


class SkippedCertificate(SeedSum):
    """A member reveals its sums without a look at the certificate."""

    steps = with_clients(  # type: ignore[assignment]  # The same rows, of parties of any class.
        SeedSum.steps, lambda: replaced(SeedParty, "_check_certificate", _unchecked), "open_sum"
    )


class SmallQuorum(SeedSum):
    """Half of the members are a quorum for a member."""

    steps = with_clients(  # type: ignore[assignment]  # As above.
        SeedSum.steps, lambda: replaced(SeedCommittee, "threshold", property(_half)), "open_sum"
    )


class SeedAsPadKey(SeedSum):
    """A pad is expanded from the seed itself, so it is bound to no session and to no client."""

    steps = with_clients(  # type: ignore[assignment]  # As above.
        SeedSum.steps, lambda: replaced(Derived, "pad_key", _seed_itself)
    )


class UnboundBoxes(SeedSum):
    """Boxes are bound to no session, client and member."""

    steps = with_clients(  # type: ignore[assignment]  # As above.
        SeedSum.steps, lambda: replaced(Derived, "box_info", _no_info)
    )


def _claiming(party: SeedParty, certificate: Certificate) -> SumShares:
    try:
        return _OPEN(party, certificate)
    except RemoteError:
        with replaced(SeedParty, "_check_certificate", _unchecked):
            return _OPEN(party, _without_sums(certificate))


def _without_sums(certificate: Certificate) -> Certificate:
    """Return a certificate that asks for no sums."""
    return Certificate(certificate.signers, certificate.signatures, ())


class EarlyClaims(SeedSum):
    """A member that refuses a certificate still shows its claims, and only withholds the sums."""

    steps = with_answers(SeedSum.steps, {"open_sum": _claiming})  # type: ignore[assignment]  # As above.


class _ForgetfulOpenings:
    """A record of openings that notes nothing."""

    def record(self, **names: object) -> None:
        """See `OpeningRecord.record`."""


class _LateRecord(SeedParty):
    """A member that records when it opens a sum, long after its signature has left."""

    def __init__(self, derived: Derived, participant: Participant) -> None:
        keyholder = participant.keyholder
        self._late: Keyholder | None = keyholder
        if keyholder is not None:
            keyholder = replace(keyholder, openings=_ForgetfulOpenings())
        super().__init__(derived, replace(participant, keyholder=keyholder))

    def open_sum(self, certificate: Certificate) -> SumShares:
        """Record the contributors, and open their sum."""
        if self._late is not None:
            session = self._derived.session
            self._late.openings.record(
                key=self._late.fingerprint,
                session_id=session.session_id,
                context=session.context,
                contributors=self.state.contributors,
                minimum=max(session.threshold, self._late.minimum_contributors),
                root=self.state.root,
            )
        return super().open_sum(certificate)


class LateRecord(SeedSum):
    """Members record what they open, and not what they have signed."""

    steps = with_answers(SeedSum.steps, {"open_sum": _LateRecord.open_sum})  # type: ignore[assignment]  # As above.

    def client_party(self, session: Session, participant: Participant) -> SeedParty:
        """See `SecureSum.client_party`."""
        return _LateRecord(self._derived(session), participant)


@dataclass(frozen=True, kw_only=True)
class LateRecordOfKeySums(LateRecord):
    """The same with lattice pads: members show two sums of keys, whose difference is the key of one client."""

    pads: PadKind = PadKind.LATTICE


class _WrapsOfAll(SeedParty):
    """A member that reveals what removes the wrap of each client whose entry it has accepted."""

    _accepted: tuple[tuple[int, Secret], ...] = ()

    def agree(self, proposal: Proposal) -> Agreement:
        """Keep the seeds of all clients, and sign the proposal."""
        self._accepted = tuple(self.state.seeds.items())
        return super().agree(proposal)

    def open_sum(self, certificate: Certificate) -> SumShares:
        """Open the sum, and append the shares of the wraps of all others."""
        opened, (_, share), shares = super().open_sum(certificate), self._as_member(), list[bytes]()
        for client, seeds in self._accepted:
            for place, number in enumerate(self._derived.sets.of(share.index - 1)):
                if client not in self.state.contributors and number in certificate.sets:
                    seed = Secret(seeds.reveal()[place * SEED_BYTES : (place + 1) * SEED_BYTES])
                    shares.append(self._derived.wrap_key(seed, client=client, number=number).reveal())
        return SumShares(opened.claims, opened.signature, memoryview(bytes(opened.sums) + b"".join(shares)))


@dataclass(frozen=True, kw_only=True)
class WrapsOfAll(SeedSum):
    """Members reveal the shares of wraps' keys of all clients, also of those that are not in the sum."""

    pads: PadKind = PadKind.LATTICE
    steps = with_answers(  # type: ignore[assignment]  # As above.
        SeedSum.steps, {"agree": _WrapsOfAll.agree, "open_sum": _WrapsOfAll.open_sum}
    )

    def client_party(self, session: Session, participant: Participant) -> SeedParty:
        """See `SecureSum.client_party`."""
        return _WrapsOfAll(self._derived(session), participant)


class OneSeed(SeedSum):
    """A client draws one seed and uses it for all sets."""

    def client_party(self, session: Session, participant: Participant) -> SeedParty:
        """See `SecureSum.client_party`."""
        return super().client_party(session, replace(participant, entropy=_repeated(participant.entropy)))


def _repeated(entropy: Entropy) -> Entropy:
    drawn: list[bytes] = []

    def draw(size: int) -> bytes:
        if size != SEED_BYTES:
            return entropy(size)
        drawn.append(drawn[0] if drawn else entropy(size))
        return drawn[-1]

    return draw


def _planted(
    number: int, bug: str, claim: str, caught_by: str, kind: Any, adversary: Adversary = Adversary.MALICIOUS
) -> Planted:
    subject: Callable[[], SumSubject] = lambda: SumSubject.suggested(kind, adversary=adversary)  # noqa: E731
    return Planted(number=number, bug=bug, claim=claim, caught_by=caught_by, subject=subject)


_OPENINGS: Final = "attack.seed_openings"
PLANTED: Final[tuple[Planted, ...]] = (
    _planted(80, "a member that opens a sum without a certificate", "C-09", _OPENINGS, SkippedCertificate),
    _planted(81, "a member that records after its signature has left", "C-09", _OPENINGS, LateRecord),
    _planted(82, "half of the members are a quorum", "C-09", _OPENINGS, SmallQuorum),
    _planted(83, "a member that claims a sum before it has a certificate", "C-09", _OPENINGS, EarlyClaims),
    _planted(84, "a pad whose key is the seed itself", "C-13", "attack.copied_machine", SeedAsPadKey),
    _planted(85, "a box that is bound to no use", "C-11", "replay.samplers.seeds", UnboundBoxes),
    _planted(86, "a client that draws one seed for all sets", "C-04", "attack.seed_colluders", OneSeed),
    _planted(87, "a member that shows sums of keys of two sets of clients", "C-09", _OPENINGS, LateRecordOfKeySums),
    _planted(88, "a member that reveals wraps of clients that are not in the sum", "C-09", _OPENINGS, WrapsOfAll),
)
"""The planted bugs of sums by replicated seeds."""
