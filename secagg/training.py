"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1), its mean taken securely or in the clear.

In each round every client trains from the global weights, the server moves them by the mean of the clipped updates
(see `secagg.clipping`), with a learning rate and momentum of its own (FedAvgM: Hsu et al., arXiv 1909.06335), and the
result is what all clients get next.  What the server does to a released mean is post-processing: it costs no privacy.
`SecureAveraging` sees only sums; `PlainAveraging` sees everything and is there to be compared with.
"""

import contextlib
import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dp.adaptive import AdaptiveClip
from dp.clip import clip_l2 as clipped
from dp.errors import BudgetExceeded
from dp.events import PrivacyEvent, Trust
from dp.ledger import Ledger
from dp.records import (
    CLIENTS_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    Detail,
)
from protocols import Keyholder, Member, Role
from protocols.errors import TooFewSurvivors
from secagg.checks import check_positive, plain_integer, shown
from secagg.clipping import Clip, GlobalClip, planned
from secagg.cohort import check_consent
from secagg.devices import Devices, Shard
from secagg.encoding import Arrays, Weighting
from secagg.errors import ConfigurationError, DataError, ModelError, TrainingDiverged, UnusableMean
from secagg.failures import DATA_DEPENDENT, departing, train_all
from secagg.mean import Release, SecureMean
from secagg.models.base import ArrayRole
from secagg.preflight import check_ledger, label_of
from secagg.records import LARGEST, RoundRecord, committee_cost, means
from secagg.statistics import SHARED, UpdateParts, chosen_reach, kept_array


@dataclass(frozen=True, slots=True)
class ServerStep:
    """How the server moves the trained arrays by a mean update; running statistics move by the mean itself.

    Attributes:
        learning_rate: Factor on the velocity, a finite number above 0.
        momentum: Factor, in [0, 1), on what is left of the velocity each round; 0 is plain federated averaging.

    Raises:
        ConfigurationError: One of them is out of range.
    """

    learning_rate: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_positive("the server's learning_rate", self.learning_rate)
        momentum = self.momentum
        if isinstance(momentum, bool) or not isinstance(momentum, int | float | np.integer | np.floating):
            raise ConfigurationError(f"the server's momentum: expected a number in [0, 1), found {shown(momentum)}")
        if not 0 <= momentum < 1:
            raise ConfigurationError(f"the server's momentum: expected a number in [0, 1), found {momentum}")


PLAIN_STEP: Final = ServerStep()


@dataclass(slots=True)
class GlobalModel:
    """The weights that everybody shares, the server's velocity, how many rounds made them, and the next one's clip.

    Attributes:
        weights: One float64 array for each of the model's, those included that training never changes.
        velocity: Likewise; zero where no optimizer moves an array.
        round: Rounds done.
        clip: Of the next round's updates.
    """

    weights: Arrays
    velocity: Arrays
    round: int = 0
    clip: Clip = field(default_factory=GlobalClip)

    @classmethod
    def initial(cls, devices: Devices, clip: Clip | None = None) -> "GlobalModel":
        """The model's own initial weights, the same for every client; a clip of updates as a whole by default."""
        weights = [np.array(array, dtype=np.float64) for array in devices.model.get_weights()]
        return cls(weights, [np.zeros_like(array) for array in weights], clip=clip or GlobalClip())

    def apply(self, mean: Arrays, step: ServerStep, roles: Sequence[ArrayRole] | None = None) -> None:
        """Move by a mean update.

        Args:
            mean: One array for each of the model's that travels.
            step: How trained arrays move; running statistics move by the mean itself, and no variance below zero.
            roles: Of all arrays; None where all are trained.

        Raises:
            ModelError: Training has diverged: the result is not finite, and the model has not been moved.
        """
        # numpy turns arrays of no dimension into numbers wherever it computes with them.
        with np.errstate(over="ignore", invalid="ignore"):
            velocity, weights = list(self.velocity), list(self.weights)
            known = roles or (ArrayRole.TRAINED,) * len(weights)
            travelling = [(index, role) for index, role in enumerate(known) if role.travels]
            for (index, role), update in zip(travelling, mean, strict=True):
                if role.is_statistic:
                    velocity[index] = np.zeros_like(velocity[index])
                    weights[index] = kept_array(kept_array(weights[index], role) + update, role)
                else:
                    velocity[index] = step.momentum * velocity[index] + update
                    weights[index] = weights[index] + step.learning_rate * velocity[index]
        if not all(np.isfinite(array).all() for array in weights):
            raise ModelError(_diverged(self.round + 1, "the weights are not finite"))
        self.velocity, self.weights = list(map(np.asarray, velocity)), list(map(np.asarray, weights))

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Make sure that a round can move this state; whether the weights are finite, the model itself looks at.

        Args:
            shapes: Of all of the model's arrays.

        Raises:
            ModelError: It has other shapes, or a velocity that is not finite.
        """
        for name, arrays in (("weights", self.weights), ("velocity", self.velocity)):
            found = [np.shape(array) for array in arrays]
            if found != list(shapes):
                raise ModelError(f"the {name} to start from: expected shapes {list(shapes)}, found {found}")
        if not all(np.isfinite(array).all() for array in self.velocity):
            raise ModelError("the velocity to start from: expected finite entries, found NaN or infinity")

    def digest(self) -> bytes:
        """32 bytes that name these weights, this round and the next one's clip."""
        digest = hashlib.sha256(self.round.to_bytes(8, "big"))
        for array in map(np.asarray, self.weights):
            digest.update(repr(array.shape).encode() + array.tobytes())
        digest.update(msgspec.json.encode(self.clip))
        return digest.digest()


