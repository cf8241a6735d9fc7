"""The JSON form of a budget report, as types: the schema `dp/reporting/schemas/budget-report-3.json` is made from them.

An epsilon without a finite bound is the text "infinite"; null stands for a figure that does not apply. NaN never
occurs. The version changes when a field changes its meaning or goes away; fields may be added.
"""

import math
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from dp.accounting.guarantee import Claim, Guarantee
from dp.events import NeighbouringRelation, Observer, PrivacyUnit
from dp.ledger.participation import Accounting
from dp.ledger.records import Detail
from dp.reporting.assumptions import Assumption, State
from dp.reporting.checklist import facts
from dp.reporting.participation import ReportedParticipation, Spread
from dp.reporting.report import BudgetReport, ReportedRelease
from dp.version import SOFTWARE
from dp.version import VERSION as SOFTWARE_VERSION

VERSION: Final = 3

Figure = Annotated[
    float | Literal["infinite"], Meta(description='An epsilon, at least 0; "infinite" where no finite bound is known.')
]


class SpreadDocument(Struct, frozen=True, kw_only=True):
    """The distribution of counts: the least, the median and the greatest."""

    least: int
    median: float
    most: int


class ParticipationDocument(Struct, frozen=True, kw_only=True):
    """How often clients were asked; never which clients."""

    clients: Annotated[int, Meta(description="How many there are.")]
    cap: Annotated[int | None, Meta(description="The most releases that may ask one client; null without a cap.")]
    adaptive: Annotated[bool, Meta(description="Whether who is asked, or when to stop, may depend on results.")]
    rounds: Annotated[SpreadDocument, Meta(description="How many releases asked a client.")]
    asked: Annotated[SpreadDocument | None, Meta(description="How many clients a release asked; null before any.")]
    eligible: Annotated[int, Meta(description="How many clients may still be asked, by the cap.")]


class BudgetDocument(Struct, frozen=True, kw_only=True):
    """What may be spent in all, and on whom."""

    epsilon: float
    delta: float
    population: int
    unit: PrivacyUnit
    relation: NeighbouringRelation
    opened_s: Annotated[float, Meta(description="When the ledger was made, in seconds since 1970.")]
    accounting: Annotated[Accounting, Meta(description="What may depend on results, and how releases are charged.")]
    order: Annotated[float | None, Meta(description="The Renyi order of a Renyi filter; null otherwise.")]
    towards: Annotated[
        Observer | None,
        Meta(description="From whom the enforced statement protects; null where each release asks everybody."),
    ]


class BoundDocument(Struct, frozen=True, kw_only=True):
    """An upper bound on epsilon by one accountant."""

    accountant: Annotated[str, Meta(description="Its short name.")]
    epsilon: Figure
    method: Annotated[str, Meta(description="How it was computed.")]


class GuaranteeDocument(Struct, frozen=True, kw_only=True):
    """What a set of releases satisfies together; with participation, for the client that is charged most."""

    epsilon: Figure
    claim: Annotated[
        Claim,
        Meta(
            description="What epsilon is: what was spent, or the budget, because results may decide on later releases, "
            "on who is asked, or on when to stop."
        ),
    ]
    used: Annotated[
        float | None, Meta(description="The part of a filter's limit that is charged; null without a filter.")
    ]
    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit
    accountant: str
    pld_epsilon: Annotated[Figure | None, Meta(description="By privacy loss distributions; null where not computed.")]
    rdp_epsilon: Figure
    order: Annotated[float, Meta(description="The Renyi order that gave rdp_epsilon.")]
    order_at_edge: Annotated[
        bool, Meta(description="Whether that is an end of the grid: orders beyond it may give a smaller bound.")
    ]
    infinite_orders: Annotated[int, Meta(description="Orders of the grid without a finite bound.")]
    subsampling: Annotated[tuple[str, ...], Meta(description="The bounds on sampled releases that were used.")]
    bounds: Annotated[
        tuple[BoundDocument, ...],
        Meta(
            description="The bounds of all accountants on releases that were fixed beforehand. The smallest is epsilon "
            "if that is what was spent; if it is the budget, none of them is a guarantee."
        ),
    ]


class RemainingDocument(Struct, frozen=True, kw_only=True):
    """What may still be spent."""

    epsilon: Annotated[float | None, Meta(description="Null with a filter.")]
    part: Annotated[float | None, Meta(description="The part of a filter's limit; null without a filter.")]
    releases: Annotated[
        int | None,
        Meta(
            description="Further releases like the last one that fit, at most 2**40; where some clients are asked, "
            "those that ask all of them."
        ),
    ]


class MechanismDocument(Struct, frozen=True, kw_only=True):
    """How often a mechanism was used."""

    mechanism: str
    releases: int


