"""What a guarantee rests on: conditions that this software found false, that it verified, and that are declared.

Source: the last items of the checklist of Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654, section 5.3.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dp.events import GaussianEvent, NeighbouringRelation, PrivacyEvent, PrivacyUnit, Trust
from dp.reporting.wording import sampling_rate, single


class State(enum.StrEnum):
    """What is known of a condition."""

    FAILED = "failed"
    """This software checked it and found it false: the guarantee does not hold as it is stated."""

    VERIFIED = "verified"
    """This software checked it and found it true."""

    DECLARED = "declared"
    """Nobody but whoever ran the releases vouches for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One thing that a guarantee rests on.

    Attributes:
        text: What is assumed or, where it failed, what was found instead.
        state: Whether this package checked it, and found it true or false.
        how: By what it was checked, or who would have to.
    """

    text: str
    state: State
    how: str

    @property
    def verified(self) -> bool:
        """Whether it was checked and found true."""
        return self.state is State.VERIFIED

    @property
    def in_words(self) -> str:
        """Text and reason together, as sentences where it failed."""
        return f"{self.text} {self.how}" if self.state is State.FAILED else f"{self.text} ({self.how})"


def assumptions(
    events: Iterable[PrivacyEvent],
    trusted: Iterable[Trust | None],
    relation: NeighbouringRelation,
    *,
    within: bool,
    supported: bool,
    hidden: bool,
) -> tuple[Assumption, ...]:
    """Return what the guarantee of these releases rests on: what failed, then what was verified, then what is declared.

    Args:
        events: Of the releases.
        trusted: Who added the noise of each, None where that is not known.
        relation: The neighbouring relation.
        within: Whether all releases together, accounted anew, are within the budget.
        supported: Whether no realised release may cost more than the reserved one.
        hidden: Whether no release says that the server saw single vectors, each with a mere share of the noise.
    """
    found, by = tuple(events), frozenset(trusted)
    kinds = tuple(single(event) for event in found)
    sampled = {event.unit for event in found if sampling_rate(event) is not None}
    return ordered(
        (
            _WITHIN if within else _BEYOND,
            _SUPPORTED if supported else _UNSUPPORTED,
            _DELTA,
            *((_HIDDEN if hidden else _NOT_HIDDEN, _HONEST) if Trust.DISTRIBUTED in by else ()),
            *(_CENTRAL if Trust.CENTRAL in by else ()),
            *(_UNKNOWN if None in by else ()),
            *(_CONTINUOUS if any(isinstance(kind, GaussianEvent) for kind in kinds) else ()),
            *(_SAMPLED[unit] for unit in PrivacyUnit if unit in sampled),
            _PARTICIPATION[relation],
            *_ALWAYS,
        )
    )


def ordered(found: Iterable[Assumption]) -> tuple[Assumption, ...]:
    """Return conditions with those that failed first, then the verified, then the declared ones."""
    return tuple(sorted(found, key=lambda assumption: list(State).index(assumption.state)))


def refuted(found: Iterable[Assumption], reasons: Mapping[str, str]) -> tuple[Assumption, ...]:
    """Return conditions of which some failed, since whoever asks knows more than the ledger.

    Args:
        found: The conditions of a report.
        reasons: For the `text` of each condition that failed, what was found instead, in sentences.
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


NOTHING_ELSE: Final = "Nothing derived from the data is released but what this ledger lists."
ONLY_LEDGER: Final = "This is the latest copy of the only ledger for these data."
_WITHIN: Final = Assumption(
    text="The releases listed stay within the budget, those that were never committed included.",
    state=State.VERIFIED,
    how="accounted anew for this report; the ledger does so before each release, and its chain of records is whole",
)
_BEYOND: Final = Assumption(
    text="The listed releases exceed the budget.",
    state=State.FAILED,
    how="This report recomputed their cost and found it above the budget.",
)
_SUPPORTED: Final = Assumption(
    text="No release recorded had fewer contributors, or less noise, than was reserved.",
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
    text="Vectors are summed by a protocol that hides each of them from the server, as far as that protocol trusts it.",
    state=State.DECLARED,
    how="see the threat model of the protocol that was used",
)
_NOT_HIDDEN: Final = Assumption(
    text="At least one release was summed by a protocol that shows every client's vector to the server.",
    state=State.FAILED,
    how="Each vector has only its client's share of the noise in it, so the guarantee does not hold against the "
    "server. It holds against those who see no more than the releases.",
)
_HONEST: Final = Assumption(
    text="Clients that contribute are honest about their noise: each adds its whole share and reveals it to "
    "nobody, but as many as were planned to collude.",
    state=State.DECLARED,
    how="no party can check another's noise in a secure sum",
)
_CENTRAL: Final = (
    Assumption(
        text="Whoever sums sees the exact sum, adds the whole noise to it, and reveals neither.",
        state=State.DECLARED,
        how="not checked here; only an audit of the summing party can check it",
    ),
)
_UNKNOWN: Final = (
    Assumption(
        text="Whoever adds the noise adds the whole of it and reveals it to nobody; where that is the summing party, "
        "it is trusted with the exact sum.",
        state=State.DECLARED,
        how="the releases do not say who adds the noise",
    ),
)
_CONTINUOUS: Final = (
    Assumption(
        text="Gaussian noise is taken for real-valued; what its floating-point form leaks is not covered.",
        state=State.DECLARED,
        how="the accounting is of the real-valued mechanism",
    ),
)
_SAMPLED: Final = {
    PrivacyUnit.CLIENT: Assumption(
        text="Each unit takes part with the stated probability, drawn afresh and independently, and nobody who sees "
        "the releases learns who took part. The server of a secure sum does learn it of clients: against it, the "
        "figure without amplification holds.",
        state=State.DECLARED,
        how="not checked here; only an audit of how participants were drawn, and of who saw the draw, can check it",
    ),
    PrivacyUnit.EXAMPLE: Assumption(
        text="Each client draws its own minibatches: every example with the stated probability, afresh and "
        "independently in each step. Which examples were drawn never leaves the client, so that the server does not "
        "see it.",
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
        text="The noise does not depend on whether one unit is there, and exact counts of units are kept from those "
        "who see the releases.",
        state=State.DECLARED,
        how="not checked here; only an audit of who adds the noise and of what is published can check it",
    ),
}
_ALWAYS: Final = (
    Assumption(
        text="What one unit adds to a release is within the stated L2 sensitivity.",
        state=State.DECLARED,
        how="clients clip; against clients that do not, only their own protection is lost",
    ),
    Assumption(
        text="Noise and sensitivity of a release were fixed without regard to earlier releases.",
        state=State.DECLARED,
        how="the settings of the run; the data asked for may depend on earlier releases",
    ),
    Assumption(
        text=NOTHING_ELSE,
        state=State.DECLARED,
        how="not checked here; only an audit of whoever held the data can check it",
    ),
    Assumption(
        text=ONLY_LEDGER,
        state=State.DECLARED,
        how="not checked here; compare a head that was kept elsewhere: `secagg budget verify LEDGER --head HEAD`",
    ),
)
