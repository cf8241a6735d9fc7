"""Statements towards the two observers of a ledger with participation: the enforced one, and the other one.

The server sees who takes part, who drops out, and every released sum. Readers see the released models and nothing else.
`docs/participation.md` has the theorems and the conditions.

- If the ledger enforces the statement towards the server, the same statement holds towards readers: they see less.
- If it enforces the statement towards readers, the statement towards the server is computed from the same record. For
  each client it composes the releases that asked that client, without sampling, under zero-out. The noise does not
  depend on who was drawn, so its multiplier is the same under both relations. Two conditions: noise and number of
  releases did not depend on results; and the observer did not add the noise, since the party that adds it sees the
  exact sums.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import NeighbouringRelation, Observer, PrivacyEvent, Trust
from dp.ledger.charges import MAXIMUM_KINDS, CountedCharges, guarantee_of
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from dp.ledger.records import Budget, LedgerEntry
from dp.reporting.participation import cohort
from dp.reporting.wording import single

HEADINGS: Final = {Observer.SERVER: "Towards the server", Observer.READERS: "Towards readers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What holds towards one observer.

    Attributes:
        observer: From whom the statement protects.
        enforced: Whether the ledger enforces it; otherwise it follows from the record.
        guarantee: What holds, with its relation and unit.
        text: The conditions of the statement, in words.
        excepts_noise: Whether it may not hold towards its observer, if that is who added the noise.
    """

    observer: Observer
    enforced: bool
    guarantee: Guarantee
    text: str
    excepts_noise: bool = False

    @property
    def towards(self) -> str:
        """From whom the statement protects, as the beginning of a sentence."""
        return f"{HEADINGS[self.observer]}{', unless it adds the noise' if self.excepts_noise else ''}"


def statements(ledger: Ledger, spent: Guarantee, *, trusted: frozenset[Trust | None]) -> tuple[Statement, ...]:
    """Return the statements towards both observers, the enforced one first; none without participation.

    Args:
        ledger: An open ledger.
        spent: What its releases cost together.
        trusted: Who added the noise of the releases, None if that is not known of one.
    """
    budget, entries = ledger.budget, ledger.entries()
    excepts_noise = bool(trusted & {Trust.CENTRAL, None})
    sees_sums = f" {_SEES_SUMS}" if excepts_noise else ""
    if budget.towards is Observer.SERVER:
        return (
            Statement(
                observer=Observer.SERVER,
                enforced=True,
                guarantee=spent,
                text=f"{_SERVER}{sees_sums}",
                excepts_noise=excepts_noise,
            ),
            Statement(observer=Observer.READERS, enforced=False, guarantee=spent, text=_SAME),
        )
    if budget.participation is None:
        return ()
    if spent.claim is Claim.SPENT:
        condition = _ANY_STOP
    else:  # Behind a filter, results may have decided on the noise too.
        condition = _FIXED_STOP if budget.accounting is Accounting.FIXED else _FIXED_NOISE
    return (
        Statement(observer=Observer.READERS, enforced=True, guarantee=spent, text=_READERS),
        Statement(
            observer=Observer.SERVER,
            enforced=False,
            guarantee=_towards_server(entries, budget),
            text=f"{_COMPUTED}{sees_sums} {condition}",
            excepts_noise=excepts_noise,
        ),
    )


def _towards_server(entries: Sequence[LedgerEntry], budget: Budget) -> Guarantee:
    """Return what the releases without sampling cost the client that is charged most, under zero-out.

    With more than 16 different events, it is what they would cost a client that all of them asked.
    """
    counted = msgspec.structs.replace(
        budget,
        relation=NeighbouringRelation.ZERO_OUT,
        towards=Observer.SERVER,
        accounting=Accounting.FIXED,
        order=None,
    )
    events = [_unsampled(entry.reservation.event) for entry in entries]
    if len(set(events)) > MAXIMUM_KINDS:
        return guarantee_of(Counter(events), counted)
    charges = CountedCharges(counted, adaptive=False)
    for entry, event in zip(entries, events, strict=True):
        charges.add(event, cohort(entry, budget))
    return guarantee_of(charges.events(charges.worst()), counted)


def _unsampled(event: PrivacyEvent) -> PrivacyEvent:
    """Return the release of a client that is known to take part, under zero-out."""
    return msgspec.structs.replace(single(event), relation=NeighbouringRelation.ZERO_OUT)


_SERVER: Final = "The server sees who takes part, who drops out, and every released sum."
_SAME: Final = (
    "The same statement: readers see the released models only, which is less than what the server sees. Nothing better "
    "is claimed. Amplification needs a secret and independent draw of each client, and noise that does not depend on "
    "who was drawn."
)
_READERS: Final = (
    "Readers see the released models and nothing else, and were in no release together with the client. The statement "
    "holds only if it stays secret for ever who was drawn. The assumptions below list the conditions."
)
_COMPUTED: Final = (
    "It is computed from the record of who was asked, without amplification, for the client that is charged most. It "
    "holds towards anyone who learns who took part."
)
_SEES_SUMS: Final = "It does not hold against a party that adds the noise: that party sees the exact sums."
_ANY_STOP: Final = "The ledger's first record declares that the number of releases does not depend on results."
_FIXED_STOP: Final = (
    "It holds only if the number of releases did not depend on results. The ledger allows that it did; then nothing is "
    "stated towards this observer."
)
_FIXED_NOISE: Final = (
    "It holds only if noise and number of releases did not depend on results. The ledger allows that they did; then "
    "nothing is stated towards this observer."
)
