"""Planted bugs that attacks on protocols exploit: missing masks, checks and records, and secrets used twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from protocols import Adversary, PaillierSum, SecAgg, Secret, SecureSum, Session
from protocols.crypto import keystream
from protocols.crypto.keystream import SignedMask, Words
from protocols.encrypted.client import EncryptedClient
from protocols.identity import Signatures
from protocols.machine import Client
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.derived import Derived
from protocols.pairwise.messages import Confirmations, DeliveredShares, MaskedInput, RevealedShares
from protocols.pairwise.server import PairwiseServer
from protocols.session import Participant
from secagg.audit.planted.altered import values_of
from secagg.audit.planted.base import Planted
from secagg.audit.planted.encryption import LooseStatement
from secagg.audit.planted.patch import replaced
from secagg.audit.planted.steps import Steps, with_answers
from secagg.audit.seeds import Tape
from secagg.audit.sums import cohort
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.subject import SumSubject


@dataclass(frozen=True, kw_only=True)
class RepeatedMasks(SecAgg):
    """All secrets of a client follow from the session and its id. Another attempt at a session has the same masks."""

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        entropy = Tape(self.digest(session), str(participant.client))
        return super().client_party(session, replace(participant, entropy=entropy))


@dataclass(frozen=True, kw_only=True)
class NoOwnMasks(SecAgg):
    """Vectors have pairwise masks only, and the server removes no others."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        return with_answers(super().steps, {"mask_input": _WithoutOwnMask.mask_input})

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return _WithoutOwnMask(self._derived(session), participant)

    def server_party(self, session: Session) -> PairwiseServer:
        """See `SecureSum.server_party`."""
        return _RemovesNoOwnMask(self._derived(session))


class _WithoutOwnMask(PairwiseClient):
    def mask_input(self, delivered: DeliveredShares) -> MaskedInput:
        apply = keystream.apply_masks

        def all_but_the_first(total: Words, masks: Sequence[SignedMask]) -> None:
            apply(total, masks[1:])

        with replaced(keystream, "apply_masks", all_but_the_first):
            return super().mask_input(delivered)


class _RemovesNoOwnMask(PairwiseServer):
    def _open_survivor(self, owner: int) -> tuple[list[SignedMask], tuple[Secret | None, ...]]:
        _, attached = super()._open_survivor(owner)
        return [], attached


