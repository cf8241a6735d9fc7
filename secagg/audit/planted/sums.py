"""Planted bugs of secure sums: the real protocols with one thing changed, for the checks of invariants and replays."""

import hashlib
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from protocols import Adversary, LightSecAgg, PaillierSum, Participant, Role, SecAgg, Session
from protocols.crypto import keystream, sealing, shamir
from protocols.crypto.entropy import Entropy
from protocols.crypto.field import Field
from protocols.crypto.keystream import Keystream, SignedMask, Words
from protocols.crypto.secret import Secret
from protocols.errors import InputError
from protocols.logger import LOGGER
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.schedule import Schedule
from protocols.pairwise.server import PairwiseServer
from secagg.audit.planted.base import Planted
from secagg.audit.planted.encryption import FixedExponent, LooseStatement, TrustingVerifier
from secagg.audit.planted.parties import Steps, with_clients, with_server
from secagg.audit.planted.patch import replaced
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.subject import SumSubject

ApplyMasks = Callable[[Words, Sequence[SignedMask]], None]


class _Drawing(SecAgg):
    """SecAgg whose clients draw through something else than their entropy."""

    @abstractmethod
    def drawing(self, entropy: Entropy) -> Entropy:
        """Return what the clients draw from."""

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return super().client_party(session, replace(participant, entropy=self.drawing(participant.entropy)))


class ShortSeed(_Drawing):
    """Everything is expanded from the first 32 bits that are drawn."""

    def drawing(self, entropy: Entropy) -> Entropy:
        """See `_Drawing.drawing`."""
        return lambda size: hashlib.shake_256(entropy(size)[:4]).digest(size)


