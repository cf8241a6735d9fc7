"""Plans of a mean, and the usual one: parameters that a protocol suggests for a round's cohort, encoding and noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dp.events import Trust
from protocols import Adversary, SecureSum
from protocols.cohort import whole_clients
from protocols.errors import ParameterError
from protocols.replay import are_kept_apart
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.modulus_bits import AUTO, ModulusBits
from secagg.aggregation.weighting import Weighting
from secagg.checks import check_choice
from secagg.engines.base import RoundResult
from secagg.engines.parties import Parties
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, NothingReleased
from secagg.privacy.clipping import planned
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT, required_contributors

Plan = Callable[[Sequence[int], Work, Parties], SecureMean]
"""Plans the mean of a round: from the clients of the round, their work, and the coordinator's parties."""


def planned_mean(plan: Plan, clients: Sequence[int], work: Work, parties: Parties, *, again: bool) -> SecureMean:
    """Return the mean that a plan makes for the clients that are left of a cohort.

    Args:
        plan: The plan.
        clients: Those that are left.
        work: As for the plan.
        parties: As for the plan.
        again: Whether the plan has made a mean before, of other clients. Then it refuses these clients, and not the
            settings.

    Raises:
        NothingReleased: The plan refuses these clients.
        ConfigurationError: The plan refuses its settings, or the clients.
        ParameterError: As before.
    """
    try:
        return plan(clients, work, parties)
    except (ConfigurationError, ParameterError) as error:
        if not again:
            raise
        reason = f"expected enough clients for a session, found {len(clients)} that can be asked: {error}"
        raise NothingReleased(reason, result=RoundResult()) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """A plan that `averaging` returns; see there. It is made of plain values, so that it can travel with a job."""

    protocol: type[SecureSum]
    clip_l2: float
    adversarial: float
    dropout: float
    target: Target | None
    adversary: Adversary
    minimum_contributors: int | None
    modulus_bits: ModulusBits
    weighting: Weighting
    max_weight: float
    compression: float

    def __call__(self, clients: Sequence[int], work: Work, parties: Parties) -> SecureMean:
        """Return the planned mean; see `Plan`."""
        required = required_contributors(
            clients=len(clients),
            dropout=self.dropout,
            adversarial=self.adversarial,
            adversary=self.adversary,
            minimum_contributors=self.minimum_contributors,
        )
        # Parameters for all dropouts that may happen before nothing is released, not only for those expected.
        tolerated = (len(clients) - required) / max(len(clients), 1)
        chosen, least = self.protocol.suggest(
            clients=len(clients), adversarial=self.adversarial, dropout=tolerated, adversary=self.adversary
        )
        if required < least:
            raise ParameterError(
                f"minimum_contributors: expected at least {least}, the least of {chosen.name}, found {required}. Use "
                f"{least} or more."
            )
        malicious = self.adversary is Adversary.MALICIOUS
        if malicious and parties.roster is None:
            raise ConfigurationError(
                "roster: expected one against a malicious server, found none. Put roster.json into the coordinator's "
                "folder."
            )
        shapes, bound = planned(work.clip, shapes=work.travelling, clip_l2=self.clip_l2)
        mean = partial(
            SecureMean.plan,
            protocol=chosen,
            clients=clients,
            shapes=shapes,
            clip_l2=bound,
            modulus_bits=self.modulus_bits,
            weighting=self.weighting,
            max_weight=self.max_weight,
            compression=self.compression,
            target=self.target,
            roster=parties.roster.of(clients) if malicious and parties.roster is not None else None,
            committee=parties.committee if chosen.needs_committee else None,
        )
        found = mean(minimum_contributors=required)
        enough = self._enough(found)
        return found if enough == required else mean(minimum_contributors=enough)

    def _enough(self, mean: SecureMean) -> int:
        """Return the contributors with which two exact sums of one work are kept apart; see `protocols.replay`.

        A number that was given is checked. The default one is raised as far as the expected dropouts allow.

        Raises:
            ParameterError: The number that was given is too small, or no number is enough.
        """
        required, clients = mean.minimum_contributors, len(mean.clients)
        session = mean.session(bytes(16))
        corrupt = whole_clients(clients, self.adversarial, "adversarial")
        exact = mean.target is None or mean.target.trust is Trust.CENTRAL
        if not exact or mean.protocol.least_repliers(session, corrupt) is None:
            return required
        most = required
        if self.minimum_contributors is None:
            most = max(required, clients - whole_clients(clients, self.dropout, "dropout"))
        for count in range(required, most + 1):
            repliers = mean.protocol.least_repliers(replace(session, threshold=count), corrupt) or 0
            if count >= corrupt + 2 and are_kept_apart(repliers, clients=clients, corrupt=corrupt):
                return count
        raise ParameterError(
            f"minimum_contributors: expected a number with which at least {(clients + corrupt) // 2 + 1} of {clients} "
            f"clients open a sum, {corrupt} of whom may be corrupt, found {required}. Two sums of the same inputs "
            "could differ in one client. Require more contributors, use SecAgg in the place of SecAggPlus, or let the "
            "clients add noise."
        )


def averaging(
    protocol: type[SecureSum],
    *,
    clip_l2: float,
    adversarial: float = ADVERSARIAL,
    dropout: float = DROPOUT,
    target: Target | None = None,
    adversary: Adversary | str = Adversary.CURIOUS,
    minimum_contributors: int | None = None,
    modulus_bits: ModulusBits = AUTO,
    weighting: Weighting | str = Weighting.UNIFORM,
    max_weight: float = 1.0,
    compression: float = 1.0,
) -> Averaging:
    """Return a plan for a coordinator: it plans the mean of a round's updates for the cohort of that round.

    Args:
        protocol: The class of the secure sum.
        clip_l2: Bound on the l2 norm of an update, if the work's clip has none of its own.
        adversarial: The fraction of a cohort, in [0, 1), that may collude with the server.
        dropout: The fraction of a cohort, in [0, 1), that is expected to drop out.
        target: The guarantee of all releases together; None for no noise, and so no differential privacy.
        adversary: A server that follows the protocol, or one that does anything. The second needs a roster.
        minimum_contributors: The least number of contributors of a release; by default, see
            `secagg.privacy.contributors.required_contributors`.
        modulus_bits: See `SecureMean.plan`. The offer of a round tells nodes the modulus. For cohorts of equal size
            "auto" chooses equal bits.
        weighting: See `SecureMean.plan`.
        max_weight: See `SecureMean.plan`.
        compression: See `SecureMean.plan`.

    Raises:
        ConfigurationError: `adversary` is not a kind of server. Raised by the plan: there is no roster against a
            malicious server, or the protocol's least number of contributors is not reached.
        ParameterError: Raised by the plan: the protocol has no parameters for such a cohort, or two exact sums of the
            same inputs could differ in one client.
    """
    return Averaging(
        protocol=protocol,
        clip_l2=clip_l2,
        adversarial=adversarial,
        dropout=dropout,
        target=target,
        adversary=check_choice("adversary", adversary, Adversary),
        minimum_contributors=minimum_contributors,
        modulus_bits=modulus_bits,
        weighting=check_choice("weighting", weighting, Weighting),
        max_weight=max_weight,
        compression=compression,
    )
