"""No key of a stream and no nonce is used twice in a session, as seen by a spy at the ciphers.

The rules, for one session:

- Over all parties, one key and nonce encrypt one plaintext, with one text bound to it.
- Over all parties, a key is used by one kind of cipher only.
- Within one step, a party expands each block of a keystream at most once. In several steps, it may expand the same
  keystream again only from the same place in the code, which is a recomputation of the same words. So both ends of a
  pair may expand the seed of one mask, and a client may expand its own mask again, but no seed serves two purposes.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from protocols.encrypted.paillier_sum import PaillierSum
from protocols.errors import ParameterError
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.sums.cipher_spy import CipherSpy, Expansion
from secagg.audit.sums.codecs import is_encrypted
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import record, tapes_of
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 16
_CLIENTS: Final = 5  # With three, the two directions of a pair never carry shares of the same kind in LightSecAgg.


class StreamsOnce(Attack[SumSubject]):
    """The rules on ciphers of the module's docstring, for a session in which nobody drops out."""

    id = "replay.streams.once"
    title = "All ciphers of a session are watched for keys, nonces and counters that are used twice"
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        try:
            cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        if isinstance(cohort.protocol, PaillierSum):
            return Inapplicable(why="The protocol opens no keystream and seals nothing under a symmetric key.")
        return Plan(trials=1, cpu_s=0.3)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        del plan
        cohort, spy = subject.cohort(_CLIENTS, length=_LENGTH), CipherSpy()
        with spy.watching():
            record(
                cohort,
                random_inputs(cohort, seed),
                tapes_of(seed),
                watcher=spy,
                members=0 if is_encrypted(cohort) else None,
            )
        found = next(_reuses(spy), "")
        seen = f"{len(spy.expansions)} keystreams and {len(spy.sealings)} sealed texts"
        return Result(statistic=f"reuses among {seen}", value=float(bool(found)), rejected=bool(found), evidence=found)


def _reuses(spy: CipherSpy) -> Iterator[str]:
    """Yield what breaks a rule, in words."""
    sealed: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
    for each in spy.sealings:
        if sealed.setdefault((each.key, each.nonce), (each.plaintext, each.bound)) != (each.plaintext, each.bound):
            yield f"party {each.moment.party} in step {each.moment.step}: a key and nonce encrypt a second plaintext"
    streamed = {each.key for each in spy.expansions}
    for each in spy.sealings:
        if not each.by_stream and each.key in streamed:
            yield f"party {each.moment.party} in step {each.moment.step}: the key of a keystream also seals a text"
    by_key: dict[tuple[bytes, int | None], list[Expansion]] = {}
    for expansion in spy.expansions:
        by_key.setdefault((expansion.key, expansion.moment.party), []).append(expansion)
    for (_, party), group in by_key.items():
        if party is None:
            continue
        for one, other in combinations(group, 2):
            if one.overlaps(other) and (one.moment == other.moment or one.place != other.place):
                yield (
                    f"party {party} in step {other.moment.step}: a keystream that it expanded in step "
                    f"{one.moment.step} is expanded again"
                )