class SecureAveraging:
    """Federated averaging through a secure mean, with a budget ledger where there is noise.

    Args:
        devices: The clients.
        test: Examples and targets that rounds are measured on.
        mean: Planned for these devices' cohort, and for what `secagg.clipping.planned` says of `state`'s clip.
        local: What a round of the devices' training costs where they add noise themselves; `mean` then adds none.
        ledger: Needed exactly where there is noise; each release is reserved before the sum begins, after training.
        step: How the server moves what is trained.
        dropping: How many clients vanish in every round.
        state: Where to start; by default the model's initial weights, and updates clipped as a whole.
        run: A name of the run for the ledger's labels.
        members: Each device's identity and terms; needed exactly where `mean` has a roster.
        keyholders: Each committee member's share and rules; needed exactly where `mean` has a committee.
        colluding: How many clients may help the server without breaking the protocol, for the ledger; None where
            that is not known.

    Attributes:
        state: The global model.
        contributors: Whose updates are in the last round's mean; none where nothing was released.
        parts: How trained arrays and running statistics share what a client contributes.

    Raises:
        ConfigurationError: Mean, ledger, devices, state, members and keyholders do not fit together; a release that the
            ledger would refuse to commit is refused here.
        DataError: The test examples do not fit the model; or, where devices add noise themselves, a client's do not.
        ModelError: The state is not one of the devices' model.
        UnsafeSession: A party would not take part on these terms.
        dp.errors.LedgerUnavailable: Nothing can be written to the ledger.

    Warns:
        UserWarning: Running statistics get noise, or can hardly move; it tells their share of an update's bound.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        test: Shard,
        mean: SecureMean,
        local: PrivacyEvent | None = None,
        ledger: Ledger | None = None,
        step: ServerStep = PLAIN_STEP,
        dropping: int = 0,
        state: GlobalModel | None = None,
        run: str | None = None,
        members: Mapping[int, Member] | None = None,
        keyholders: Mapping[int, Keyholder] | None = None,
        colluding: int | None = None,
    ) -> None:
        if mean.clients != tuple(devices.clients):
            raise ConfigurationError("the mean was planned for another cohort than these devices")
        if mean.noise is not None and local is not None:
            raise ConfigurationError("noise is either in the devices' training or in the mean, not in both")
        if local is not None and mean.encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "a mean weighted by examples tells their number, which the devices' noise is to hide"
            )
        if (mean.noise is None and local is None) != (ledger is None):
            raise ConfigurationError("a ledger is needed exactly where the mean or the devices' training adds noise")
        dropping = plain_integer(dropping)
        if not isinstance(step, ServerStep):
            raise ConfigurationError(f"step: expected a ServerStep, found {type(step).__name__}")
        if type(dropping) is not int or not 0 <= dropping <= len(mean.clients):
            raise ConfigurationError(f"dropping must be an int in [0, {len(mean.clients)}], not {dropping!r}")
        if (mean.roster is None) != (members is None):
            raise ConfigurationError("members are needed exactly where the mean has a roster")
        if (mean.committee is None) != (keyholders is None):
            raise ConfigurationError("keyholders are needed exactly where the mean has a committee")
        self._devices, self._test, self._mean, self._ledger = devices, test, mean, ledger
        self._members, self._keyholders, self._local = members, keyholders, local
        self._step, self._dropping, self._colluding = step, dropping, colluding
        self._run = run
        self.state = state or GlobalModel.initial(devices)
        expected = planned(self.state.clip, shapes=devices.shapes, clip_l2=mean.encoding.clip_l2)
        if (mean.encoding.shapes, mean.encoding.clip_l2) != expected:
            raise ConfigurationError("the mean was planned for another model than these devices', or another clip")
        self.parts = _parts(devices, l2=mean.encoding.clip_l2, mean=mean)
        self.parts.check(self.state.clip)
        if isinstance(self.state.clip, AdaptiveClip) and mean.encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError("an adaptive clip counts clients, all alike, and takes a uniform mean")
        self._check_before_anything_is_asked()
        self.contributors: tuple[int, ...] = ()

    def round(self) -> RoundRecord:
        """Run one round and move the global model.

        Where too few clients are left, or noise leaves no mean, the model stays; a reservation counts as spent.  A
        client whose training fails ends no round (`secagg.failures`): without noise it drops out; with noise, which is
        where there is a ledger, it takes part with zeros.  `RoundRecord.failed` has its reason.

        Raises:
            dp.errors.BudgetExceeded: The budget does not allow another release; nothing has been sent.
            DataError: The training of all clients has failed; nothing has been sent.
            ModelError: Likewise; or training has diverged, and what was released is spent.
        """
        number, devices, mean = self.state.round + 1, self._devices, self._mean
        clip = self.state.clip
        self.state.check(devices.model_shapes)
        updates, reasons = self._train(number)
        failed = set(reasons) - set(updates)
        # Devices are clients: they vanish in rounds that ask clients, and the committee stays.
        asking = [row.name for row in mean.protocol.rounds if row.role is Role.CLIENT]
        drops = devices.drops(number, asking, self._dropping)
        if self._ledger is None:
            drops = departing(drops, failed, protocol=mean.protocol)
        weights = None
        if mean.encoding.weighting is Weighting.WEIGHTED:
            most = mean.encoding.max_weight
            weights = {client: min(float(devices.examples(client)), most) for client in updates}
        ticket = self._reserve(self._event, number)
        release, withheld = None, None
        try:
            release = mean.run(
                updates,
                weights=weights,
                failed=failed,
                members=self._members,
                keyholders=self._keyholders,
                drops=drops,
                context=self.parts.context(self.state.digest()),
                clock=time.process_time,
            )
        except (TooFewSurvivors, UnusableMean) as error:
            withheld = str(error)
        else:
            if ticket is not None:
                self._commit(ticket, release)
            update, following = self.parts.after(clip, release.mean, weights=self.state.weights)
            self.state.apply(update, self._step, devices.roles)
            self.state.clip = following
        self.state.round = number
        self.contributors = () if release is None else release.contributors
        return self._record(release, drops, withheld, clip, reasons)

    @property
    def _event(self) -> PrivacyEvent | None:
        """What a round costs."""
        return self._local or (None if self._mean.noise is None else self._mean.noise.event)

    def _check_before_anything_is_asked(self) -> None:
        """Make every check that would otherwise come after a sum has been released, or after its cost is reserved."""
        devices, mean, ledger, event = self._devices, self._mean, self._ledger, self._event
        self.state.check(devices.model_shapes)
        check_consent(mean.protocol, mean.session(bytes(16)), self._members, self._keyholders)
        if ledger is not None and event is not None:
            check_ledger(ledger, event, mean=mean, devices=devices, local=self._local is not None, run=self._run)
        try:
            evaluate(devices, self.state.weights, self._test)
        except DataError as error:
            raise DataError(f"test: {error}") from error
        if self._local is not None:
            devices.check_examples()

    def _train(self, number: int) -> tuple[dict[int, Arrays], dict[int, str]]:
        """The contributions of a round, and why clients have failed; those have zeros where devices add the noise."""
        clip, encoding = self.state.clip, self._mean.encoding
        # What noised training has computed may be looked at; how an example ends it may not, see check_examples.
        kinds = DATA_DEPENDENT if self._local is None else (TrainingDiverged,)
        try:
            updates, reasons = train_all(
                self._devices,
                self.state.weights,
                number,
                prepare=lambda update: encoding.checked(self.parts.prepare(clip, update, weights=self.state.weights)),
                kinds=kinds,
            )
        except Exception:
            # That noised training has failed is told, and depends on the data; that it was interrupted does not.
            with contextlib.suppress(BudgetExceeded):
                self._reserve(self._local, number)
            raise
        if self._local is not None:
            updates |= {client: [np.zeros(shape) for shape in encoding.shapes] for client in reasons}
        return updates, reasons

    def _reserve(self, event: PrivacyEvent | None, number: int) -> int | None:
        if self._ledger is None or event is None:
            return None
        return self._ledger.reserve(event, label_of(number, self._run), contributors=len(self._mean.clients))

    def _commit(self, ticket: int, release: Release) -> None:
        target = self._mean.target
        trust = Trust.LOCAL if target is None else target.trust
        if self._ledger is not None:
            self._ledger.commit(
                ticket,
                contributors=len(release.contributors),
                realised=self._local or release.realised,
                details=self._details(trust),
            )

    def _details(self, trust: Trust) -> dict[str, Detail]:
        """What a report tells of a release besides its noise: who adds that, and against how many it stands."""
        mean = self._mean
        found: dict[str, Detail] = {
            TRUST_DETAIL: str(trust),
            CLIENTS_DETAIL: len(mean.clients),
            UPDATES_HIDDEN_DETAIL: "yes" if mean.protocol.adversaries else "no",
        }
        if mean.target is not None:
            found[NOISE_COLLUDING_DETAIL] = mean.target.colluding
        if self._colluding is not None:
            found[SUM_COLLUDING_DETAIL] = self._colluding
        return found

    def _record(
        self,
        release: Release | None,
        drops: dict[str, list[int]],
        withheld: str | None,
        clip: Clip,
        failed: dict[int, str],
    ) -> RoundRecord:
        loss, accuracy = _measured(self._devices, self.state, self._test)
        record = RoundRecord(
            round=self.state.round,
            accuracy=accuracy,
            loss=loss,
            contributors=0,
            dropped=drops,
            failed=failed,
            clip_bound=_adapting(clip),
            withheld=withheld,
            epsilon=None if self._ledger is None else self._ledger.spent().epsilon,
            ledger_head=None if self._ledger is None else self._ledger.head,
        )
        if release is None:
            return record
        sent, received, seconds = means(release.cost, self._devices.clients)
        return msgspec.structs.replace(
            record,
            contributors=len(release.contributors),
            rounding_bound=None
            if release.rounding_bound is None
            else release.rounding_bound * clip.unit / self.parts.factor,
            sent_bytes=sent,
            received_bytes=received,
            client_s=seconds,
            server_s=release.cost.server_s,
            committee=None if self._mean.committee is None else committee_cost(release.cost, self._mean.committee),
        )


class PlainAveraging:
    """The same training with the clipped updates averaged in the clear, in float64; it protects nothing.

    Args:
        devices: The clients.
        test: Examples and targets that rounds are measured on.
        clip_l2: Bound on a client's update where it is clipped as a whole.
        max_weight: For a mean weighted by examples, beyond how many a client counts no more; None for a uniform one.
        step: How the server moves the model.
        state: Where to start; by default the model's initial weights, and updates clipped as a whole.

    Attributes:
        state: The global model.
        parts: How trained arrays and running statistics share what a client contributes.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        test: Shard,
        clip_l2: float,
        max_weight: float | None = None,
        step: ServerStep = PLAIN_STEP,
        state: GlobalModel | None = None,
    ) -> None:
        self.state = state or GlobalModel.initial(devices)
        _, self._clip_l2 = planned(self.state.clip, shapes=devices.shapes, clip_l2=clip_l2)
        self.parts = _parts(devices, l2=self._clip_l2, mean=None)
        self.parts.check(self.state.clip)
        self._devices, self._test = devices, test
        self._max_weight, self._step = max_weight, step

    def round(self, contributors: Sequence[int]) -> RoundRecord:
        """Run one round with the updates of these clients, those whose training fails left out.

        Raises:
            DataError: The training of all clients has failed.
            ModelError: Likewise, or training has diverged.
        """
        number, clip, weights = self.state.round + 1, self.state.clip, self.state.weights
        updates, reasons = dict[int, Arrays](), dict[int, str]()
        if contributors:
            trained, reasons = train_all(self._devices, weights, number, prepare=self._prepared)
            updates = {client: update for client, update in trained.items() if client in set(contributors)}
        if updates:
            contributed = plain_mean(updates, clip_l2=self._clip_l2, weight=self._weight)
            mean, following = self.parts.after(clip, contributed, weights=weights)
            self.state.apply(mean, self._step, self._devices.roles)
            self.state.clip = following
        self.state.round = number
        loss, accuracy = _measured(self._devices, self.state, self._test)
        return RoundRecord(
            round=number,
            accuracy=accuracy,
            loss=loss,
            contributors=len(updates),
            failed=reasons,
            clip_bound=_adapting(clip),
        )

    def _prepared(self, update: Arrays) -> Arrays:
        prepared = self.parts.prepare(self.state.clip, update, weights=self.state.weights)
        return list(clipped(prepared, bound=self._clip_l2).arrays)

    def _weight(self, client: int) -> float:
        return 1.0 if self._max_weight is None else min(float(self._devices.examples(client)), self._max_weight)


