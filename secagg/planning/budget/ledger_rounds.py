"""The noise that more rounds need under a ledger that exists: `secagg budget plan --ledger`.

The ledger is only read. With a Gaussian filter the noise is z = sqrt(R' / (mu_max^2 - mu^2)): R' is the most of the
rounds that one client is asked for, and mu^2 what was charged to that client (`docs/participation.md`). With the Renyi
filter and without a filter, it is searched for by the ledger's own rule.
"""

import bisect
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from dp.checks import integer_at_least
from dp.errors import IncompatibleEvent
from dp.events import (
    GaussianEvent,
    NeighbouringRelation,
    Observer,
    PoissonSampledEvent,
    PrivacyEvent,
    PrivacyUnit,
    with_noise,
)
from dp.figures import in_full, rounded_down, rounded_up
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.reporting.wording import RELATIONS, UNITS, sampling_rate
from secagg.errors import ConfigurationError
from secagg.planning.budget.digits import enough
from secagg.planning.budget.rows import in_lines
from secagg.privacy.least_cap import least_cap

_RULES: Final = {
    Accounting.FIXED: "fixed: noise and number of rounds must have been chosen before the first release. If they are "
    "chosen after a look at results, nothing is proven for a second kind of noise; that needs a ledger with a filter",
    Accounting.GAUSSIAN_FILTER: "gaussian-filter: noise, cohorts and number of rounds may be chosen after a look at "
    "results; the sum of 1/z^2 stays at most mu^2",
    Accounting.RENYI_FILTER: "renyi-filter: noise, cohorts and number of rounds may be chosen after a look at results; "
    "the sum of the divergences of the ledger's order stays at most B",
}

_TOWARDS: Final = {
    Observer.SERVER: ", towards the server, and readers too",
    Observer.READERS: ", towards readers, who see the released models only",
}

Group = tuple[tuple[int, ...] | None, int]
"""Clients, None for everybody, and the most releases that each of them is asked for."""


class LedgerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The noise that more rounds need under a ledger.

    Attributes:
        rounds: The number of further rounds.
        cohort: How many clients each of them asks; None if that was not given.
        releases: The most of them that one client is asked for.
        noise_multiplier: The least noise of each round, over its sensitivity; without a choice, the noise of all
            earlier rounds.
        latest: The noise multiplier of the latest round that was reserved; None if there is none.
        free: Whether the ledger takes other noise than that of the earlier rounds.
        sampling: The probability with which each client, or example, is drawn, as in the earlier rounds; None without.
        accounting: How the ledger charges releases.
        limit: The most that a filter may charge one client: mu^2, or B; None without a filter.
        charged: What the filter has charged the client that was charged most; None without a filter.
        epsilon: The budget, which is guaranteed if the rounds are made.
        delta: The delta of the budget.
        relation: The neighbouring relation.
        unit: The privacy unit.
        observer: From whom it protects; None if each release asks everybody.
    """

    rounds: int
    cohort: int | None
    releases: int
    noise_multiplier: float
    latest: float | None
    free: bool
    sampling: float | None
    accounting: Accounting
    limit: float | None
    charged: float | None
    epsilon: float
    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit
    observer: Observer | None

    def as_json(self) -> str:
        """Return it as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    def as_text(self, *, width: int | None = None) -> str:
        """Return it as lines for a terminal, wrapped at a number of columns, at least 60; None: one line each."""
        other = "" if self.free else ", as in all earlier rounds: the ledger takes no other noise"
        if self.free and self.latest is not None:
            times = self.noise_multiplier / self.latest
            other = (
                f", {times:,.{0 if times >= 100 else 2}f} times the noise of the latest round, {enough(self.latest)}"
            )
        asked = "" if self.cohort is None else f"; each asks {self.cohort:,} clients"
        rows = [
            (
                "Noise multiplier",
                f"{enough(self.noise_multiplier)} times the sensitivity, in each of {self.rounds:,} more rounds{other}",
            ),
            ("Releases", f"one client is asked for at most {self.releases:,} of them{asked}"),
        ]
        if self.sampling is not None:
            rows.append(("Sampling", f"each {self.unit.value} with probability {self.sampling:.6g}, in secret"))
        if self.limit is not None and self.charged is not None:
            name = "mu^2" if self.accounting is Accounting.GAUSSIAN_FILTER else "B"
            left = rounded_down(max(0.0, self.limit - self.charged), of=self.limit)
            limit = rounded_down(self.limit, of=self.limit)
            charged = rounded_up(self.charged)
            if self.charged <= self.limit:  # Rounded, it could be above.
                charged = min(charged, limit, key=float)
            words = f"{charged} of {limit} ({name}) to the client that was charged most"
            rows.append(("Charged", f"{words}; {left} is left"))
        towards, protects = "", ". The ledger's report names the observers under 'Setting and trust'"
        if self.observer is not None:
            towards, protects = _TOWARDS[self.observer], ""
        rows += [
            (
                "Guarantee",
                f"the budget, epsilon {in_full(self.epsilon)} at delta {in_full(self.delta)}, for all rounds "
                f"together{towards} (unit {self.unit.value}, relation {self.relation.value}){protects}",
            ),
            ("Accounting", _RULES[self.accounting]),
            ("Privacy unit", f"{self.unit.value}: {UNITS[self.unit]}"),
            ("Relation", f"{self.relation.value}: {RELATIONS[self.relation]}"),
            ("Ledger", "opened to read; nothing was reserved"),
        ]
        return in_lines(rows, width=width)