@dataclass(frozen=True, kw_only=True)
class LowThreshold(SecAgg):
    """Thresholds of half of the clients, against a malicious server."""

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["LowThreshold", int]:
        """See `SecureSum.suggest`."""
        del adversarial, dropout
        return cls(adversary=adversary), max(2, clients // 2)

    def _validate(self, session: Session) -> None:
        super()._validate(replace(session, threshold=len(session.clients)))

    def check_safety(self, session: Session, corrupt: int) -> None:
        """Accept every session."""


@dataclass(frozen=True, kw_only=True)
class UnconfirmedSurvivors(SecAgg):
    """Clients reveal shares without a look at what the others have confirmed."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        return with_answers(super().steps, {"reveal_shares": _Trusting.reveal_confirmed_shares})

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return _Trusting(self._derived(session), participant)


class _Trusting(PairwiseClient):
    def reveal_confirmed_shares(self, confirmations: Confirmations) -> RevealedShares:
        del confirmations
        return self._reveal()


class AnsweringTwice(SumSubject):
    """A protocol whose clients answer their last step as often as they are asked."""

    def cohort(self, *arguments: Any, **named: Any) -> Cohort:
        """See `SumSubject.cohort`."""
        found = super().cohort(*arguments, **named)
        return _CohortAnsweringTwice(protocol=found.protocol, session=found.session, key_shares=found.key_shares)


class _CohortAnsweringTwice(Cohort):
    def client(self, *arguments: Any, **named: Any) -> Client:
        with replaced(cohort, "Client", _AnsweringTwice):
            return super().client(*arguments, **named)


class _AnsweringTwice(Client):
    def handle(self, request: bytes) -> bytes:
        party, number = self._party, self._next
        reply = super().handle(request)
        if self._party is None:
            self._party, self._next = party, number
        return reply


@dataclass(frozen=True, kw_only=True)
class UncheckedSignatures(SecAgg):
    """Nobody checks signatures."""

    def _derived(self, session: Session) -> Derived:
        found = super()._derived(session)
        return _Unsigned(**values_of(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unsigned(Derived):
    @property
    def signatures(self) -> Signatures:
        return _AcceptsAll(self.digest, self.session.roster)


class _AcceptsAll(Signatures):
    __slots__ = ()

    def check(self, signature: bytes, *, client: int, purpose: bytes, payload: bytes) -> None:
        del signature, client, purpose, payload


@dataclass(frozen=True, kw_only=True)
class UnboundContext(SecAgg):
    """The session's context is in no message, key or signature."""

    def digest(self, session: Session) -> bytes:
        """See `SecureSum.digest`."""
        return super().digest(replace(session, context=b""))


@dataclass(frozen=True, kw_only=True)
class ForgetfulMembers(PaillierSum):
    """Committee members keep no record of what they have opened."""

    def client_party(self, session: Session, participant: Participant) -> EncryptedClient:
        """See `SecureSum.client_party`."""
        keyholder = participant.keyholder
        forgetful = None if keyholder is None else replace(keyholder, openings=_NoOpenings())
        return super().client_party(session, replace(participant, keyholder=forgetful))


class _NoOpenings:
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
        """Note nothing."""


@dataclass(frozen=True, kw_only=True)
class WrongContributors(SecAgg):
    """Clients note all clients of the session as the contributors of the sum that they help to open."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        return tuple(replace(row, reveals=_Unaware.contributors) if row.reveals else row for row in super().steps)

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return _Unaware(self._derived(session), participant)


class _Unaware(PairwiseClient):
    def contributors(self, request: object) -> frozenset[int]:
        del request
        return frozenset(self._derived.session.clients)


def _suggested(kind: type[SecureSum], adversary: Adversary = Adversary.CURIOUS) -> Callable[[], SumSubject]:
    return lambda: SumSubject.suggested(kind, adversary=adversary)


PLANTED: Final[tuple[Planted, ...]] = (
    Planted(
        number=45,
        bug="a mask is used again if a round is repeated",
        claim="C-13",
        caught_by="attack.repeated_round",
        subject=_suggested(RepeatedMasks),
    ),
    Planted(
        number=46,
        bug="vectors have no masks of their own",
        claim="C-03",
        caught_by="attack.late_client",
        subject=_suggested(NoOwnMasks),
    ),
    Planted(
        number=47,
        bug="the threshold is half of the clients",
        claim="C-05",
        caught_by="attack.two_sums",
        subject=_suggested(LowThreshold, Adversary.MALICIOUS),
    ),
    Planted(
        number=48,
        bug="one client is accepted as dropped and as surviving, since nobody compares survivor sets",
        claim="C-05",
        caught_by="attack.split_views",
        subject=_suggested(UnconfirmedSurvivors, Adversary.MALICIOUS),
    ),
    Planted(
        number=49,
        bug="clients answer a second request, and so reveal both secrets of one client",
        claim="C-03",
        caught_by="attack.second_request",
        subject=lambda: AnsweringTwice.suggested(SecAgg),
    ),
    Planted(
        number=52,
        bug="signatures are not checked",
        claim="C-05",
        caught_by="attack.substituted_keys",
        subject=_suggested(UncheckedSignatures, Adversary.MALICIOUS),
    ),
    Planted(
        number=53,
        bug="some clients can be told another model or round than the others",
        claim="C-06",
        caught_by="attack.two_contexts",
        subject=_suggested(UnboundContext),
    ),
    Planted(
        number=57,
        bug="altered messages are accepted, since proofs are bound to no statement",
        claim="C-08",
        caught_by="attack.alteration",
        subject=_suggested(LooseStatement),
    ),
    Planted(
        number=58,
        bug="committee members open two sums that differ in one client",
        claim="C-09",
        caught_by="attack.differencing",
        subject=_suggested(ForgetfulMembers),
    ),
    Planted(
        number=71,
        bug="pairwise clients answer for a second, nearly equal survivor set under the same context",
        claim="C-36",
        caught_by="attack.second_attempt",
        subject=_suggested(WrongContributors),
    ),
)