class ReleaseDocument(Struct, frozen=True, kw_only=True):
    """One release."""

    number: int
    label: str
    mechanism: str
    noise_multiplier: Annotated[float, Meta(description="Promised: standard deviation over L2 sensitivity.")]
    realised_noise_multiplier: Annotated[float | None, Meta(description="Of the noise in it; null if not recorded.")]
    excess: Annotated[float | None, Meta(description="Realised over promised noise, less 1; null if not recorded.")]
    sampling_rate: Annotated[float | None, Meta(description="Null if units are not sampled.")]
    epsilon_after: Annotated[
        Figure | None,
        Meta(
            description="Of all releases so far if they were fixed beforehand, by the accountants of the total; null "
            "if not computed, as with a filter. No guarantee where the claim is the budget. Of more than 200 releases, "
            "200 are accounted; with sampled Gaussian noise, of more than 40 at most 40."
        ),
    ]
    used_after: Annotated[
        float | None,
        Meta(description="The part of a filter's limit that is charged by all releases so far; null if not computed."),
    ]
    realised_epsilon_after: Annotated[Figure | None, Meta(description="The same at the noise realised.")]
    unamplified_epsilon_after: Annotated[
        Figure | None, Meta(description="The same without amplification; null as without_amplification is.")
    ]
    asked: Annotated[int | None, Meta(description="How many clients it asked; null if it asked everybody.")]
    contributors: Annotated[int | None, Meta(description="Null while uncommitted, which counts as spent.")]
    details: dict[str, Detail]
    reserved_s: Annotated[float, Meta(description="When it was reserved, in seconds since 1970.")]


class AtDeltaDocument(Struct, frozen=True, kw_only=True):
    """The same statement for another delta: of the same releases, or, with a filter, of all that it admits."""

    delta: float
    epsilon: Figure
    unamplified: Annotated[Figure | None, Meta(description="Null as without_amplification is.")]


class StatementDocument(Struct, frozen=True, kw_only=True):
    """What holds towards one observer, where a release asks some of the clients."""

    observer: Annotated[Observer, Meta(description="The server sees who takes part; readers see released models only.")]
    enforced: Annotated[bool, Meta(description="Whether the ledger enforces it; if not, it follows from the record.")]
    guarantee: Annotated[GuaranteeDocument, Meta(description="With the relation and the unit of the statement.")]
    text: Annotated[str, Meta(description="Its conditions in words.")]


class ChecklistItem(Struct, frozen=True, kw_only=True):
    """One item of the checklist of arXiv 2303.00654, section 5.3, in words."""

    heading: str
    text: str


class AssumptionDocument(Struct, frozen=True, kw_only=True):
    """One thing that the guarantee rests on."""

    text: str
    verified: Annotated[bool, Meta(description="Whether it was checked and found true.")]
    how: str
    state: Annotated[State, Meta(description="Checked and found false, checked and found true, or only declared.")]


class NameDocument(Struct, frozen=True, kw_only=True):
    """The name of something that the ledger is about."""

    what: str
    name: str
    source: Annotated[
        str, Meta(description="The origin of the name: the ledger, or the person who asked for the report.")
    ]


class ReportDocument(Struct, frozen=True, kw_only=True):
    """What a privacy budget's ledger discloses."""

    schema: Literal["secagg-budget-report"]
    version: Literal[3]
    statement: str
    budget: BudgetDocument
    spent: Annotated[GuaranteeDocument, Meta(description="By the noise promised, which the ledger enforces.")]
    realised: Annotated[
        GuaranteeDocument | None,
        Meta(description="At the noise realised, where recorded; not enforced. Null where the claim is the budget."),
    ]
    without_amplification: Annotated[
        GuaranteeDocument | None,
        Meta(
            description="Null where nothing was sampled, where the claim is the budget, and towards readers: the "
            "statement towards the server is without amplification."
        ),
    ]
    statements: Annotated[
        tuple[StatementDocument, ...],
        Meta(description="Towards both observers, the enforced one first; empty where each release asks everybody."),
    ]
    participation: Annotated[ParticipationDocument | None, Meta(description="Null where each release asks everybody.")]
    accountant: Annotated[str, Meta(description="How the guarantee was computed.")]
    remaining: RemainingDocument
    mechanisms: tuple[MechanismDocument, ...]
    uncommitted: tuple[int, ...]
    releases: tuple[ReleaseDocument, ...]
    epsilon_by_delta: tuple[AtDeltaDocument, ...]
    checklist: tuple[ChecklistItem, ...]
    assumptions: tuple[AssumptionDocument, ...]
    head: Annotated[str, Meta(description="Digest of the ledger's last record, hexadecimal.")]
    failed: Annotated[tuple[str, ...], Meta(description="What was found false; the guarantee then does not hold.")]
    colluders: Annotated[str, Meta(description="How many clients may collude with the server, in words.")]
    names: tuple[NameDocument, ...]
    ledger_software: Annotated[str | None, Meta(description="What made the ledger; null in ledgers of old versions.")]
    report_software: str


