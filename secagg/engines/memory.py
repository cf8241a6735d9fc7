"""The engine in memory: all parties run in this process, on simulated devices, and exchange real messages in bytes."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from numpy.typing import ArrayLike, NDArray

from protocols import ClientTerms, Keyholder, Role, Secret, Session, Transmission, simulate
from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words, word_dtype
from protocols.errors import TooFewSurvivors
from protocols.logger import unlogged
from protocols.secure_sum import Finish
from protocols.simulate import Outcome
from secagg.aggregation.mean import SecureMean
from secagg.checks import plain_integer
from secagg.engines.base import Release, RoundPlan, RoundResult
from secagg.engines.client import contribute, weight_of
from secagg.engines.findings import Findings
from secagg.engines.parties import check_clients, check_consent, check_parties, checked_updates
from secagg.errors import ConfigurationError, TrainingDiverged
from secagg.simulation.devices import Devices
from secagg.simulation.failures import DATA_DEPENDENT, Failures, departing
from secagg.transcripts.recorder import Recorder

Clock = Callable[[], float]
Tap = Callable[[Transmission], None]


def _no_clock() -> float:
    return 0.0


def _both(one: Tap | None, other: Tap) -> Tap:
    def call(message: Transmission) -> None:
        if one is not None:
            one(message)
        other(message)

    return call


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Parties:
    """The parties of one secure sum in this process, and each client's contribution to it."""

    plan: RoundPlan
    terms: Mapping[int, ClientTerms] | None
    keyholders: Mapping[int, Keyholder] | None
    tap: Tap | None
    recorder: Recorder | None
    entropy: Entropy
    clock: Clock
    vectors: dict[int, Words] = field(default_factory=dict)
    attached: dict[int, tuple[Secret, ...]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def contribute(self, client: int, update: Sequence[NDArray[Any]] | None, weight: float | None = None) -> None:
        """Store a client's contribution, in the smallest words that hold it, and the time that it took."""
        begun = self.clock()
        part = contribute(self.plan, update, weight=weight, entropy=self.entropy)
        self.vectors[client] = part.vector.astype(word_dtype(self.plan.session.modulus))
        self.attached[client] = part.attached
        self.seconds[client] = self.clock() - begun

    def sum(self, drops: Mapping[str, Collection[int]] | None) -> Outcome:
        """Run the secure sum of all contributions, and record it.

        If clients are drawn in secret, the sum is not logged, since the records of a session name its clients.
        """
        with nullcontext() if self.plan.mean.sample is None else unlogged():
            if self.recorder is None:
                outcome = self._sum(drops, self.tap)
            else:
                with self.recorder.session(self.plan.mean.protocol, self.plan.session) as record:
                    outcome = self._sum(drops, _both(self.tap, record))
                    self.recorder.end(Finish(outcome.total, outcome.contributors, outcome.attached))
        for client, seconds in self.seconds.items():
            outcome.cost.client_s[client] += seconds
        return outcome

    def _sum(self, drops: Mapping[str, Collection[int]] | None, tap: Tap | None) -> Outcome:
        return simulate(
            self.plan.mean.protocol,
            self.plan.session,
            self.vectors,
            attached=self.attached,
            terms=self.terms,
            keyholders=self.keyholders,
            drops=drops,
            tap=tap,
            entropy=self.entropy,
            clock=self.clock,
        )


@dataclass(frozen=True, slots=True)
class InMemory:
    """Simulated devices that take turns: each trains and contributes, and its update is not kept.

    Attributes:
        devices: The clients.
        dropping: The number of clients that drop out in every round, chosen at random.
        cohorts: Whether a round may ask some of the devices only.
        terms: Each device's identity and terms, or a function that returns those of a session's clients; needed if and
            only if the mean has a roster.
        keyholders: Each committee member's key share and rules, or a function that returns them for a session; needed
            if and only if the mean has a committee.
        tap: Called with every message.
        recorder: The recorder of a transcript, which records the server's view of every round.
        entropy: Secret randomness of the clients; `os.urandom` outside tests.
        clock: A clock in seconds, to measure each party's work.

    Raises:
        ConfigurationError: `dropping` is not an integer from 0 to the number of clients.
    """

    devices: Devices
    _: KW_ONLY
    dropping: int = 0
    cohorts: bool = False
    terms: Mapping[int, ClientTerms] | Callable[[Session], Mapping[int, ClientTerms]] | None = field(
        default=None, repr=False
    )
    keyholders: Mapping[int, Keyholder] | Callable[[Session], Mapping[int, Keyholder]] | None = field(
        default=None, repr=False
    )
    tap: Tap | None = None
    recorder: Recorder | None = field(default=None, repr=False)
    entropy: Entropy = os.urandom
    clock: Clock = time.process_time

    def __post_init__(self) -> None:
        clients = len(self.devices.clients)
        dropping = plain_integer(self.dropping)
        if type(dropping) is not int or not 0 <= dropping <= clients:
            raise ConfigurationError(f"dropping: expected an int in [0, {clients}], found {self.dropping!r}")
        object.__setattr__(self, "dropping", dropping)

    @property
    def clients(self) -> tuple[int, ...]:
        """The ids of the devices."""
        return tuple(self.devices.clients)

    def check(self, plan: RoundPlan) -> None:
        """Check that every party takes part in such a round; see `Engine`.

        Raises:
            ConfigurationError: The mean is planned for another cohort, terms or keyholders do not belong to the
                session, or there are more examples than a budget for examples counts.
            UnsafeSession: A party refuses to take part on these terms.
            DataError: Examples of a client do not fit the model, and training is private by itself.
        """
        check_clients(plan.mean, self.devices.clients, cohorts=self.cohorts)
        check_consent(plan.mean.protocol, plan.session, self._terms_of(plan.session), self._keyholders_of(plan.session))
        if plan.training is None:
            return
        examples = sum(map(self.devices.examples, self.devices.clients))
        if examples > plan.training.population:
            raise ConfigurationError(
                f"the ledger does not fit this training: expected a population of at least the {examples} examples of "
                f"all clients, found {plan.training.population}. Create a ledger whose population counts all of them."
            )
        self.devices.check_examples()

    def run(self, plan: RoundPlan) -> RoundResult:
        """Run one round up to the sum; see `Engine`.

        Raises:
            DataError: The training of all clients has failed, the first one because of its data.
            ModelError: The training of all clients has failed, the first one for another reason.
        """
        parties = _Parties(
            plan=plan,
            terms=self._terms_of(plan.session),
            keyholders=self._keyholders_of(plan.session),
            tap=self.tap,
            recorder=self.recorder,
            entropy=self.entropy,
            clock=self.clock,
        )
        failed = self._train(parties)
        # Only clients drop out, in steps that ask clients. The committee does not.
        asking = [row.name for row in plan.mean.protocol.steps if row.role is Role.CLIENT]
        drops = self.devices.drops(plan.number, asking, self.dropping, clients=plan.mean.clients)
        if not plan.private:
            drops = departing(drops, failed, protocol=plan.mean.protocol)
        try:
            outcome = parties.sum(drops)
        except TooFewSurvivors as error:
            return RoundResult(withheld=str(error), dropped=drops, failed=failed)
        return RoundResult(
            total=outcome.total,
            contributors=outcome.contributors,
            attached=outcome.attached,
            dropped=drops,
            failed=failed,
            findings=Findings.of(outcome),
            cost=outcome.cost,
        )

    def _train(self, parties: _Parties) -> dict[int, str]:
        """Let every device train and contribute; return the reason for each client whose training has failed."""
        plan = parties.plan
        # The result of training with noise may decide whether a client failed. An error that one example causes may
        # not; see check_examples.
        failures = Failures(plan.number, kinds=DATA_DEPENDENT if plan.training is None else (TrainingDiverged,))
        drawn = set(plan.mean.clients) - set(plan.mean.padding)
        for client in plan.mean.clients:
            if client in drawn:
                with failures.of(client):
                    self._train_one(parties, client)
            if client not in drawn or client in failures.reasons:
                parties.contribute(client, None)
        if plan.mean.sample is None:  # One client may be a whole sample, and its failure must not end a run.
            failures.check(drawn - set(failures.reasons))
        return failures.reasons

    def _terms_of(self, session: Session) -> Mapping[int, ClientTerms] | None:
        """Return the terms of a session's clients, as far as there are any."""
        if self.terms is None or session.roster is None:
            return None if callable(self.terms) else self.terms
        if callable(self.terms):
            return self.terms(session)
        return {client: self.terms[client] for client in session.clients if client in self.terms}

    def _keyholders_of(self, session: Session) -> Mapping[int, Keyholder] | None:
        return self.keyholders(session) if callable(self.keyholders) else self.keyholders

    def _train_one(self, parties: _Parties, client: int) -> None:
        plan = parties.plan
        update = self.devices.train(client, plan.weights, plan.number)
        parties.contribute(client, update, weight_of(plan, self.devices.examples(client)))


def _by_step(dropped: Mapping[int, str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for party, step in dropped.items():
        found.setdefault(step, []).append(party)
    return found


def simulate_mean(
    mean: SecureMean,
    updates: Mapping[int, Sequence[ArrayLike]],
    *,
    weights: Mapping[int, float] | None = None,
    failed: Collection[int] = (),
    terms: Mapping[int, ClientTerms] | None = None,
    keyholders: Mapping[int, Keyholder] | None = None,
    drops: Mapping[str, Collection[int]] | None = None,
    context: bytes = b"",
    tap: Tap | None = None,
    recorder: Recorder | None = None,
    entropy: Entropy = os.urandom,
    clock: Clock = _no_clock,
) -> Release:
    """Return the mean of plain arrays through a secure sum, with all parties in memory.

    Args:
        mean: The planned mean.
        updates: The arrays of each client that is not in `failed`.
        weights: The weights of these clients if the mean is weighted, else None.
        failed: Clients without an update. With noise they contribute zeros and their noise, since the set of
            contributors must not depend on data; without noise they drop out before they send anything.
        terms: Each client's identity and terms if the mean has a roster, else None.
        keyholders: Each committee member's key share and rules if the mean has a committee, else None.
        drops: For each step of the protocol, the parties that drop out there.
        context: What else the parties agree on, such as the round number and a hash of the model.
        tap: Called with every message.
        recorder: The recorder of a transcript, which records the server's view of the sum.
        entropy: Secret randomness; `os.urandom` outside tests.
        clock: A clock in seconds, to measure each party's work.

    Raises:
        ConfigurationError: Updates, weights or terms do not belong to the cohort, or keyholders to the committee.
        EncodingError: An update or a weight does not fit; the message names the client, and nothing has been sent.
        dp.errors.InvalidParameter: An entry of an update is NaN or infinite; the message names the client, and nothing
            has been sent.
        UnsafeSession: A party refuses to take part on these terms; nothing has been sent.
        TooFewSurvivors: Too many parties have dropped out; nothing has been released.
        UnusableMean: See `SecureMean.decode`.
    """
    plan = RoundPlan(mean=mean, session=mean.session(entropy(16), context=context))
    check_parties(plan.session, terms, keyholders)
    given = checked_updates(mean.encoding, mean.clients, updates, weights=weights, failed=failed)
    if not plan.private:
        drops = departing(drops or {}, failed, protocol=mean.protocol)
    parties = _Parties(
        plan=plan,
        terms=terms,
        keyholders=keyholders,
        tap=tap,
        recorder=recorder,
        entropy=entropy,
        clock=clock,
    )
    for client in mean.clients:
        parties.contribute(client, given.get(client), (weights or {}).get(client))
    outcome = parties.sum(drops)
    begun = clock()
    decoded = mean.decode(
        outcome.total,
        contributors=len(outcome.contributors),
        rotation=plan.rotation,
        attached=outcome.attached,
        entropy=entropy,
    )
    outcome.cost.server_s += clock() - begun
    return Release(
        mean=decoded.mean,
        contributors=outcome.contributors,
        dropped=_by_step(outcome.dropped),
        realised=mean.realised(len(outcome.contributors)),
        rounding_bound=decoded.rounding_bound,
        findings=Findings.of(outcome),
        cost=outcome.cost,
    )
