"""The account of a coordinator's releases: each is reserved before it is made, and committed after it."""

from dataclasses import dataclass

from dp.events import PrivacyEvent, Trust
from dp.ledger.ledger import Ledger
from dp.ledger.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Detail,
)
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.engines.base import PrivateTraining
from secagg.engines.server.kept import KeptRelease
from secagg.engines.server.preflight import check_ledger, label_of
from secagg.engines.server.round_report import ReportedPrivacy
from secagg.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAccount:
    """The releases of one coordinator in a ledger, or in none if there is no noise.

    Attributes:
        ledger: The ledger; None without noise.
        training: What the clients' own training guarantees; None if that training adds no noise.
        run: The name of the run in the ledger's labels.
        colluding: How many clients may help the server without breaking the protocol; None if that is not known.
    """

    ledger: Ledger | None
    training: PrivateTraining | None = None
    run: str | None = None
    colluding: int | None = None

    @property
    def privacy(self) -> ReportedPrivacy | None:
        """What the ledger guarantees, and how much of the budget is used; None without noise."""
        if self.ledger is None:
            return None
        spent = self.ledger.spent()
        return ReportedPrivacy(epsilon=spent.epsilon, claim=spent.claim, used=spent.used_of(self.ledger.budget.epsilon))

    def event(self, mean: SecureMean) -> PrivacyEvent | None:
        """Return the privacy cost of a release of this mean; None without noise."""
        if self.training is not None:
            return self.training.event
        return mean.event

    def check(self, mean: SecureMean) -> None:
        """Check that the ledger will accept every release of this mean; the remaining budget is not checked.

        Raises:
            ConfigurationError: Mean, noise and ledger do not fit together.
            dp.errors.LedgerUnavailable: The ledger cannot be written to.
        """
        if mean.noise is not None and self.training is not None:
            raise ConfigurationError(
                "noise: expected it in the clients' training or in the mean, found it in both. To protect single "
                "examples, plan the mean without a target. To protect whole clients, train without local noise."
            )
        if self.training is not None and mean.encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "weighting: expected a uniform mean if the clients' training adds the noise, found one weighted by "
                "examples, which reveals their number. Plan the mean with Weighting.UNIFORM."
            )
        event = self.event(mean)
        if (event is None) != (self.ledger is None):
            raise ConfigurationError(
                "ledger: expected one if and only if the mean or the clients' training adds noise, found "
                + ("noise and no ledger" if self.ledger is None else "a ledger and no noise")
            )
        if self.ledger is not None and event is not None:
            check_ledger(self.ledger, event, mean=mean, local=self.training is not None, run=self.run)

    def reserve(self, mean: SecureMean, number: int) -> int | None:
        """Reserve a release of a round, and return the reservation's number; None without noise.

        Raises:
            dp.errors.ParticipationExceeded: A client was asked as often as its cap allows.
            dp.errors.BudgetExceeded: The budget does not allow another release.
            dp.errors.LedgerError: The record may or may not be on the disk; do not release.
        """
        event = self.event(mean)
        if self.ledger is None or event is None:
            return None
        return self.ledger.reserve(
            event,
            label_of(number, self.run),
            contributors=len(mean.drawn),
            participants=mean.drawn if self._counts_clients else None,
        )

    def realised(self, mean: SecureMean, contributors: int) -> PrivacyEvent | None:
        """Return a release with the noise that is in it; None without noise."""
        return self.event(mean) if self.training is not None else mean.realised(contributors)

    def details(self, mean: SecureMean) -> dict[str, Detail]:
        """Return what the ledger records of a release besides its noise: who adds it, and how many may collude."""
        target = mean.target
        found: dict[str, Detail] = {
            TRUST_DETAIL: str(Trust.LOCAL if target is None else target.trust),
            CLIENTS_DETAIL: len(mean.clients),
            UPDATES_HIDDEN_DETAIL: "yes" if mean.protocol.protects else "no",
        }
        if target is not None:
            found[NOISE_COLLUDING_DETAIL] = target.colluding
        if self.colluding is not None:
            found[SUM_COLLUDING_DETAIL] = self.colluding
        return found

    def commit(self, kept: KeptRelease) -> None:
        """Commit a kept release, unless that is done.

        Raises:
            dp.errors.LedgerError: The record may or may not be on the disk.
        """
        if self.ledger is None or kept.reservation is None or self.is_committed(kept.reservation):
            return
        release = kept.release
        self.ledger.commit(
            kept.reservation,
            contributors=release.contributors if self._counts_clients else len(release.contributors),
            realised=release.realised,
            details=kept.details,
        )

    @property
    def _counts_clients(self) -> bool:
        """Whether the ledger counts the rounds of each client."""
        return self.ledger is not None and self.ledger.budget.participation is not None

    def is_committed(self, reservation: int | None) -> bool:
        """Return whether a reservation needs no commitment any more."""
        if self.ledger is None or reservation is None:
            return True
        return self.ledger.entries()[reservation - 1].commitment is not None
