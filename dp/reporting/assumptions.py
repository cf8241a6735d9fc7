"""The conditions of a guarantee: those that this software found false, those that it verified, and declared ones.

Source: the last items of the checklist of Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654, section 5.3.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dp.events import GaussianEvent, NeighbouringRelation, Observer, PrivacyEvent, PrivacyUnit, Trust
from dp.ledger.participation import Accounting
from dp.ledger.records import Budget
from dp.reporting.wording import sampling_rate, single


class State(enum.StrEnum):
    """What is known of a condition."""

    FAILED = "failed"
    """This software checked it and found it false: the guarantee does not hold as it is stated."""

    VERIFIED = "verified"
    """This software checked it and found it true."""

    DECLARED = "declared"
    """Only the operator of the releases vouches for it; this software did not check it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One condition of a guarantee.

    Attributes:
        text: What is assumed or, if it failed, what was found instead.
        state: Whether this package checked it, and found it true or false.
        how: How it was checked, or who can check it.
    """

    text: str
    state: State
    how: str

    @property
    def verified(self) -> bool:
        """Whether the condition was checked and found true."""
        return self.state is State.VERIFIED

    @property
    def in_words(self) -> str:
        """Text and reason together; as sentences if the condition failed."""
        return f"{self.text} {self.how}" if self.state is State.FAILED else f"{self.text} ({self.how})"


def assumptions(
    events: Iterable[PrivacyEvent],
    trusted: Iterable[Trust | None],
    budget: Budget,
    *,
    within: bool,
    supported: bool,
    hidden: Iterable[bool],
) -> tuple[Assumption, ...]:
    """Return the conditions of the guarantee of these releases: the failed, then the verified, then the declared ones.

    Args:
        events: The event of each release.
        trusted: Who added the noise of each release, None if that is not known.
        budget: The budget of the ledger.
        within: Whether all releases together, accounted again, are within the budget.
        supported: Whether no realised release may cost more than the reserved one.
        hidden: For each release, whether it does not say that the server saw single vectors.
    """
    found, added_by = tuple(events), tuple(trusted)
    towards_readers = budget.towards is Observer.READERS
    by = frozenset(added_by)
    exposed = {trust for trust, unseen in zip(added_by, hidden, strict=True) if not unseen} - {Trust.LOCAL}
    kinds = tuple(single(event) for event in found)
    sampled = {event.unit for event in found if sampling_rate(event) is not None}
    return ordered(
        (
            _WITHIN if within else _BEYOND,
            _SUPPORTED if supported else _UNSUPPORTED,
            _DELTA,
            *((_CAP,) if budget.participation is not None and budget.participation.cap is not None else ()),
            *((_NOT_HIDDEN if exposed else _HIDDEN, _HONEST) if Trust.DISTRIBUTED in by else ()),
            *((_CENTRAL_NOT_HIDDEN if Trust.CENTRAL in exposed else _CENTRAL,) if Trust.CENTRAL in by else ()),
            *(_UNKNOWN if None in by else ()),
            *(_CONTINUOUS if any(isinstance(kind, GaussianEvent) for kind in kinds) else ()),
            *(() if towards_readers else (_SAMPLED[unit] for unit in PrivacyUnit if unit in sampled)),
            *(_READERS if towards_readers else ()),
            _PARTICIPATION[budget.relation],
            *_counted(budget),
            _SENSITIVITY,
            _beforehand(budget),
            *_ALWAYS,
        )
    )


def _counted(budget: Budget) -> tuple[Assumption, ...]:
    """Return the conditions of counting clients."""
    participation = budget.participation
    if participation is None:
        return ()
    if budget.towards is Observer.READERS:
        return (_SAME_CLIENTS, _RESERVED)
    free = participation.adaptive or budget.accounting is not Accounting.FIXED
    return (_SAME_CLIENTS, _RESERVED, _COHORTS if free else _FIXED_COHORTS)


def _beforehand(budget: Budget) -> Assumption:
    """Return the condition on what may depend on earlier releases."""
    if budget.accounting is not Accounting.FIXED:
        return _FILTERED
    adaptive = budget.participation is not None and budget.participation.adaptive
    return _ONE_KIND if adaptive else _FIXED


def ordered(found: Iterable[Assumption]) -> tuple[Assumption, ...]:
    """Return conditions with those that failed first, then the verified, then the declared ones."""
    return tuple(sorted(found, key=lambda assumption: list(State).index(assumption.state)))


def refuted(found: Iterable[Assumption], reasons: Mapping[str, str]) -> tuple[Assumption, ...]:
    """Return conditions with some of them marked as failed, because the caller knows more than the ledger.

    Args:
        found: The conditions of a report.
        reasons: What was found instead, in sentences, by the `text` of each condition that failed.
    """
    return ordered(
        replace(
            each,
            text=f'Not true: "{each.text}"',
            state=State.FAILED,
            how=reasons[each.text],
        )
        if each.text in reasons
        else each
        for each in found
    )


NOTHING_ELSE: Final = "Nothing that is derived from the data is released, except what this ledger lists."
ONLY_LEDGER: Final = "This is the latest copy of the only ledger for these data."
_WITHIN: Final = Assumption(
    text="The listed releases stay within the budget, including those that were never committed.",
    state=State.VERIFIED,
    how="accounted anew for this report; the ledger does so before each release, and its chain of records is whole",
)
_BEYOND: Final = Assumption(
    text="The listed releases exceed the budget.",
    state=State.FAILED,
    how="This report recomputed their cost and found it above the budget.",
)
_SUPPORTED: Final = Assumption(
    text="No recorded release had fewer contributors or less noise than was reserved.",
    state=State.VERIFIED,
    how="the ledger refuses such a record, and it was checked for this report; that records are true is declared",
)
_UNSUPPORTED: Final = Assumption(
    text="At least one record describes a release that may cost more than was reserved (less noise, more sensitivity, "
    "more coordinates, or more steps).",
    state=State.FAILED,
    how="secagg never writes such a record, so the file was altered or was written by other software.",
)
_DELTA: Final = Assumption(
    text="The delta is below one over the population.",
    state=State.VERIFIED,
    how="checked when the ledger is made and read; the size of the population is declared",
)
_HIDDEN: Final = Assumption(
    text="The summing protocol hides each vector from the server, if the server behaves as that protocol assumes.",
    state=State.DECLARED,
    how="see the threat model of the protocol that was used",
)
_NOT_HIDDEN: Final = Assumption(
    text="At least one release was summed by a protocol that shows every client's vector to the server.",
    state=State.FAILED,
    how="Each vector has at most its client's share of the noise in it, so the guarantee does not hold against the "
    "server. Against those who see no more than the releases, this condition is not needed.",
)
_HONEST: Final = Assumption(
    text="Every contributor, except at most the planned number of colluding clients, adds its full noise share and "
    "keeps it secret.",
    state=State.DECLARED,
    how="no party can check another's noise in a secure sum",
)
_CENTRAL: Final = Assumption(
    text="The summing party sees the exact sum, adds all of the noise to it, and reveals neither the exact sum nor "
    "the noise.",
    state=State.DECLARED,
    how="not checked here; only an audit of the summing party can check it",
)
_CENTRAL_NOT_HIDDEN: Final = replace(
    _CENTRAL,
    text="The summing party sees every client's vector, adds all of the noise to their sum, and reveals neither the "
    "vectors, nor the exact sum, nor the noise.",
)
_UNKNOWN: Final = (
    Assumption(
        text="The party that adds the noise adds all of it and reveals it to nobody. If that is the summing party, it "
        "is trusted with the exact sum.",
        state=State.DECLARED,
        how="the releases do not say who adds the noise",
    ),
)
_CONTINUOUS: Final = (
    Assumption(
        text="The Gaussian noise is assumed to be real-valued; what its floating-point form leaks is not covered.",
        state=State.DECLARED,
        how="the accounting is of the real-valued mechanism",
    ),
)
_SAMPLED: Final = {
    PrivacyUnit.CLIENT: Assumption(
        text="Each unit takes part with the stated probability, drawn afresh and independently, and nobody who sees "
        "the releases learns who took part. The server of a secure sum does learn which clients took part: only the "
        "figure without amplification holds against it, and none if it adds the noise itself.",
        state=State.DECLARED,
        how="not checked here; only an audit of how participants were drawn, and of who saw the draw, can check it",
    ),
    PrivacyUnit.EXAMPLE: Assumption(
        text="Each client draws its own minibatches: every example with the stated probability, afresh and "
        "independently in each step. The client never reveals which examples were drawn, so the server does not see "
        "it.",
        state=State.DECLARED,
        how="not checked here; only an audit of the clients' training can check it",
    ),
}
_PARTICIPATION: Final = {
    NeighbouringRelation.ZERO_OUT: Assumption(
        text="The number and names of the contributors to each release are public and not protected.",
        state=State.DECLARED,
        how="part of the relation",
    ),
    NeighbouringRelation.ADD_OR_REMOVE_ONE: Assumption(
        text="The noise does not depend on whether one unit is present. The stated population is public; apart from "
        "it, those who see the releases do not learn exact counts of units.",
        state=State.DECLARED,
        how="not checked here; only an audit of who adds the noise and of what is published can check it",
    ),
}
_READERS: Final = (
    Assumption(
        text="For each release, each client was drawn with the stated probability, afresh, independently and from a "
        "cryptographic source. The party that draws is trusted to do so.",
        state=State.DECLARED,
        how="not checked here; only an audit of how clients were drawn can check it",
    ),
    Assumption(
        text="Only the models are released. Who was drawn, the ledger, logs, the sizes of cohorts, the numbers of "
        "dropouts and the times of messages stay secret for ever.",
        state=State.DECLARED,
        how="not checked here; only an audit of who saw these can check it",
    ),
    Assumption(
        text="No reader was in a release together with the client whose data are protected.",
        state=State.DECLARED,
        how="clients see who else is in their release",
    ),
)
_CAP: Final = Assumption(
    text="No client was asked more often than the cap.",
    state=State.VERIFIED,
    how="the ledger refuses it, and it was checked for this report",
)
_SAME_CLIENTS: Final = Assumption(
    text="Each number of a client means the same client for the life of the ledger.",
    state=State.DECLARED,
    how="the ledger holds a digest of the list of clients; that the same list was used is declared",
)
_RESERVED: Final = Assumption(
    text="Everybody who was asked for a vector is in a reservation that was made before.",
    state=State.DECLARED,
    how="the party that asks keeps the ledger; against one that lies, a client is protected only by the cap that it "
    "keeps itself and by the least noise that it accepts",
)
_COHORTS: Final = Assumption(
    text="Who is asked and who drops out depend only on earlier releases, on public facts and on independent "
    "randomness, never on the clients' data.",
    state=State.DECLARED,
    how="not checked here; a client whose training fails must send zeros with its noise",
)
_FIXED_COHORTS: Final = replace(
    _COHORTS,
    text="Who is asked and who drops out depend only on public facts and on independent randomness, neither on earlier "
    "releases nor on the clients' data.",
)
_SENSITIVITY: Final = Assumption(
    text="The contribution of one unit to a release is within the stated L2 sensitivity.",
    state=State.DECLARED,
    how="clients clip; against clients that do not, only their own protection is lost",
)
_FIXED: Final = Assumption(
    text="The noise, the sensitivity and the number of releases were fixed independently of earlier releases.",
    state=State.DECLARED,
    how="the settings of the run; the data asked for may depend on earlier releases. If results decided when to stop, "
    "or that more releases followed, the epsilon of the budget is guaranteed and not the epsilon spent",
)
_ONE_KIND: Final = Assumption(
    text="The noise and the sensitivity of the releases were fixed beforehand.",
    state=State.DECLARED,
    how="the ledger takes one kind of release only; who is asked, and when to stop, may depend on earlier releases",
)
_FILTERED: Final = Assumption(
    text="The noise and the sensitivity of each release are those that were reserved before it.",
    state=State.DECLARED,
    how="they, and the number of releases, may depend on earlier releases",
)
_ALWAYS: Final = (
    Assumption(
        text=NOTHING_ELSE,
        state=State.DECLARED,
        how="not checked here; only an audit of all parties that held the data can check it",
    ),
    Assumption(
        text=ONLY_LEDGER,
        state=State.DECLARED,
        how="not checked here; compare a head that was kept elsewhere: secagg budget verify LEDGER --head HEAD",
    ),
)