def document(report: BudgetReport) -> ReportDocument:
    """Return a report in its JSON form."""
    budget = report.budget
    return ReportDocument(
        schema="secagg-budget-report",
        version=VERSION,
        statement=report.statement,
        budget=BudgetDocument(
            epsilon=budget.epsilon,
            delta=budget.delta,
            population=budget.population,
            unit=budget.unit,
            relation=budget.relation,
            opened_s=budget.time_s,
            accounting=budget.accounting,
            order=budget.order,
            towards=budget.towards,
        ),
        spent=_guarantee(report.spent),
        realised=None if report.realised is None else _guarantee(report.realised),
        without_amplification=None if report.unamplified is None else _guarantee(report.unamplified),
        statements=tuple(
            StatementDocument(
                observer=each.observer, enforced=each.enforced, guarantee=_guarantee(each.guarantee), text=each.text
            )
            for each in report.statements
        ),
        participation=None if report.participation is None else _participation(report.participation),
        accountant=report.accountant,
        remaining=RemainingDocument(
            epsilon=report.remaining_epsilon,
            part=None if report.spent.used is None else max(0.0, 1 - report.spent.used),
            releases=report.remaining_releases,
        ),
        mechanisms=tuple(MechanismDocument(mechanism=words, releases=count) for words, count in report.mechanisms),
        uncommitted=report.uncommitted,
        releases=tuple(map(_release, report.releases)),
        epsilon_by_delta=tuple(
            AtDeltaDocument(delta=at.delta, epsilon=_figure(at.epsilon), unamplified=_optional(at.unamplified))
            for at in report.epsilon_by_delta
        ),
        checklist=tuple(ChecklistItem(heading=heading, text=text) for heading, text in facts(report)),
        assumptions=tuple(map(_assumption, report.assumptions)),
        head=report.head,
        failed=tuple(assumption.in_words for assumption in report.failed),
        colluders=report.colluders,
        names=tuple(NameDocument(what=what, name=name, source=source) for what, name, source in report.about.names),
        ledger_software=budget.software,
        report_software=f"{SOFTWARE} {SOFTWARE_VERSION}",
    )


def as_json(report: BudgetReport) -> str:
    """Return a report as JSON of the schema `dp/reporting/schemas/budget-report-3.json`."""
    return msgspec.json.format(msgspec.json.encode(document(report)), indent=2).decode()


def _guarantee(guarantee: Guarantee) -> GuaranteeDocument:
    return GuaranteeDocument(
        epsilon=_figure(guarantee.epsilon),
        claim=guarantee.claim,
        used=guarantee.used,
        delta=guarantee.delta,
        relation=guarantee.relation,
        unit=guarantee.unit,
        accountant=guarantee.accountant,
        pld_epsilon=_optional(guarantee.pld_epsilon),
        rdp_epsilon=_figure(guarantee.rdp_epsilon),
        order=guarantee.renyi.order,
        order_at_edge=guarantee.renyi.order_at_edge,
        infinite_orders=guarantee.renyi.infinite_orders,
        subsampling=guarantee.renyi.subsampling,
        bounds=tuple(
            BoundDocument(accountant=each.accountant, epsilon=_figure(each.epsilon), method=each.method)
            for each in guarantee.bounds
        ),
    )


def _participation(found: ReportedParticipation) -> ParticipationDocument:
    return ParticipationDocument(
        clients=found.clients,
        cap=found.cap,
        adaptive=found.adaptive,
        rounds=_spread(found.rounds),
        asked=None if found.asked is None else _spread(found.asked),
        eligible=found.eligible,
    )


def _spread(found: Spread) -> SpreadDocument:
    return SpreadDocument(least=found.least, median=found.median, most=found.most)


def _release(release: ReportedRelease) -> ReleaseDocument:
    return ReleaseDocument(
        number=release.number,
        label=release.label,
        mechanism=release.mechanism,
        noise_multiplier=release.noise_multiplier,
        realised_noise_multiplier=release.realised_noise_multiplier,
        excess=release.excess,
        sampling_rate=release.sampling_rate,
        epsilon_after=_optional(release.epsilon_after),
        realised_epsilon_after=_optional(release.realised_epsilon_after),
        unamplified_epsilon_after=_optional(release.unamplified_epsilon_after),
        used_after=release.used_after,
        asked=release.asked,
        contributors=release.contributors,
        details=release.details,
        reserved_s=release.time_s,
    )


def _assumption(assumption: Assumption) -> AssumptionDocument:
    return AssumptionDocument(
        text=assumption.text, verified=assumption.verified, how=assumption.how, state=assumption.state
    )


def _optional(epsilon: float | None) -> float | Literal["infinite"] | None:
    return None if epsilon is None else _figure(epsilon)


def _figure(epsilon: float) -> float | Literal["infinite"]:
    return "infinite" if math.isinf(epsilon) else epsilon
