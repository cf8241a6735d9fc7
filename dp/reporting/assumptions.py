"""What a guarantee rests on, and what of it was verified rather than declared.

Source: the last items of the checklist of Ponomareva et al., "How to DP-fy ML", arXiv 2303.00654, section 5.3.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dp.events import GaussianEvent, NeighbouringRelation, PrivacyEvent, PrivacyUnit, Trust
from dp.reporting.wording import sampling_rate, single


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One thing that a guarantee rests on.

    Attributes:
        text: what is assumed.
        verified: whether this package checked it; otherwise whoever ran the releases declares it.
        how: by what it was checked, or who would have to.
    """

    text: str
    verified: bool
    how: str


def assumptions(
    events: Iterable[PrivacyEvent],
    trusted: Iterable[Trust | None],
    relation: NeighbouringRelation,
    *,
    within: bool,
    supported: bool,
) -> tuple[Assumption, ...]:
    """Return what the guarantee of these releases rests on, and what of it was verified.

    Args:
        events: of the releases.
        trusted: who added the noise of each, None where that is not known.
        relation: the neighbouring relation.
        within: whether all releases together, accounted anew, are within the budget.
        supported: whether no realised release may cost more than the reserved one.
    """
    found, by = tuple(events), frozenset(trusted)
    kinds = tuple(single(event) for event in found)
    sampled = {event.unit for event in found if sampling_rate(event) is not None}
    return (
        _WITHIN if within else _BEYOND,
        _SUPPORTED if supported else _UNSUPPORTED,
        _DELTA,
        *(_DISTRIBUTED if Trust.DISTRIBUTED in by else ()),
        *(_CENTRAL if Trust.CENTRAL in by else ()),
        *(_UNKNOWN if None in by else ()),
        *(_CONTINUOUS if any(isinstance(kind, GaussianEvent) for kind in kinds) else ()),
        *(_SAMPLED[unit] for unit in PrivacyUnit if unit in sampled),
        _PARTICIPATION[relation],
        *_ALWAYS,
    )


_WITHIN: Final = Assumption(
    text="The releases listed stay within the budget, those that were never committed included.",
    verified=True,
    how="accounted anew for this report; the ledger does so before each release, and its chain of records is whole",
)
_BEYOND: Final = Assumption(
    text=_WITHIN.text,
    verified=False,
    how="it does not hold: accounted anew for this report, they are beyond the budget",
)
_SUPPORTED: Final = Assumption(
    text="No release recorded had fewer contributors, or less noise, than was reserved.",
    verified=True,
    how="the ledger refuses such a record, and it was checked for this report; that records are true is declared",
)
_UNSUPPORTED: Final = Assumption(
    text=_SUPPORTED.text,
    verified=False,
    how="it does not hold: a record has noise that may cost more than what was reserved, which no ledger writes",
)
_DELTA: Final = Assumption(
    text="The delta is below one over the population.",
    verified=True,
    how="checked when the ledger is made and read; the size of the population is declared",
)
_DISTRIBUTED: Final = (
    Assumption(
        text="Vectors are summed by a protocol that hides each of them from the server, as far as that protocol "
        "trusts it.",
        verified=False,
        how="see the threat model of the protocol that was used",
    ),
    Assumption(
        text="Clients that contribute are honest about their noise: each adds its whole share and reveals it to "
        "nobody, but as many as were planned to collude.",
        verified=False,
        how="no party can check another's noise in a secure sum",
    ),
)
_CENTRAL: Final = (
    Assumption(
        text="Whoever sums sees the exact sum, adds the whole noise to it, and reveals neither.",
        verified=False,
        how="an audit of the summing party",
    ),
)
_UNKNOWN: Final = (
    Assumption(
        text="Whoever adds the noise adds the whole of it and reveals it to nobody; where that is the summing party, "
        "it is trusted with the exact sum.",
        verified=False,
        how="the releases do not say who adds the noise",
    ),
)
_CONTINUOUS: Final = (
    Assumption(
        text="Gaussian noise is taken for real-valued; what its floating-point form leaks is not covered.",
        verified=False,
        how="the accounting is of the real-valued mechanism",
    ),
)
_SAMPLED: Final = {
    PrivacyUnit.CLIENT: Assumption(
        text="Each unit takes part with the stated probability, drawn afresh and independently, and nobody who sees "
        "the releases learns who took part. The server of a secure sum does learn it of clients: against it, the "
        "figure without amplification holds.",
        verified=False,
        how="an audit of how participants were drawn, and of who saw the draw",
    ),
    PrivacyUnit.EXAMPLE: Assumption(
        text="Each client draws its own minibatches: every example with the stated probability, afresh and "
        "independently in each step. Which examples were drawn never leaves the client, so that the server does not "
        "see it.",
        verified=False,
        how="an audit of the clients' training",
    ),
}
_PARTICIPATION: Final = {
    NeighbouringRelation.ZERO_OUT: Assumption(
        text="The number and names of the contributors to each release are public and not protected.",
        verified=False,
        how="part of the relation",
    ),
    NeighbouringRelation.ADD_OR_REMOVE_ONE: Assumption(
        text="The noise does not depend on whether one unit is there, and exact counts of units are kept from those "
        "who see the releases.",
        verified=False,
        how="an audit of who adds the noise and of what is published",
    ),
}
_ALWAYS: Final = (
    Assumption(
        text="What one unit adds to a release is within the stated L2 sensitivity.",
        verified=False,
        how="clients clip; against clients that do not, only their own protection is lost",
    ),
    Assumption(
        text="Noise and sensitivity of a release were fixed without regard to earlier releases.",
        verified=False,
        how="the settings of the run; the data asked for may depend on earlier releases",
    ),
    Assumption(
        text="Nothing derived from the data is released but what this ledger lists.",
        verified=False,
        how="an audit of whoever held the data",
    ),
    Assumption(
        text="This is the latest copy of the only ledger for these data.",
        verified=False,
        how="a head kept elsewhere, by `secagg budget verify LEDGER --head HEAD`",
    ),
)
