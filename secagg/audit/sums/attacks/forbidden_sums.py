"""Requests to a committee for sums that it must not open: of few clients, and of ciphertexts made of another's."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from protocols.crypto.paillier import ciphertext_pairs
from protocols.crypto.paillier.ciphertext_pairs import Pair
from protocols.encrypted.derived import Derived
from protocols.encrypted.messages import Contributions, EncryptedInput
from protocols.encrypted.protocol import EncryptedSum
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise, codec_of
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import smallest

_ENCRYPT, _OPEN = 0, 1
_FACTOR: Final = 2**20


class ForbiddenSums(ProtocolAttack):
    """The server asks a committee member to decrypt the ciphertexts of one client, of few, or dependent ones.

    Anyone can multiply ciphertexts and raise them to powers. So a client that copies another's ciphertexts, or sends a
    power of them, makes the sum show that client's vector. It sends them with the best proof that it can get.
    """

    id = "attack.forbidden_sums"
    title = (
        "The server asks a committee member to decrypt ciphertexts of one client, of too few, or that depend on others"
    )
    tests = ("C-09", "C-10")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        if not isinstance(cohort.protocol, EncryptedSum):
            return Inapplicable(why="This attack is written for the messages of sums encrypted under Paillier keys.")
        return Plan(trials=6, cpu_s=0.2, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        run = Stepwise(cohort, random_inputs(cohort, seed), seed)
        codec = codec_of(cohort)
        sent = {c: codec.decode(_ENCRYPT, EncryptedInput, reply) for c, reply in run.replies().items()}
        run.deliver({client: codec.encode(_ENCRYPT, message) for client, message in sent.items()})
        member = cohort.session.committee_members[0]
        for what, contributions in forbidden(cohort, sent).items():
            request = Contributions(tuple(contributions), memoryview(b"".join(contributions.values())))
            if run.answer_to(member, codec.encode(_OPEN, request)) is not None:
                return succeeded(f"A committee member decrypted {what}.")
        return failed()


def forbidden(cohort: Cohort, sent: Mapping[int, EncryptedInput]) -> dict[str, dict[int, bytes]]:
    """Return contributions that a committee must not decrypt, by client, with what they are.

    Args:
        cohort: The cohort.
        sent: By client, its honest message.
    """
    honest = {client: shown(message) for client, message in sorted(sent.items())}
    victim, attacker, *_ = honest
    few = list(honest)[: cohort.session.threshold - 1]
    found = {
        "the ciphertexts of one client": {victim: honest[victim]},
        "a sum of fewer clients than the threshold": {client: honest[client] for client in few},
        "one client's ciphertexts under two ids": honest | {attacker: honest[victim]},
    }
    for what, contribution in _dependent(cohort, sent, victim, attacker):
        found[what] = honest | {attacker: contribution}
    return found


def shown(message: EncryptedInput) -> bytes:
    """Return a client's message as the committee is shown it."""
    return hashlib.sha256(message.padded).digest() + bytes(message.sealed)


def derived_of(cohort: Cohort) -> Derived:
    """Return what all parties derive from a session of an encrypted sum, which is public.

    Raises:
        LookupError: The protocol is another one.
    """
    protocol, session = cohort.protocol, cohort.session
    if not isinstance(protocol, EncryptedSum):
        raise LookupError(f"protocol: expected an encrypted sum, found {protocol.name}")
    return Derived(
        session=session,
        digest=protocol.digest(session),
        payload=protocol.payload(session),
        exponents=protocol.exponents,
    )


def _dependent(
    cohort: Cohort, sent: Mapping[int, EncryptedInput], victim: int, attacker: int
) -> Iterator[tuple[str, bytes]]:
    """Yield contributions of an attacker that depend on a victim's ciphertexts, signed by the attacker."""
    derived = derived_of(cohort)
    pairs, proof = _parts(derived, sent[victim])
    _, own_proof = _parts(derived, sent[attacker])
    terms = cohort.terms(attacker)
    identity = None if terms is None else terms.identity
    padded_hash = hashlib.sha256(sent[victim].padded).digest()
    for what, chosen, chosen_proof in (
        ("a copy of another client's ciphertexts", pairs, proof),
        ("a copy of another client's ciphertexts with the copier's own proof", pairs, own_proof),
        (f"{_FACTOR} times another client's vector", _multiplied(derived, pairs), proof),
    ):
        sealed = ciphertext_pairs.to_bytes(derived.key.public_key, chosen) + chosen_proof
        yield what, padded_hash + sealed + derived.sign(identity, attacker, padded_hash, sealed)


def _parts(derived: Derived, message: EncryptedInput) -> tuple[list[Pair], bytes]:
    """Return the ciphertexts and the proof of a message."""
    at = derived.ciphertexts_bytes
    pairs = ciphertext_pairs.from_bytes(derived.key.public_key, message.sealed[:at], derived.payload.messages)
    return pairs, bytes(message.sealed[at : at + derived.proof_bytes])


def _multiplied(derived: Derived, pairs: Sequence[Pair]) -> list[Pair]:
    """Return ciphertexts of a multiple of the same messages."""
    key = derived.key.public_key
    raised = [int(pow(ciphertext_pairs.join(key, *pair), _FACTOR, key.modulus)) for pair in pairs]
    return ciphertext_pairs.split(key, raised)