def plan_rounds(ledger: Ledger, *, rounds: int, cohort: int | None = None, cap: int | None = None) -> LedgerPlan:
    """Return the noise that more rounds need.

    Args:
        ledger: The ledger, which may be open for reading only.
        rounds: The number of further rounds, at least 1.
        cohort: How many clients each of them asks, if the ledger counts participation; None: any number. If they are
            drawn in secret, the average number; None: as in the earlier rounds.
        cap: The most of these rounds that one client is asked for. None: as few as the cohort allows; without a
            cohort, all of them. The ledger's own cap counts too.

    Formal guarantees:
        If the rounds have at least this noise and no client is asked for more of them, the ledger admits them, and all
        its releases satisfy its budget as `Ledger` states.

    Raises:
        ConfigurationError: The ledger cannot take such rounds.
        dp.errors.InfeasibleTarget: No noise keeps them within what is left of the budget.
        dp.errors.InvalidParameter: A number is out of range.
    """
    integer_at_least("rounds", rounds, 1)
    most = _most_releases(ledger, rounds=rounds, cohort=cohort, cap=cap)
    groups = _groups(ledger, most=most, rounds=rounds, cohort=cohort, cap=cap)
    entries = ledger.entries()
    earlier = entries[-1].reservation.event if entries else None
    event_of = _further_event(ledger, earlier, cohort)
    free = True
    try:
        noise = max(
            ledger.least_multiplier(releases, participants=clients, event_of=event_of) for clients, releases in groups
        )
    except IncompatibleEvent:
        fixed = ledger.budget.accounting is Accounting.FIXED
        if earlier is None or not fixed or sampling_rate(earlier) != sampling_rate(event_of(1.0)):
            raise
        noise, free = earlier.noise_multiplier, False
        _check_remaining(ledger, earlier, groups)
    budget = ledger.budget
    return LedgerPlan(
        rounds=rounds,
        cohort=cohort,
        releases=max(releases for _, releases in groups),
        noise_multiplier=noise,
        latest=None if earlier is None else earlier.noise_multiplier,
        free=free,
        sampling=sampling_rate(event_of(noise)),
        accounting=budget.accounting,
        limit=ledger.limit,
        charged=ledger.charged(),
        epsilon=budget.epsilon,
        delta=budget.delta,
        relation=budget.relation,
        unit=budget.unit,
        observer=budget.towards,
    )


def _most_releases(ledger: Ledger, *, rounds: int, cohort: int | None, cap: int | None) -> int:
    """Return the most of further rounds that one client is asked for, the ledger's own cap left aside."""
    budget = ledger.budget
    if budget.participation is None or budget.towards is Observer.READERS:
        if cap is not None or (cohort is not None and budget.participation is None):
            found = "no participation" if budget.participation is None else "a sample in secret, which no cap stops"
            raise ConfigurationError(
                f"--ledger: expected a ledger that counts how often each client is asked, found one with {found}: "
                "every release is charged to everybody. Leave out --cohort and --cap."
            )
        return rounds
    if cohort is not None:
        _check_cohort(ledger, cohort)
    least = 1 if cohort is None else least_cap(rounds, cohort=cohort, clients=budget.clients)
    if cap is None:
        return rounds if cohort is None else least
    if integer_at_least("cap", cap, 1) < least:
        raise ConfigurationError(
            f"cap: expected at least {least}, since {rounds} rounds ask {cohort} of {budget.clients} clients each, "
            f"found {cap}. Use a cap of {least} or more, fewer rounds or a smaller cohort."
        )
    return min(cap, rounds)


