"""Sums of encrypted vectors: each encryption is randomised, and proven under the session's key for one use only."""

import hashlib
from typing import Final

from protocols import RemoteError
from protocols.crypto.paillier import ciphertext_pairs
from protocols.encrypted.derived import threshold_key
from protocols.encrypted.messages import Contributions, EncryptedInput
from protocols.errors import ParameterError
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.codecs import codec_of, encrypted, is_encrypted
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.forgeries import Forgery, forgeries, sent
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 8
_CLIENTS: Final = 3


class FreshCiphertexts(Attack[SumSubject]):
    """Encryptions of one vector, by two clients and by one client twice, differ, and none is the trivial one.

    A ciphertext is the message's part times h_s^r. It is 1 modulo n if r is 0, and two are equal modulo n if they have
    the same r, whatever the messages are.
    """

    id = "invariant.encryption.fresh"
    title = "The random factors of all ciphertexts of equal vectors are compared with each other"
    layer = Layer.INVARIANT
    tests = ("C-10",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return _planned(subject, trials=3)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        protocol, key = encrypted(cohort), threshold_key(cohort.session).public_key
        count = protocol.payload(cohort.session).messages
        size = count * ciphertext_pairs.pair_bytes(key)
        vector, seen, found = random_inputs(cohort, seed)[1], set[int](), ""
        for number, client in enumerate((1, 2, 1)):
            made = sent(cohort, client, vector, Tape(seed, f"encryption {number}"))
            residues = [int(each.residue) for each in ciphertext_pairs.from_bytes(key, made.sealed[:size], count)]
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

    id = "invariant.encryption.proofs"
    title = (
        "Proofs are sent that were made under a modulus of the sender's own, or for another session, client or vector"
    )
    layer = Layer.INVARIANT
    tests = ("C-10", "C-06")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        return _planned(subject, trials=4)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        inputs = random_inputs(cohort, seed)
        other = subject.cohort(_CLIENTS, length=_LENGTH, session_id=b"another session of the audit")
        honest = {c: sent(cohort, c, inputs[c], Tape(seed, f"party {c}")) for c in cohort.session.clients}
        tried, found = 0, ""
        for forgery in forgeries(cohort, other, inputs[1], honest, seed):
            tried += 1
            if _server_takes(cohort, forgery):
                found = f"the server accepts a proof {forgery.label}"
            elif _member_opens(cohort, honest, forgery, seed):
                found = f"a committee member accepts a proof {forgery.label}"
            if found:
                break
        statistic = f"accepted proofs among {tried} forgeries"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


def _planned(subject: SumSubject, *, trials: int) -> Plan | Inapplicable:
    try:
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
    except ParameterError as error:
        return Inapplicable(why=str(error))
    if not is_encrypted(cohort):
        return Inapplicable(why="The protocol does not sum Paillier's ciphertexts.")
    return Plan(trials=trials, cpu_s=0.5)


def _server_takes(cohort: Cohort, forgery: Forgery) -> bool:
    server = cohort.server()
    server.start()
    try:
        server.receive(forgery.sender, codec_of(cohort).encode(0, forgery.message))
    except RemoteError:
        return False
    return True


def _member_opens(cohort: Cohort, honest: dict[int, EncryptedInput], forgery: Forgery, seed: bytes) -> bool:
    messages = honest | {forgery.sender: forgery.message}
    contributors = tuple(sorted(messages))
    joined = b"".join(
        hashlib.sha256(messages[client].padded).digest() + bytes(messages[client].sealed) for client in contributors
    )
    request = Contributions(contributors, memoryview(joined))
    member = cohort.session.committee_members[0]
    machine = cohort.client(member, None, Tape(seed, f"party {member}"))
    try:
        machine.handle(codec_of(cohort).encode(1, request))
    except RemoteError:
        return False
    return True
