"""The report of a training run: one page for the privacy officer and the engineer, everything inside one file.

The page says first what came out, then what is guaranteed and on what assumptions, then how training, participation
and cost went by round, and last how to run it again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dp.errors import MissingExtra
from dp.events import Trust
from dp.figures import in_full, rounded_up
from dp.ledger.ledger import Ledger
from dp.reporting.assumptions import NOTHING_ELSE
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.drawing import Chart
from dp.reporting.page import fill, require_extra
from dp.reporting.report import BudgetReport
from protocols import Adversary
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.mean import SecureMean
from secagg.errors import MissingExtraError
from secagg.privacy.clipping import clip_in_words, model_parameters
from secagg.privacy.example_level import ExampleLevel
from secagg.privacy.noise import in_words
from secagg.reports import charts
from secagg.reports.committee import answers_in_words, committee_in_words, member_in_words
from secagg.reports.costs import CostRow, costs, quantity
from secagg.reports.earlier_ledgers import with_earlier
from secagg.reports.wording import assumed_server, protection, rounding_in_words
from secagg.runs.comparison import PLAIN, WITHOUT_NOISE, ComparedRound
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.kept_ledgers import EarlierLedgers
from secagg.runs.prepare import Prepared
from secagg.runs.summary import Summary
from secagg.runs.tolerance import Cohort
from secagg.training.records import RoundRecord

SHOWN_ROUNDS: Final = 200
"""The most rounds that a chart has, evenly spread, and that the table has, the last ones."""

_NAMES: Final = {WITHOUT_NOISE: "without noise", PLAIN: "plain, in the clear"}
_PATHS: Final = ("dataset", "committee")
_FLOAT32_BYTES: Final = 4
_READABLE_EPSILON: Final = 14.0  # its exponential has seven digits
_FEW_TIMES: Final = 10  # below, a whole number would say little


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRow:
    """The accuracy that a run ended with.

    Attributes:
        name: The name of the run, in words.
        accuracy: The accuracy of its final model, in [0, 1].
        points: Accuracy above (or, negative, below) that of the run itself, in percentage points.
        compared: Whether it is of a run that is only compared with, and so never private.
    """

    name: str
    accuracy: float
    points: float
    compared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, and whether it is other than the default."""

    name: str
    value: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did, protected and cost.

    Attributes:
        config: Its settings.
        summary: What it came to.
        mean: Its plan: protocol, encoding and noise.
        rounds: All rounds done, in order.
        compared: All rounds of the runs it is compared with; none where there are no such runs.
        budget: What its ledger discloses; None without noise.
        example_level: What the devices' local training does, where examples are the privacy unit and protected.
        goal: The round that it was to end with.
        earlier: What earlier runs in its folder have cost, in words, for a run without a budget of its own; empty where
            there were none.
    """

    config: TrainingConfig
    summary: Summary
    mean: SecureMean
    rounds: Sequence[RoundRecord]
    compared: Sequence[ComparedRound]
    budget: BudgetReport | None
    example_level: ExampleLevel | None
    goal: int
    earlier: str

    @classmethod
    def of(cls, folder: RunFolder, prepared: Prepared, summary: Summary) -> "RunReport":
        """Return the report of a run that has ended, from its folder and from what it was prepared as.

        Raises:
            CheckpointError: The folder is damaged.
            DpError: The ledger cannot be read.
        """
        budget = None
        if prepared.config.private:
            with Ledger.open_to_read(folder.ledger) as ledger:
                budget = _of_this_page(with_earlier(budget_report(ledger), folder.ledger), summary)
        return cls(
            config=prepared.config,
            summary=summary,
            mean=prepared.mean,
            rounds=folder.metrics(),
            compared=folder.comparison(),
            budget=budget,
            example_level=prepared.example_level,
            goal=folder.goal(prepared.config),
            earlier="" if prepared.config.private else EarlierLedgers.of(folder.path).in_words(private=False),
        )

    @property
    def name(self) -> str:
        """The run in words, among those it is compared with."""
        failed = self.budget is not None and bool(self.budget.failed) and self.hides_updates
        called = protection(
            self.config.protocol, private=self.budget is not None and not failed, adversary=self.config.adversary
        )
        return f"{called}, guarantee FAILED" if failed else called

    @property
    def dataset(self) -> str:
        """The data set, a file without its folder: the page may go where that is nobody's business."""
        return Path(self.config.dataset).name

    @property
    def hides_updates(self) -> bool:
        """Whether the protocol hides anything from the server."""
        return self.mean.protocol.protects

    @property
    def noise_from(self) -> Trust | None:
        """Who adds the noise; `LOCAL` if clients add it in their training, and None without noise."""
        if self.budget is None:
            return None
        return self.config.trust if self.example_level is None else Trust.LOCAL

    @property
    def outcomes(self) -> tuple[AccuracyRow, ...]:
        """Final accuracies: of the run, of those it is compared with, and of the untrained model."""
        own = self.summary.accuracy
        found = {self.name: own} | {_NAMES.get(kind, kind): value for kind, value in self.summary.compared.items()}
        found["before training"] = self.summary.accuracy_before
        compared = {_NAMES.get(kind, kind) for kind in self.summary.compared}
        return tuple(
            AccuracyRow(name=name, accuracy=value, points=100 * (value - own), compared=name in compared)
            for name, value in found.items()
        )

    @property
    def faces_malice(self) -> bool:
        """Whether clients are to be safe from a server that may do anything."""
        return self.hides_updates and self.config.adversary is Adversary.MALICIOUS

    @property
    def corruptible(self) -> int | None:
        """How many of the committee's members may collude with the server; None where no committee protects updates.

        This number of members cannot open a sum by themselves. If the server may do anything, it cannot make them open
        two sums either.
        """
        if self.mean.committee is None or not self.hides_updates:
            return None
        key = self.mean.committee.key
        return min(key.colluding, 2 * key.threshold - key.members - 1) if self.faces_malice else key.colluding

    @property
    def committee_member(self) -> tuple[str, str]:
        """What a committee member sees, and what it does not see; only if `corruptible` is a number."""
        return ("", "") if self.mean.committee is None else member_in_words(self.mean.committee.key)

    @property
    def likelier(self) -> str:
        """How many times as likely any conclusion may be with a client's data as without, delta aside."""
        spent = 0.0 if self.budget is None else self.budget.spent.epsilon
        if spent >= _READABLE_EPSILON:
            return f"e^{self.shown(spent)}"
        times = math.exp(spent)
        return rounded_up(times) if times < _FEW_TIMES else f"{math.ceil(times):,}"

    def shown(self, epsilon: float) -> str:
        """Return an epsilon rounded up, but never above the budget if it is within the budget."""
        return rounded_up(epsilon) if self.budget is None else self.budget.shown(epsilon)

    @property
    def cohort(self) -> Cohort:
        """How many clients may collude with the server, and how many may drop out."""
        return Cohort.of(self.config, minimum_contributors=self.mean.minimum_contributors, target=self.mean.target)

    @property
    def withheld(self) -> tuple[int, ...]:
        """Numbers of the rounds that released nothing."""
        return tuple(record.round for record in self.rounds if not record.contributors)

    @property
    def charted_every(self) -> int:
        """The distance of the rounds that charts show, the last one among them."""
        return max(1, math.ceil(len(self.rounds) / SHOWN_ROUNDS))

    @property
    def stages(self) -> tuple[str, ...]:
        """The rounds of the protocol, in order."""
        return tuple(row.name for row in self.mean.protocol.steps)

    @property
    def plan(self) -> tuple[tuple[str, str], ...]:
        """How updates were summed, as pairs of a heading and a text."""
        mean, encoding = self.mean, self.mean.encoding
        noise = "none" if mean.noise is None or mean.target is None else in_words(mean.noise, mean.target)
        if (factor := mean.rounding_factor) is not None:
            noise += f"; {rounding_in_words(factor)}"
        clipping = clip_in_words(
            self.config.clipping,
            clip_l2=self.config.clip_l2,
            quantile=self.config.clip_quantile,
            arrays=len(encoding.shapes),
            bounds=[record.clip_bound for record in self.rounds if record.clip_bound is not None],
        )
        if self.example_level is not None:
            noise = self.example_level.in_words
            clipping += f", of an example's gradient in local training at most {self.example_level.clip_l2:g}"
        committee = () if mean.committee is None else (("Committee", committee_in_words(mean.committee.key)),)
        return (
            ("Protocol", str(mean.protocol)),
            *committee,
            *answers_in_words(self.rounds),
            ("Server assumed", assumed_server(self.config.protocol, self.config.adversary, trust=self.noise_from)),
            ("Withstands", self.cohort.in_words),
            ("Its steps", ", ".join(stage.replace("_", " ") for stage in self.stages)),
            ("Model", f"{self.config.model}: {self._parameters:,} parameters"),
            (
                "Update on the wire",
                f"{encoding.length:,} integers modulo {_power(encoding.modulus)}{_part_of(encoding)}",
            ),
            ("Clipping", clipping),
            ("Noise", noise),
            ("Rounding", self._rounding),
        )

    @property
    def _rounding(self) -> str:
        """How far rounding moves an entry of a mean, or why that is not said."""
        bounds = [record.rounding_bound for record in self.rounds if record.rounding_bound is not None]
        if bounds:
            return f"moves an entry of the mean, noise aside, by at most {max(bounds):.2g}"
        if not self.summary.released:
            return "no round has released a mean"
        if self.mean.encoding.kept is not None:
            return (
                "moves each entry of the mean a little. No bound is stated: what is not sent moves it more, by a "
                f"squared error over all entries of about {self.mean.encoding.subsampling_error:.3g} times the squared "
                "norm of the mean"
            )
        told = "how many clients were drawn" if self.config.by_poisson else "the exact total weight of the updates"
        return f"moves each entry of the mean a little. No bound is stated, since it would tell {told}"

    @property
    def _parameters(self) -> int:
        """The number of the model's parameters."""
        return model_parameters(self.config.clipping, self.mean.encoding.shapes)

    @property
    def asked_in_words(self) -> str:
        """How many clients a round asks, as a phrase."""
        clients = f"of {self.summary.clients:,} clients"
        return clients if self.config.cohort is None else f"{self.config.cohort:,} asked {clients}"

    @property
    def records_costs(self) -> bool:
        """Whether the costs of rounds are recorded: they are not if they would tell how many clients were drawn."""
        return not self.config.by_poisson

    @property
    def costs(self) -> tuple[CostRow, ...]:
        """What secure aggregation cost, local training left out; rounds that released nothing have no cost recorded."""
        return costs(self.rounds, clients=self.config.asked)

    @property
    def expansion(self) -> float | None:
        """Bytes that a client sends a round over those of its update in float32; None where nothing was released."""
        sent = [record.sent_bytes for record in self.rounds if record.contributors]
        plain = _FLOAT32_BYTES * self._parameters
        return math.fsum(sent) / len(sent) / plain if sent else None

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings of the run; of its rounds also how far it was continued."""
        defaults, found = TrainingConfig(), []
        for name in TrainingConfig.__struct_fields__:
            value = getattr(self.config, name)
            if name in _PATHS and value is not None:
                value = Path(value).name  # the page may go where the folder is nobody's business
            words = "not set" if value is None else _number(value) if isinstance(value, float) else str(value)
            if name == "rounds" and self.goal != value:
                words = f"{self.goal} (begun with {value}, which the noise is sized for)"
            found.append(Setting(name=name, value=words, changed=value != getattr(defaults, name)))
        return tuple(found)

    def as_html(self) -> str:
        """Return the page, in the reader's light or dark scheme.

        Raises:
            MissingExtraError: jinja2 or matplotlib is not installed.
        """
        try:
            require_extra()
        except MissingExtra as error:
            raise MissingExtraError(error.name or "jinja2", "report") from None
        return fill(
            "secagg.reports/report.html.j2",
            run=self,
            budget_facts=() if self.budget is None else facts(self.budget),
            charts=self._charts() if self.rounds else None,
            shown=self.rounds[-SHOWN_ROUNDS:],
            quantity=quantity,
        )

    def _charts(self) -> Mapping[str, Sequence[Chart]]:
        summary, budget = self.summary, self.budget
        rounds = self.rounds[:: -self.charted_every][::-1]
        compared = {
            kind: [line.record for line in self.compared if line.kind == kind][:: -self.charted_every][::-1]
            for kind in _NAMES
        }
        spending: Sequence[Chart] = ()
        if budget is not None and budget.spent.used is not None:
            spending = (charts.used(rounds, budget=budget.budget.epsilon),)
        elif budget is not None and not budget.claims_budget:
            spending = (charts.epsilon(rounds, budget=budget.budget.epsilon, delta=budget.budget.delta),)
        return {
            "training": (
                charts.accuracy(rounds, compared, before=summary.accuracy_before, name=self.name),
                charts.loss(rounds, compared, name=self.name),
            ),
            "privacy": spending,
            "participation": (
                charts.contributors(rounds, clients=self.config.asked, minimum=summary.minimum_contributors),
                charts.dropouts(rounds, self.stages),
            )
            if self.records_costs
            else (),
            "cost": (charts.traffic(rounds),) if self.records_costs else (),
        }


def _of_this_page(budget: BudgetReport, summary: Summary) -> BudgetReport:
    """Return the report of a ledger for a page that must also name its runs without noise."""
    if not summary.compared:
        return budget
    runs = "run" if len(summary.compared) == 1 else "runs"
    note = (
        f"{NOTHING_ELSE} So this page must not be released: it shows results of the {len(summary.compared)} {runs} "
        "compared with, which used the same data without noise."
    )
    return replace(
        budget,
        assumptions=tuple(
            replace(each, text=note) if each.text == NOTHING_ELSE else each for each in budget.assumptions
        ),
    )


def _number(value: float) -> str:
    """Return a setting as it was given, never rounded."""
    return "inf" if math.isinf(value) else in_full(value)


def _part_of(encoding: Encoding) -> str:
    """Return how many of the rotated coordinates are sent; nothing if all are."""
    if encoding.kept is None:
        return ""
    return f", a public random {encoding.kept:,} of every {encoding.block:,} rotated coordinates, fresh in each round"


def _power(modulus: int) -> str:
    """Return a modulus as a reader knows it: 2^24, or less a little."""
    bits = (modulus - 1).bit_length()
    return f"2^{bits}" if modulus == 1 << bits else f"2^{bits} - {(1 << bits) - modulus:,}"
