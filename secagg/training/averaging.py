"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1), its mean taken securely or in the clear.

In each round every client trains from the global weights, the server moves them by the mean of the clipped updates
(see `secagg.privacy.clipping`), with a learning rate and momentum of its own (FedAvgM: Hsu et al., arXiv 1909.06335),
and the result is what all clients get next.  What the server does to a released mean is post-processing: it costs no
privacy. `SecureAveraging` sees only sums; `secagg.training.plain` sees everything and is there to be compared with.
"""

import contextlib
import time
from collections.abc import Mapping

import msgspec
import numpy as np

from dp.clipping.adaptive import AdaptiveClip
from dp.errors import BudgetExceeded
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
from protocols import Keyholder, Member, Role
from protocols.errors import TooFewSurvivors
from secagg.aggregation.encoding import Arrays, Weighting
from secagg.aggregation.mean import Release, SecureMean
from secagg.checks import plain_integer
from secagg.engines.cohort import check_consent
from secagg.errors import ConfigurationError, DataError, TrainingDiverged, UnusableMean
from secagg.privacy.clipping import Clip, planned
from secagg.simulation.devices import Devices, Shard
from secagg.simulation.failures import DATA_DEPENDENT, departing, train_all
from secagg.training.model_state import PLAIN_STEP, GlobalModel, ServerStep, adapting_bound, evaluate, measured
from secagg.training.preflight import check_ledger, label_of
from secagg.training.records import RoundRecord, committee_cost, log_round, means


class SecureAveraging:
    """Federated averaging through a secure mean, with a budget ledger where there is noise.

    Args:
        devices: The clients.
        test: Examples and targets that rounds are measured on.
        mean: Planned for these devices' cohort, and for what `secagg.privacy.clipping.planned` says of `state`'s clip.
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
        self.parts = devices.update_parts(l2=mean.encoding.clip_l2, mean=mean)
        self.parts.check(self.state.clip)
        if isinstance(self.state.clip, AdaptiveClip) and mean.encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError("an adaptive clip counts clients, all alike, and takes a uniform mean")
        self._check_before_anything_is_asked()
        self.contributors: tuple[int, ...] = ()

    def round(self) -> RoundRecord:
        """Run one round and move the global model.

        Where too few clients are left, or noise leaves no mean, the model stays; a reservation counts as spent.  A
        client whose training fails ends no round (`secagg.simulation.failures`): without noise it drops out; with
        noise, which is where there is a ledger, it takes part with zeros.  `RoundRecord.failed` has its reason.

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
        record = self._record(release, drops, withheld, clip, reasons)
        log_round(record)
        return record

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
        loss, accuracy = measured(self._devices, self.state, self._test)
        record = RoundRecord(
            round=self.state.round,
            accuracy=accuracy,
            loss=loss,
            contributors=0,
            dropped=drops,
            failed=failed,
            clip_bound=adapting_bound(clip),
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
