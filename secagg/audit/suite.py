"""All checks, all subjects that the toolkit ships, and all planted bugs, from the suites of the areas."""

from typing import Any, Final

from secagg.audit.account import suite as account
from secagg.audit.attack import Attack
from secagg.audit.epsilon import suite as epsilon
from secagg.audit.means import suite as means
from secagg.audit.mechanisms import suite as mechanisms
from secagg.audit.nodes import suite as nodes
from secagg.audit.planted import account as planted_account
from secagg.audit.planted import attacks as planted_attacks
from secagg.audit.planted import cohorts as planted_cohorts
from secagg.audit.planted import epsilon as planted_epsilon
from secagg.audit.planted import files as planted_files
from secagg.audit.planted import means as planted_means
from secagg.audit.planted import mechanisms as planted_mechanisms
from secagg.audit.planted import nodes as planted_nodes
from secagg.audit.planted import seeds as planted_seeds
from secagg.audit.planted import sums as planted_sums
from secagg.audit.planted import views as planted_views
from secagg.audit.planted.base import Planted
from secagg.audit.run_folder import subject as run_folder
from secagg.audit.subject import Subject
from secagg.audit.sums import suite as sums
from secagg.audit.sums import view_suite as views
from secagg.audit.transcript import subject as transcript

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    *sums.ATTACKS,
    *views.ATTACKS,
    *mechanisms.ATTACKS,
    *means.ATTACKS,
    *epsilon.ATTACKS,
    *account.ATTACKS,
    *nodes.ATTACKS,
    *run_folder.CHECKS,
    *transcript.CHECKS,
)
"""All checks, in the order of reports."""

PLANTED: Final[tuple[Planted, ...]] = tuple(
    sorted(
        (
            *planted_sums.PLANTED,
            *planted_views.PLANTED,
            *planted_attacks.PLANTED,
            *planted_mechanisms.PLANTED,
            *planted_means.PLANTED,
            *planted_epsilon.PLANTED,
            *planted_account.PLANTED,
            *planted_files.PLANTED,
            *planted_cohorts.PLANTED,
            *planted_nodes.PLANTED,
            *planted_seeds.PLANTED,
        ),
        key=lambda planted: planted.number,
    )
)
"""All planted bugs, by their numbers."""


def shipped() -> tuple[Subject, ...]:
    """Return everything that the toolkit ships and that makes claims."""
    areas = (sums, mechanisms, means, epsilon, account, nodes)
    return tuple(subject for area in areas for subject in area.shipped())
