"""How many clients a run withstands, in whole clients: those that collude with the server, and those that drop out.

Settings are fractions, and a fraction of a small cohort is no client at all. The sum's protocol is planned for
`adversarial * clients`, rounded down. The noise counts at least one colluding client, since every client knows its own
share. A single update stays hidden from the server only while both hold.
"""

from dataclasses import dataclass

from dp.events import Trust
from protocols import load
from protocols.cohort import whole_clients
from secagg.privacy.contributors import least_fraction, no_collusion_warning
from secagg.privacy.noise import NoiseTerms
from secagg.runs.config import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """What a run's cohort withstands.

    Attributes:
        clients: The number of clients that a round asks.
        colluding: Clients that the protocol is planned to withstand if they collude with the server; None where it
            hides nothing from the server.
        noise_colluding: Clients whose shares of the noise are not counted; None where no guarantee rests on shares.
        vanishing: Clients that may drop out of a round that still releases a mean.
        secret: Whether clients are drawn in secret, of whom none may drop out.
    """

    clients: int
    colluding: int | None
    noise_colluding: int | None
    vanishing: int
    secret: bool = False

    @classmethod
    def of(cls, config: TrainingConfig, *, minimum_contributors: int, target: NoiseTerms | None) -> "Cohort":
        """Return what the settings come to.

        Args:
            config: The settings.
            minimum_contributors: Fewer release nothing.
            target: What the noise in the sums is for, or None.
        """
        shared = target is not None and target.trust is Trust.DISTRIBUTED
        return cls(
            clients=config.asked,
            colluding=_colluding(config),
            noise_colluding=target.colluding if target is not None and shared else None,
            vanishing=config.asked - minimum_contributors,
            secret=config.by_poisson,
        )

    @property
    def collusion_in_words(self) -> str:
        """How many may collude with the server; both numbers where protocol and noise differ."""
        if self.colluding is None:
            return "no server by the protocol, which shows it every client's update"
        words = f"{self.colluding:,} colluding of {self.clients:,} clients"
        if self.noise_colluding not in (None, self.colluding):
            words += f" (the noise alone: {self.noise_colluding:,} of {self.clients:,})"
        return words

    @property
    def in_words(self) -> str:
        """What the cohort withstands."""
        dropouts = "1 dropout" if self.vanishing == 1 else f"{self.vanishing:,} dropouts"
        return f"{self.collusion_in_words}, and {dropouts} of {self.clients:,} in a round"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the cohort does not withstand although settings may look as if it did."""
        found = []
        if self.colluding == 0:
            found.append(no_collusion_warning(self.clients))
        if self.vanishing == 0 and not self.secret:
            found.append(
                f"withstands 0 dropouts of {self.clients:,} clients: if one client drops out, the round releases "
                f"nothing. Use a dropout of at least {least_fraction(self.clients):g}, or a smaller "
                "minimum_contributors: each update is then hidden among fewer."
            )
        return tuple(found)


def _colluding(config: TrainingConfig) -> int | None:
    if not load(config.protocol).protects:
        return None
    return whole_clients(config.asked, config.adversarial, "adversarial")
