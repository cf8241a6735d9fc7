"""What follows from the settings of a training run."""

import math

from protocols.cohort import whole_clients
from secagg.privacy.contributors import required_contributors
from secagg.privacy.least_cap import least_cap
from secagg.runs.fields import SettingFields
from secagg.training.cohorts import Draw
from secagg.training.model_state import ServerStep


class DerivedSettings(SettingFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a run's settings, and what follows from them; not checked yet."""

    @property
    def private(self) -> bool:
        """Whether noise is added."""
        return math.isfinite(self.epsilon)

    @property
    def asked(self) -> int:
        """The number of clients that a round asks; with `Draw.POISSON`, the expected number."""
        return self.clients if self.cohort is None else self.cohort

    @property
    def drawing(self) -> Draw:
        """How the clients of a round are drawn."""
        return Draw.IN_TURN if self.draw is None else self.draw

    @property
    def by_poisson(self) -> bool:
        """Whether each client is drawn by itself, in secret."""
        return self.drawing is Draw.POISSON

    @property
    def limited(self) -> bool:
        """Whether the ledger counts the rounds of each client: there are cohorts, or a cap is given."""
        return self.cohort is not None or self.cap is not None

    @property
    def participations(self) -> int:
        """The most rounds that one client may be in, for which noise is sized; with `Draw.POISSON`, all rounds."""
        if self.by_poisson:
            return self.rounds
        return least_cap(self.rounds, cohort=self.asked, clients=self.clients) if self.cap is None else self.cap

    @property
    def dropping(self) -> int:
        """The number of clients that drop out in every round."""
        return whole_clients(self.asked, self.dropout, "dropout")

    @property
    def server_step(self) -> ServerStep:
        """How the server moves the model."""
        return ServerStep(learning_rate=self.server_learning_rate, momentum=self.server_momentum)

    @property
    def required_contributors(self) -> int:
        """The least number of contributors of a release."""
        return required_contributors(
            clients=self.asked,
            dropout=self.dropout,
            adversarial=self.adversarial,
            adversary=self.adversary,
            minimum_contributors=self.minimum_contributors,
        )
