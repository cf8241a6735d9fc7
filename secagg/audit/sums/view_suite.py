"""All checks of what a server sees of a protocol, and all attacks on protocols."""

from typing import Any, Final

from secagg.audit.attack import Attack
from secagg.audit.sums.attacks.alive_and_dead import AliveAndDead
from secagg.audit.sums.attacks.alteration import Alteration
from secagg.audit.sums.attacks.chosen_cohort import ChosenCohort
from secagg.audit.sums.attacks.contexts import TwoContexts
from secagg.audit.sums.attacks.differencing import Differencing
from secagg.audit.sums.attacks.forbidden_sums import ForbiddenSums
from secagg.audit.sums.attacks.late_client import LateClient
from secagg.audit.sums.attacks.replay import Replay
from secagg.audit.sums.attacks.retry import RepeatedRound, RestartedClient
from secagg.audit.sums.attacks.second_attempt import SecondAttempt
from secagg.audit.sums.attacks.second_request import SecondRequest
from secagg.audit.sums.attacks.seed_openings import SeedOpenings, SubstitutedMembers
from secagg.audit.sums.attacks.split_views import SplitViews
from secagg.audit.sums.attacks.substituted_keys import SubstitutedKeys
from secagg.audit.sums.attacks.thresholds import TooFew, TwoSums
from secagg.audit.sums.exposure import FreshReplies, MessageSizes
from secagg.audit.sums.independence import Correlation
from secagg.audit.sums.indistinguishable import SameSum, SameSumColluding
from secagg.audit.sums.padded import PaddedWords
from secagg.audit.sums.seed_inputs import CopiedMachine, SeedColluders
from secagg.audit.sums.uniformity import FullWords, SmallResidues

ATTACKS: Final[tuple[Attack[Any], ...]] = (
    SmallResidues(),
    FullWords(),
    PaddedWords(),
    Correlation(),
    FreshReplies(),
    MessageSizes(),
    SameSum(),
    SameSumColluding(),
    LateClient(),
    SecondRequest(),
    TwoSums(),
    SplitViews(),
    AliveAndDead(),
    TooFew(),
    SubstitutedKeys(),
    ChosenCohort(),
    RepeatedRound(),
    RestartedClient(),
    Replay(),
    TwoContexts(),
    Alteration(),
    Differencing(),
    SecondAttempt(),
    ForbiddenSums(),
    SeedColluders(),
    CopiedMachine(),
    SeedOpenings(),
    SubstitutedMembers(),
)
