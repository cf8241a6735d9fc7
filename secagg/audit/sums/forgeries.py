"""Forged contributions to sums of encrypted vectors, with proofs that were made for something else."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from numpy.typing import ArrayLike

from protocols import Committee, ThresholdKey
from protocols.codec import Invitation
from protocols.crypto.entropy import checked
from protocols.crypto.paillier.public import PublicKey
from protocols.encrypted.client import EncryptedClient
from protocols.encrypted.derived import Derived
from protocols.encrypted.messages import EncryptedInput
from protocols.identity import SIGNATURE_BYTES
from protocols.session import Participant, Session
from secagg.audit.seeds import Tape
from secagg.audit.sums.codecs import codec_of, encrypted
from secagg.audit.sums.cohort import Cohort, identity_of

_FACTORS: Final = (3 * 2**1022 - 869, 3 * 2**1022 - 1009)
"""Two primes that are 3 modulo 4: the factors of the modulus that a cheating prover has chosen for itself."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Forgery:
    """A contribution that must be refused.

    Attributes:
        label: What its proof is, after the words "a proof".
        sender: The client of the session that sends it.
        message: The message.
    """

    label: str
    sender: int
    message: EncryptedInput


def sent(cohort: Cohort, client: int, vector: ArrayLike, tape: Tape) -> EncryptedInput:
    """Return what a client sends in an honest session."""
    codec = codec_of(cohort)
    machine = cohort.client(client, vector, tape)
    return codec.decode(0, EncryptedInput, machine.handle(codec.encode(0, Invitation())))


def forgeries(
    cohort: Cohort, other: Cohort, vector: ArrayLike, honest: dict[int, EncryptedInput], seed: bytes
) -> Iterator[Forgery]:
    """Yield forgeries of a session, each signed properly by its sender if there is a roster.

    Args:
        cohort: The session.
        other: Another session of the same protocol and parties.
        vector: The vector of the client that forges.
        honest: What honest clients send, by id.
        seed: The seed of the tapes.
    """
    first, second = cohort.session.clients[:2]
    own = _under_own_modulus(cohort, first, vector, Tape(seed, "own modulus"))
    yield Forgery(label="under a modulus of the prover's own", sender=first, message=own)
    moved = _signed(cohort, first, sent(other, first, vector, Tape(seed, "another session")))
    yield Forgery(label="that was made for another session", sender=first, message=moved)
    yield Forgery(label="that another client made", sender=second, message=_signed(cohort, second, honest[first]))
    if len(honest[first].padded):
        masked = bytearray(honest[first].padded)
        masked[0] ^= 1
        altered = EncryptedInput(memoryview(bytes(masked)), honest[first].sealed)
        label = "that was made for another masked vector"
        yield Forgery(label=label, sender=first, message=_signed(cohort, first, altered))


def _signed(cohort: Cohort, sender: int, message: EncryptedInput) -> EncryptedInput:
    """Return another client's contribution under the sender's own signature; unchanged without a roster."""
    if cohort.session.roster is None:
        return message
    unsigned = bytes(message.sealed[:-SIGNATURE_BYTES])
    padded_hash = hashlib.sha256(message.padded).digest()
    signature = _derived(cohort, cohort.session).sign(identity_of(sender), sender, padded_hash, unsigned)
    return EncryptedInput(message.padded, memoryview(unsigned + signature))


def _derived(cohort: Cohort, session: Session) -> Derived:
    """Return what a party derives from its session, if it takes another session for this cohort's."""
    protocol = encrypted(cohort)
    return Derived(
        session=session,
        digest=protocol.digest(cohort.session),
        payload=protocol.payload(session),
        exponents=protocol.exponents,
    )


def _under_own_modulus(cohort: Cohort, client: int, vector: ArrayLike, tape: Tape) -> EncryptedInput:
    """Return the contribution of a client that does everything right, but under a committee's key of its own."""
    committee = Committee(key=_own_key(), members=cohort.session.committee_members)
    derived = _derived(cohort, replace(cohort.session, committee=committee))
    participant = Participant(
        client=client,
        vector=cohort.session.checked(vector),
        attached=(),
        terms=cohort.terms(client),
        keyholder=None,
        entropy=checked(tape),
    )
    made: EncryptedInput = cohort.protocol.steps[0].answer(EncryptedClient(derived, participant), Invitation())
    return made


@cache
def _own_key() -> ThresholdKey:
    public = PublicKey(_FACTORS[0] * _FACTORS[1])
    base = int(-(5**2) % public.n)
    return ThresholdKey(public_key=public, base=base, threshold=2, verification_base=4, verification_keys=(9, 25, 49))