class HourlySeed(_Drawing):
    """Everything that is drawn is mixed with the hour."""

    def drawing(self, entropy: Entropy) -> Entropy:
        """See `_Drawing.drawing`."""
        return lambda size: hashlib.shake_256(entropy(size) + b"%d" % (time.time() // 3600)).digest(size)


class OwnRandomness(_Drawing):
    """Everything that is drawn is mixed with the operating system's randomness."""

    def drawing(self, entropy: Entropy) -> Entropy:
        """See `_Drawing.drawing`."""
        return lambda size: hashlib.shake_256(entropy(size) + os.urandom(size)).digest(size)


class _ForgetfulServer(PairwiseServer):
    """A server that leaves the masks between survivors and dropouts in the sum."""

    def _open_dropout(self, owner: int) -> list[SignedMask]:
        """Return nothing that removes the masks of a client that has dropped out."""
        return []


class ForgottenDropouts(SecAgg):
    """SecAgg with a server that does not compensate dropouts."""

    def server_party(self, session: Session) -> PairwiseServer:
        """See `SecureSum.server_party`."""
        return _ForgetfulServer(self._derived(session))


@dataclass(frozen=True, kw_only=True)
class SpareResponders(LightSecAgg):
    """LightSecAgg whose suggestion asks for as few responders as there may be; this is no bug."""

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple[LightSecAgg, int]:
        """See `SecureSum.suggest`."""
        found, threshold = super().suggest(
            clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary
        )
        return cls(privacy=found.privacy, responders=found.privacy + 1), threshold


@dataclass(frozen=True, kw_only=True)
class EagerServer(SpareResponders):
    """Its server goes on as soon as the masks can be decoded, although fewer clients than the threshold are left."""

    def quorum(self, session: Session, role: Role) -> int:
        """See `SecureSum.quorum`."""
        del session, role
        return self.responders


def _all_added(apply: ApplyMasks) -> ApplyMasks:
    return lambda total, masks: apply(total, [(np.add, seed) for _, seed in masks])


class EqualSigns(SecAgg):
    """Every client adds all of its masks, so that those of a pair do not cancel."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        return with_clients(
            super().steps, lambda: replaced(keystream, "apply_masks", _all_added(keystream.apply_masks)), "mask_input"
        )


class LaxSession(Session):
    """A session that takes NaN for 0 and cuts infinities, instead of refusing them."""

    def checked(self, vector: ArrayLike) -> Words:
        """See `Session.checked`."""
        array = np.asarray(vector)
        if array.dtype.kind == "f":
            cut = np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
            if (cut != np.floor(cut)).any():
                raise InputError("the input: expected whole numbers, found others")
            vector = cut.astype(np.int64)
        return super().checked(vector)


class LaxSubject(SumSubject):
    """Sessions that let NaN and infinity through."""

    def cohort(self, clients: int, **arguments: Any) -> Cohort:
        """See `SumSubject.cohort`."""
        made = super().cohort(clients, **arguments)
        session = made.session
        values = {name: getattr(session, name) for name in type(session).__dataclass_fields__}
        return replace(made, session=LaxSession(**values))


def _reduced(field: Field, seed: Secret, length: int) -> Words:
    words = np.frombuffer(Keystream(seed).read(length * field.dtype.itemsize), dtype=field.dtype)
    cut: Words = words & field.dtype.type(2 ** field.prime.bit_length() - 1)
    return cut % field.dtype.type(field.prime)


class ReducedWords(LightSecAgg):
    """Words at or above the prime are reduced, and not skipped."""

    steps = with_clients(  # type: ignore[assignment]  # The same rows, of parties of any class.
        LightSecAgg.steps, lambda: replaced(Field, "uniform", _reduced)
    )


def _without_largest(apply: ApplyMasks) -> ApplyMasks:
    def applied(total: Words, masks: Sequence[SignedMask]) -> None:
        if total.itemsize != 4:
            return apply(total, masks)
        for operation, seed in masks:
            words = np.frombuffer(Keystream(seed).read(total.nbytes), dtype=total.dtype).copy()
            words[words % 2**24 == 2**24 - 1] = 0
            operation(total, words, out=total)
        return None

    return applied


class NeverLargest(SecAgg):
    """The masks never have the entry m - 1 for m = 2^24."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""

        def applied() -> Any:
            return replaced(keystream, "apply_masks", _without_largest(keystream.apply_masks))

        return with_server(with_clients(super().steps, applied, "mask_input"), applied, "reveal_shares")


def _direction_left_out(schedule: Schedule, channel: Secret, **names: object) -> Secret:
    del schedule, names
    return sealing.derive(channel, b"share")


class OneKeyForBothDirections(SecAgg):
    """The key that seals shares is the same in both directions of a pair, with the same nonce."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        return with_clients(
            super().steps, lambda: replaced(Schedule, "share_key", _direction_left_out), "share_keys", "mask_input"
        )


class Unsealed(SecAgg):
    """Shares are relayed without encryption, in messages of the same length."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        tag = bytes(sealing.SEAL_OVERHEAD_BYTES)
        sealed = with_clients(
            super().steps, lambda: replaced(sealing, "seal", lambda _, plaintext: plaintext + tag), "share_keys"
        )
        return with_clients(
            sealed, lambda: replaced(sealing, "open_sealed", lambda _, text: bytes(text[: -len(tag)])), "mask_input"
        )


def _sharing_with(drawing: Callable[[Entropy], Entropy]) -> Any:
    """Return the context in which all polynomials are drawn through something else."""
    share = shamir.share

    def shared(secret: Secret, *, threshold: int, holders: Sequence[int], entropy: Entropy) -> list[bytes]:
        return share(secret, threshold=threshold, holders=holders, entropy=drawing(entropy))

    return replaced(shamir, "share", shared)


class ZeroCoefficients(SecAgg):
    """All coefficients of the polynomials are zero, so that each share is the secret."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        return with_clients(super().steps, lambda: _sharing_with(lambda _: bytes), "share_keys")


class ReusedCoefficients(SecAgg):
    """All secrets of a client are shared with the same coefficients."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""

        def around() -> Any:
            first: list[bytes] = []

            def drawing(entropy: Entropy) -> Entropy:
                def draw(size: int) -> bytes:
                    first.append(first[0] if first else entropy(size))
                    return first[0]

                return draw

            return _sharing_with(drawing)

        return with_clients(super().steps, around, "share_keys")


class AssumedHeadroom(PaillierSum):
    """Slots have no bits for carries, although nobody vouches for the sums."""

    def sum_bits(self, session: Session, bound: int) -> int | None:
        """See `EncryptedSum.sum_bits`."""
        del bound
        return (session.modulus - 1).bit_length()


class TalkativeClient(SecAgg):
    """Each client logs its vector for debugging."""

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""

        def talkative(row: Any) -> Any:
            def answer(party: Any, request: Any) -> Any:
                LOGGER.debug("masking the vector %s", party.state.vector)
                return row.answer(party, request)

            return replace(row, answer=answer)

        return tuple(talkative(row) if row.name == "mask_input" else row for row in super().steps)


def _planted(number: int, bug: str, claim: str, caught_by: str, kind: Any) -> Planted:
    def subject() -> SumSubject:
        return SumSubject.suggested(kind)

    return Planted(number=number, bug=bug, claim=claim, caught_by=caught_by, subject=subject)


PLANTED: Final[tuple[Planted, ...]] = (
    _planted(10, "keys, seeds and masks expanded from 32 bits", "C-11", "replay.tape.bytes", ShortSeed),
    _planted(11, "a seed that depends on the time", "C-11", "replay.tape.same", HourlySeed),
    _planted(12, "randomness from another source than the given one", "C-11", "replay.tape.same", OwnRandomness),
    _planted(36, "dropouts that are not compensated", "C-01", "invariant.sum.exact", ForgottenDropouts),
    _planted(37, "more dropouts than tolerated do not end the session", "C-02", "invariant.sum.dropouts", EagerServer),
    _planted(38, "signs of pairwise masks that are not antisymmetric", "C-01", "invariant.sum.exact", EqualSigns),
    Planted(
        number=40,
        bug="NaN and infinity that are accepted",
        claim="C-07",
        caught_by="invariant.input.refusals",
        subject=lambda: LaxSubject.suggested(SecAgg),
    ),
    _planted(42, "a mask by remainders, at large primes", "C-11", "replay.samplers.masks", ReducedWords),
    _planted(43, "a mask that never has the entry m - 1, at m = 2^24", "C-11", "replay.samplers.masks", NeverLargest),
    _planted(44, "a key and nonce that seal two texts", "C-11", "replay.streams.once", OneKeyForBothDirections),
    _planted(50, "secret shares that are relayed unsealed", "C-12", "invariant.secrets.canaries", Unsealed),
    _planted(51, "coefficients of secret shares that are zero", "C-04", "replay.streams.polynomials", ZeroCoefficients),
    _planted(
        51, "coefficients of secret shares that are reused", "C-11", "replay.streams.polynomials", ReusedCoefficients
    ),
    _planted(54, "encryptions without fresh randomness", "C-10", "invariant.encryption.fresh", FixedExponent),
    _planted(55, "slots without headroom", "C-10", "invariant.sum.exact", AssumedHeadroom),
    _planted(
        56, "a verifier that trusts the prover's modulus", "C-10", "invariant.encryption.proofs", TrustingVerifier
    ),
    _planted(57, "proofs that are bound to no statement", "C-10", "invariant.encryption.proofs", LooseStatement),
    _planted(59, "a vector in a log record", "C-12", "invariant.secrets.canaries", TalkativeClient),
)
"""The planted bugs of invariants and replays of sums."""
