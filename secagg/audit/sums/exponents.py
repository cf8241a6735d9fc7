"""Known answers of encryptions, from a slow and exact twin, with exponents of the tape at the edges of their range.

A ciphertext is (1 + n)^message h^(n^s r) modulo n^(s+1) (Damgard, Jurik and Nielsen 2010, section 4.1), where r is the
little-endian number of the next bytes of the tape.
"""

from typing import Final

from protocols.crypto.paillier import ciphertext_pairs
from protocols.encrypted.derived import threshold_key
from protocols.encrypted.messages import EncryptedInput
from protocols.errors import ParameterError
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import SEED_BYTES, Tape
from secagg.audit.sums.codecs import codec_of, encrypted, is_encrypted
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 24
_CLIENTS: Final = 3


class EncryptionWords(Attack[SumSubject]):
    """The twin of the module's docstring for encryptions, with exponents of the tape at the edges of their range."""

    id = "replay.samplers.encryption"
    title = "Ciphertexts are compared with encryptions by the definition, with the exponents that were drawn"
    layer = Layer.REPLAY
    tests = ("C-11", "C-10")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        try:
            cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        if not is_encrypted(cohort):
            return Inapplicable(why="The protocol does not sum Paillier's ciphertexts.")
        return Plan(trials=3, cpu_s=0.3)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort, found = subject.cohort(_CLIENTS, length=_LENGTH), ""
        start, size = _exponent_bytes(cohort)
        for label, word in (("of the tape", b""), ("0", bytes(size)), ("of ones", b"\xff" * size)):
            replaced = {start: word} if word else {}
            if not _is_encryption(cohort, seed, replaced):
                found = f"with an exponent {label}, the first ciphertext is not the one of the definition"
                break
        statistic = "ciphertexts not by definition, with 3 exponents"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


def _exponent_bytes(cohort: Cohort) -> tuple[int, int]:
    """Return where in a client's tape the first exponent is, after what the payload draws, and its length in bytes."""
    protocol, session = encrypted(cohort), cohort.session
    payload, size = protocol.payload(session), protocol.exponents.bits(threshold_key(session).public_key) // 8
    return (2 * SEED_BYTES if payload.padded_bytes else 0), size


def _is_encryption(cohort: Cohort, seed: bytes, replaced: dict[int, bytes]) -> bool:
    """Return whether the first ciphertext of a client is that of the definition, with the exponent of the tape."""
    protocol, session = encrypted(cohort), cohort.session
    client, payload, key = session.clients[0], protocol.payload(session), threshold_key(session)
    vector = random_inputs(cohort, seed)[client]
    tape = Tape(seed, "exponents", replaced=replaced)
    _, messages = payload.wrap(session.checked(vector), tape)
    _, size = _exponent_bytes(cohort)
    exponent = int.from_bytes(tape(size), "little")
    machine = cohort.client(client, vector, Tape(seed, "exponents", replaced=replaced))
    server = cohort.server()
    sent = codec_of(cohort).decode(0, EncryptedInput, machine.handle(server.start().requests[client]))
    one = ciphertext_pairs.pair_bytes(key.public_key)
    pairs = ciphertext_pairs.from_bytes(key.public_key, sent.sealed[: one * payload.messages], payload.messages)
    found = int(ciphertext_pairs.join(key.public_key, *pairs[0]))
    n, modulus, limit = int(key.public_key.n), int(key.public_key.modulus), int(key.public_key.message_modulus)
    defined = pow(1 + n, int(messages[0]), modulus) * pow(key.base, limit * exponent, modulus) % modulus
    return found == defined