def _check_cohort(ledger: Ledger, cohort: int) -> None:
    clients = ledger.budget.clients
    if integer_at_least("cohort", cohort, 1) > clients:
        raise ConfigurationError(
            f"cohort: expected at most the {clients} clients of the population, found {cohort}. Use a smaller cohort."
        )


def _groups(ledger: Ledger, *, most: int, rounds: int, cohort: int | None, cap: int | None) -> list[Group]:
    """Return the clients by the most releases that each is asked for: `most`, or what the ledger's cap leaves it.

    If some clients are near the ledger's cap, the others are asked more often than `most`, unless `cap` forbids it.
    """
    participation = ledger.budget.participation
    if participation is None or participation.cap is None:
        return [(None, most)]
    left = participation.cap - ledger.rounds_by_client().astype(np.int64)
    wanted = rounds * (1 if cohort is None else cohort)
    if cap is None:
        choices = range(most, rounds)
        most += bisect.bisect_left(choices, wanted, key=lambda each: int(np.minimum(left, each).sum()))
    places = np.minimum(left, most)
    if not places.any():
        raise ConfigurationError(
            f"rounds: expected none, since all clients have been asked as often as the cap of {participation.cap} "
            f"allows, found {rounds}. Plan no more rounds under this ledger. A new ledger with a larger cap does not "
            "restore the budget: the costs of both ledgers add up."
        )
    if places.sum() < wanted:
        raise ConfigurationError(
            f"rounds: expected at most the {int(places.sum())} places that caps leave, found {wanted} in {rounds} "
            "rounds: a place is one client that one round asks. Plan fewer rounds or a smaller cohort. A new ledger "
            "with a larger cap does not restore the budget: the costs of both ledgers add up."
        )
    return [
        (tuple(int(client) for client in np.flatnonzero(places == each)), int(each))
        for each in np.unique(places)
        if each > 0
    ]


def _further_event(ledger: Ledger, earlier: PrivacyEvent | None, cohort: int | None) -> Callable[[float], PrivacyEvent]:
    """Return the event of a further round by its noise: like the earlier ones, or without sampling if there are none.

    Raises:
        ConfigurationError: A ledger of rounds that are sampled in secret has none yet, and no cohort says how many.
    """
    budget = ledger.budget

    def gaussian(noise_multiplier: float) -> GaussianEvent:
        return GaussianEvent(noise_multiplier=noise_multiplier, relation=budget.relation, unit=budget.unit)

    secret = budget.towards is Observer.READERS
    if earlier is not None and not (secret and cohort is not None):
        return lambda noise_multiplier: with_noise(earlier, gaussian(noise_multiplier))
    if not secret:
        return gaussian
    if cohort is None:
        raise ConfigurationError(
            "--cohort: expected the average number of clients that are drawn for a round, since this ledger has no "
            "round yet that tells, found none. Give it."
        )
    _check_cohort(ledger, cohort)
    rate = cohort / budget.clients
    return lambda noise_multiplier: PoissonSampledEvent(sampling_rate=rate, event=gaussian(noise_multiplier))


def _check_remaining(ledger: Ledger, event: PrivacyEvent, groups: list[Group]) -> None:
    """Refuse more rounds than fit with the only noise that the ledger takes.

    Raises:
        ConfigurationError: They do not fit.
    """
    for clients, releases in groups:
        fits = ledger.remaining(event, participants=clients)
        if fits < releases:
            raise ConfigurationError(
                f"rounds: expected at most {fits} more releases of one client with noise multiplier "
                f"{event.noise_multiplier:.5g}, found {releases}. This ledger takes no other noise, since cohorts may "
                "depend on results and it has no filter. Plan fewer rounds."
            )
