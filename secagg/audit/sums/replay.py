"""Replays: all randomness comes from the tape, and every byte of the tape matters."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from protocols.crypto.products import product_of_powers
from protocols.errors import ParameterError
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.everywhere import replaced_everywhere
from secagg.audit.seeds import Tape, generator_of
from secagg.audit.shifted import shifted_clocks
from secagg.audit.sums.codecs import members_at, session_s
from secagg.audit.sums.elsewhere import Errand, Unreachable, hashed, hashes_again, hashes_elsewhere
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import Recorded, record, replayed, tapes_of
from secagg.audit.sums.seed_twin import settled
from secagg.audit.sums.subject import SumSubject
from secagg.audit.trapped import counted_randomness

_LENGTH: Final = 8
_CLIENTS: Final = 3
_WHOLE: Final = 192
_WHOLE_AT_FULL: Final = 1024
_SAMPLED_AT_FULL: Final = 256
_SAMPLED: Final = 24
_SAMPLED_OF_MEMBER: Final = 2


class SameTape(Attack[SumSubject]):
    """The same tape gives the same replies again, at another time, and in another process; nothing else is drawn.

    A session whose parties' replies are the same is the same session, since the server draws nothing. So parties are
    run again alone, with the recorded requests. Of a committee, `members_at` says how many members answer.
    Of boxes whose randomness cannot be given, it is compared what they hold: see `seed_twin.settled`.
    """

    id = "replay.tape.same"
    title = (
        "A session is repeated with recorded randomness, later and in another process, and other randomness is watched"
    )
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        try:
            cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        return Plan(trials=3, cpu_s=0.7 + session_s(cohort), details=members_at(level, cohort))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        inputs = random_inputs(cohort, seed)
        with counted_randomness() as counts:
            recorded = record(cohort, inputs, tapes_of(seed), members=plan.details)
        if counts:
            found = ", ".join(f"{name} ({count} calls)" for name, count in sorted(counts.items()))
            return _result("other sources of randomness", f"randomness from another source was used: {found}")
        with shifted_clocks():
            for party in recorded.active:
                again = hashes_again(recorded, party, tapes_of(seed)(party))
                if different := _difference(recorded, party, again):
                    return _result("replies at another time", different)
        errand = Errand(
            subject=subject,
            clients=_CLIENTS,
            length=_LENGTH,
            inputs=inputs,
            view=recorded.view,
            seed=seed,
            parties=recorded.active,
        )
        try:
            for party, hashes in hashes_elsewhere(errand).items():
                if different := _difference(recorded, party, hashes):
                    return _result("replies in another process", different)
        except Unreachable as error:
            return _result(f"different replies in this process; not tried in another one, since {error}", "")
        return _result("different replies at another time and in another process", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Which bytes of tapes are tried.

    Attributes:
        whole: The longest tape of a client of which every byte is tried.
        clients: The number of bytes of longer ones.
        members: The number of committee members.
        of_member: The number of bytes of a member's tape.
    """

    whole: int
    clients: int
    members: int
    of_member: int


class TapeBytes(Attack[SumSubject]):
    """Complementing any one byte of a party's tape changes what the party sends.

    The weights of a batch verification stay with the party that draws them. They count as seen if the exponents of
    `plaintext_proof.check_all` change. Of long tapes, some bytes of every read are tried.
    """

    id = "replay.tape.bytes"
    title = "Single bytes of the recorded randomness are changed, and the server's view has to change each time"
    layer = Layer.REPLAY
    tests = ("C-11",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        try:
            cohort = subject.cohort(_CLIENTS, length=_LENGTH)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        if level is Level.FULL:
            sample = Sample(whole=_WHOLE_AT_FULL, clients=_SAMPLED_AT_FULL, members=1, of_member=_SAMPLED)
        else:
            members = members_at(level, cohort) or 0
            sample = Sample(whole=_WHOLE, clients=_SAMPLED, members=members, of_member=_SAMPLED_OF_MEMBER)
        return Plan(trials=_CLIENTS, cpu_s=session_s(cohort) * (1 if level is Level.QUICK else 30), details=sample)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort, sample = subject.cohort(_CLIENTS, length=_LENGTH), plan.details
        recorded = record(cohort, random_inputs(cohort, seed), tapes_of(seed), members=sample.members)
        if not any(recorded.tapes[party].position for party in recorded.active):
            return _result("bytes that the parties read", "no party reads any randomness")
        observer, tried = _Observer(recorded), 0
        with observer.watching():
            for party in recorded.active:
                label = f"party {party}"
                honest = list(observer.observed(party, Tape(seed, label)))
                for position in _positions(recorded, party, sample, seed):
                    tried += 1
                    altered = observer.observed(party, Tape(seed, label, complemented=position))
                    if _is_same(honest, altered):
                        drawn = f"{position} of the {recorded.tapes[party].position} bytes"
                        return _result("dead bytes of the tape", f"{label}: byte {drawn} that it reads changes nothing")
        return _result(f"dead bytes among {tried} of the tapes", "")


def _result(statistic: str, evidence: str) -> Result:
    return Result(statistic=statistic, value=float(bool(evidence)), rejected=bool(evidence), evidence=evidence)


def _difference(recorded: Recorded, party: int, hashes: list[str]) -> str:
    """Return where a party's replies differ from the recorded ones, in words; empty if they are the same."""
    replies = recorded.replies(party)
    for at, reply in enumerate(replies):
        if at >= len(hashes) or hashed(recorded.cohort, party, reply.step, reply.data) != hashes[at]:
            return f"party {party} sends another reply in step {reply.step}"
    return ""


def _positions(recorded: Recorded, party: int, sample: Sample, seed: bytes) -> list[int]:
    """Return which bytes of a party's tape are tried: all, or the first and the last of some reads and some others."""
    tape, member = recorded.tapes[party], party in recorded.cohort.session.committee_members
    everything = list(range(tape.position))
    if not member and tape.position <= sample.whole:
        return everything
    count = sample.of_member if member else sample.clients
    generator = generator_of(seed, f"positions {party}")
    ends = [sum(tape.sizes[: at + 1]) for at in range(len(tape.sizes))]
    reads = [range(end - size, end) for size, end in zip(tape.sizes, ends, strict=True) if size]
    some = reads[:: max(1, 2 * len(reads) // count)]
    chosen = {read[0] for read in some} | {read[-1] for read in some}
    others = [position for position in everything if position not in chosen]
    left = min(max(0, count - len(chosen)), len(others))
    chosen |= {int(each) for each in generator.permutation(others)[:left]}
    return sorted(chosen)


class _Observer:
    """What parties send, and the exponents of their batch verifications."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._exponents: list[list[int]] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note the exponents of batch verifications from here on."""

        def noted(bases: Any, powers: Any, modulus: Any) -> Any:
            self._exponents.append([int(each) for each in powers])
            return product_of_powers(bases, powers, modulus)

        with replaced_everywhere([(product_of_powers, noted)]):
            yield

    def observed(self, party: int, tape: Tape) -> Iterator[object]:
        """Yield each reply of a party, and at the end all exponents."""
        self._exponents = []
        recorded = self._recorded
        for reply, data in zip(recorded.replies(party), replayed(recorded, party, tape), strict=False):
            yield settled(recorded.cohort, party, reply.step, data)
        yield self._exponents


def _is_same(honest: list[object], other: Iterator[object]) -> bool:
    """Return whether two observations are the same; the second one is carried out up to the first difference."""
    return all(at < len(honest) and honest[at] == each for at, each in enumerate(other))