def plain_mean(updates: dict[int, Arrays], *, clip_l2: float, weight: Callable[[int], float] = lambda _: 1.0) -> Arrays:
    """The weighted mean of the clipped updates, entry by entry, in float64 and in the clear."""
    total = sum(weight(client) for client in updates)
    mean: Arrays = []
    for client, update in updates.items():
        share = [weight(client) / total * array for array in clipped(update, bound=clip_l2).arrays]
        mean = [left + right for left, right in zip(mean, share, strict=True)] if mean else share
    return mean


def evaluate(devices: Devices, weights: Sequence[NDArray[Any]], test: Shard) -> tuple[float, float]:
    """Loss and accuracy of these weights."""
    devices.model.set_weights(weights)
    metrics = devices.model.evaluate(*test)
    return metrics.loss, metrics.accuracy


def _measured(devices: Devices, state: GlobalModel, test: Shard) -> tuple[float, float]:
    loss, accuracy = evaluate(devices, state.weights, test)
    if not abs(loss) <= LARGEST:
        raise ModelError(_diverged(state.round, f"the loss is {loss:g}"))
    return loss, accuracy


def _parts(devices: Devices, *, l2: float, mean: SecureMean | None) -> UpdateParts:
    """How trained arrays and statistics share a contribution; what may ruin the statistics is told."""
    shapes = zip(devices.shapes, (role for role in devices.roles if role.travels), strict=True)
    entries = sum(math.prod(shape) for shape, role in shapes if role.is_statistic)
    statistics = devices.statistics or SHARED
    reach = chosen_reach(statistics, mean=mean, entries=entries)
    parts = UpdateParts(roles=devices.roles, l2=l2, share=statistics.share, reach=reach, entries=entries)
    if entries and mean is not None and (mean.noise is not None or reach < 1):
        warnings.warn(
            f"{parts.in_words(mean)}. Where that does not do, use layer normalisation, freeze these layers, or take "
            "more clients.",
            stacklevel=3,
        )
    return parts


def _adapting(clip: Clip) -> float | None:
    return clip.bound if isinstance(clip, AdaptiveClip) else None


def _diverged(number: int, found: str) -> str:
    return (
        f"training has diverged in round {number}: {found}; a smaller learning rate or server learning rate, or less "
        "noise, may help"
    )
