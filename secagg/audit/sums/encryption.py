"""Sums of encrypted vectors: each encryption is randomised, and proven under the session's key for one use only."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, Final

from protocols import Client, Committee, RemoteError, ThresholdKey
from protocols.codec import Codec, Invitation
from protocols.crypto.entropy import checked
from protocols.crypto.paillier import ciphertext_pairs
from protocols.crypto.paillier.public import PublicKey
from protocols.encrypted.client import EncryptedClient
from protocols.encrypted.derived import Derived, threshold_key
from protocols.encrypted.messages import Contributions, EncryptedInput
from protocols.encrypted.protocol import EncryptedSum
from protocols.errors import ParameterError
from protocols.identity import SIGNATURE_BYTES
from protocols.session import Participant, Session
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.cohort import Cohort, identity_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 8
_CLIENTS: Final = 3
_FACTORS: Final = (3 * 2**1022 - 869, 3 * 2**1022 - 1009)
"""Two primes that are 3 modulo 4: the factors of the modulus that a cheating prover has chosen for itself."""


class FreshCiphertexts(Attack[SumSubject]):
    """Encryptions of one vector, by two clients and by one client twice, differ, and none is the trivial one.

    A ciphertext is the message's part times h_s^r. It is 1 modulo n if r is 0, and two are equal modulo n if they have
    the same r, whatever the messages are.
    """

    id: ClassVar = "invariant.encryption.fresh"
    title: ClassVar = "Compare the random factors of all ciphertexts of one vector"
    layer: ClassVar = Layer.INVARIANT
    tests: ClassVar = ("C-10",)
    subjects: ClassVar = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return _planned(subject, trials=3)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        protocol, key = _protocol(cohort), threshold_key(cohort.session).public_key
        count = protocol.payload(cohort.session).messages
        size = count * ciphertext_pairs.pair_bytes(key)
        vector, seen, found = random_inputs(cohort, seed)[1], set[int](), ""
        for number, client in enumerate((1, 2, 1)):
            sent = _sent(cohort, client, vector, Tape(seed, f"encryption {number}"))
            residues = [int(each.residue) for each in ciphertext_pairs.from_bytes(key, sent.sealed[:size], count)]
            if 1 in residues:
                found = f"client {client} sends a ciphertext whose random factor is 1"
            elif len(set(residues)) < count or not seen.isdisjoint(residues):
                found = f"client {client} sends a ciphertext whose random factor occurred before"
            seen |= set(residues)
            if found:
                break
        statistic = f"trivial or repeated random factors of {3 * count} ciphertexts"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


class BoundProofs(Attack[SumSubject]):
    """A proof of plaintext knowledge is refused under another modulus, and in any other session, sender or statement.

    Each forgery is signed properly by the client that sends it, if there is a roster, so that only the proof can stop
    it. It must be refused by the server, and by a committee member that receives it among honest contributions.
    """

    id: ClassVar = "invariant.encryption.proofs"
    title: ClassVar = "Send proofs under a modulus of one's own, and proofs moved to another session, client or vector"
    layer: ClassVar = Layer.INVARIANT
    tests: ClassVar = ("C-10", "C-06")
    subjects: ClassVar = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return _planned(subject, trials=4)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        inputs = random_inputs(cohort, seed)
        honest = {c: _sent(cohort, c, inputs[c], Tape(seed, f"party {c}")) for c in cohort.session.clients}
        tried, found = 0, ""
        for forgery in _forgeries(subject, cohort, honest, seed):
            tried += 1
            if _server_takes(cohort, forgery):
                found = f"the server accepts a proof {forgery.label}"
            elif _member_opens(cohort, honest, forgery, seed):
                found = f"a committee member accepts a proof {forgery.label}"
            if found:
                break
        statistic = f"accepted proofs among {tried} forgeries"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Forgery:
    """A contribution that must be refused, from a client of the session."""

    label: str
    sender: int
    message: EncryptedInput


def _planned(subject: SumSubject, *, trials: int) -> Plan | Inapplicable:
    try:
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
    except ParameterError as error:
        return Inapplicable(why=str(error))
    if not isinstance(cohort.protocol, EncryptedSum):
        return Inapplicable(why="The protocol does not sum Paillier's ciphertexts.")
    return Plan(trials=trials, cpu_s=0.5)


def _protocol(cohort: Cohort) -> EncryptedSum:
    if not isinstance(cohort.protocol, EncryptedSum):
        raise TypeError("expected a sum of encrypted vectors")
    return cohort.protocol


def _codec(protocol: EncryptedSum, session: Session) -> Codec:
    limits = protocol.message_limit(session), protocol.list_limit(session)
    return Codec(protocol.digest(session), *limits, wire=protocol.wire)


def _sent(cohort: Cohort, client: int, vector: object, tape: Tape) -> EncryptedInput:
    """Return what a client sends in an honest session."""
    codec = _codec(_protocol(cohort), cohort.session)
    machine: Client = cohort.client(client, vector, tape)  # type: ignore[arg-type]  # It is a vector of the session.
    return codec.decode(0, EncryptedInput, machine.handle(codec.encode(0, Invitation())))


def _forgeries(
    subject: SumSubject, cohort: Cohort, honest: dict[int, EncryptedInput], seed: bytes
) -> Iterator[_Forgery]:
    first, second = cohort.session.clients[:2]
    own = _under_own_modulus(cohort, first, Tape(seed, "own modulus"))
    yield _Forgery(label="under a modulus of the prover's own", sender=first, message=own)
    other = subject.cohort(_CLIENTS, length=_LENGTH, session_id=b"another session of the audit")
    vector = random_inputs(cohort, seed)[first]
    moved = _signed(cohort, first, _sent(other, first, vector, Tape(seed, "another session")))
    yield _Forgery(label="that was made for another session", sender=first, message=moved)
    yield _Forgery(label="that another client made", sender=second, message=_signed(cohort, second, honest[first]))
    if len(honest[first].padded):
        masked = bytearray(honest[first].padded)
        masked[0] ^= 1
        altered = EncryptedInput(memoryview(bytes(masked)), honest[first].sealed)
        label = "that was made for another masked vector"
        yield _Forgery(label=label, sender=first, message=_signed(cohort, first, altered))


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
    protocol = _protocol(cohort)
    return Derived(
        session=session,
        digest=protocol.digest(cohort.session),
        payload=protocol.payload(session),
        exponents=protocol.exponents,
    )


def _under_own_modulus(cohort: Cohort, client: int, tape: Tape) -> EncryptedInput:
    """Return the contribution of a client that does everything right, but under a committee's key of its own."""
    committee = Committee(key=_own_key(), members=cohort.session.committee_members)
    derived = _derived(cohort, replace(cohort.session, committee=committee))
    participant = Participant(
        client=client,
        vector=cohort.session.checked(random_inputs(cohort, b"own")[client]),
        attached=(),
        terms=cohort.terms(client),
        keyholder=None,
        entropy=checked(tape),
    )
    sent: EncryptedInput = cohort.protocol.steps[0].answer(EncryptedClient(derived, participant), Invitation())
    return sent


@cache
def _own_key() -> ThresholdKey:
    public = PublicKey(_FACTORS[0] * _FACTORS[1])
    base = int(-(5**2) % public.n)
    return ThresholdKey(public_key=public, base=base, threshold=2, verification_base=4, verification_keys=(9, 25, 49))


def _server_takes(cohort: Cohort, forgery: _Forgery) -> bool:
    server = cohort.server()
    server.start()
    try:
        server.receive(forgery.sender, _codec(_protocol(cohort), cohort.session).encode(0, forgery.message))
    except RemoteError:
        return False
    return True


def _member_opens(cohort: Cohort, honest: dict[int, EncryptedInput], forgery: _Forgery, seed: bytes) -> bool:
    messages = honest | {forgery.sender: forgery.message}
    contributors = tuple(sorted(messages))
    joined = b"".join(
        hashlib.sha256(messages[client].padded).digest() + bytes(messages[client].sealed) for client in contributors
    )
    request = Contributions(contributors, memoryview(joined))
    member = cohort.session.committee_members[0]
    machine = cohort.client(member, None, Tape(seed, f"party {member}"))
    try:
        machine.handle(_codec(_protocol(cohort), cohort.session).encode(1, request))
    except RemoteError:
        return False
    return True
