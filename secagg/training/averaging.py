"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1), its mean taken securely.

In each round every client trains from the global weights, the server moves them by the mean of the clipped updates
(see `secagg.privacy.clipping`), with a learning rate and momentum of its own (FedAvgM: Hsu et al., arXiv 1909.06335),
and the result is what all clients get next. What the server does to a released mean is post-processing: it costs no
privacy. `SecureAveraging` sees only sums; `secagg.training.plain` sees everything and is there to be compared with.
"""

import contextlib
import os
import time
from collections.abc import Iterator

import msgspec

from dp.clipping.adaptive import AdaptiveClip
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
from protocols.crypto.entropy import Entropy
from secagg.aggregation.encoding import Decoded, Weighting
from secagg.aggregation.mean import SecureMean
from secagg.data.columns import Shard
from secagg.engines.base import Engine, PrivateTraining, RoundPlan, RoundResult
from secagg.engines.statistics import SHARED, SharedStatistics, divide_updates
from secagg.errors import ConfigurationError, DataError, UnusableMean
from secagg.models.arrays import ModelArrays
from secagg.models.base import Model
from secagg.privacy.clipping import planned
from secagg.training.model_state import PLAIN_STEP, GlobalModel, ServerStep, adapting_bound, evaluate, measured
from secagg.training.preflight import check_ledger, label_of
from secagg.training.records import RoundRecord, committee_cost, log_round, means


class SecureAveraging:
    """Federated averaging through a secure mean, with a budget ledger where there is noise.

    Args:
        engine: The way to reach the clients.
        model: The model that they train; the server evaluates it.
        test: Examples and targets that rounds are measured on.
        mean: Planned for the engine's clients, and for what `secagg.privacy.clipping.planned` says of `state`'s clip.
        local: What a round of the clients' training costs if they add noise themselves; `mean` then adds none.
        ledger: Needed if and only if there is noise; each release is reserved before any client is asked.
        step: How the server moves what is trained.
        state: Where to start; by default the model's initial weights, and updates clipped as a whole.
        statistics: How running statistics of the model, such as batch normalisation's, take part in averaging; None
            refuses a model that keeps any.
        run: A name of the run for the ledger's labels.
        colluding: How many clients may help the server without breaking the protocol, for the ledger; None if
            that is not known.
        entropy: Randomness of sessions' ids and of noise that the server adds; `os.urandom` outside tests.

    Attributes:
        state: The global model.
        contributors: Whose updates are in the last round's mean; none if nothing was released.
        parts: How trained arrays and running statistics share what a client contributes.

    Raises:
        ConfigurationError: Engine, mean, ledger, model and state do not fit together; a release that the ledger would
            refuse to commit is refused here.
        DataError: The test examples do not fit the model; or, where clients add noise themselves, a client's do not.
        ModelError: The state is not one of the model, training changes nothing of the model, or it keeps statistics
            that are refused.
        UnsafeSession: A party would not take part on these terms.
        dp.errors.LedgerUnavailable: Nothing can be written to the ledger.

    Warns:
        UserWarning: Running statistics get noise, or can hardly move; it tells their share of an update's bound.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        model: Model,
        test: Shard,
        mean: SecureMean,
        local: PrivacyEvent | None = None,
        ledger: Ledger | None = None,
        step: ServerStep = PLAIN_STEP,
        state: GlobalModel | None = None,
        statistics: SharedStatistics | None = SHARED,
        run: str | None = None,
        colluding: int | None = None,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._engine, self._model, self._test, self._mean = engine, model, test, mean
        self._local, self._ledger, self._step = local, ledger, step
        self._run, self._colluding, self._entropy = run, colluding, entropy
        self._check_noise()
        self.state = state or GlobalModel.initial(model)
        self._arrays = _arrays(model, test)
        self._check_plan()
        self.parts = divide_updates(self._arrays, statistics, l2=mean.encoding.clip_l2, mean=mean)
        self.parts.check(self.state.clip)
        self._check_before_anything_is_asked()
        self.contributors: tuple[int, ...] = ()

    def round(self) -> RoundRecord:
        """Run one round and move the global model.

        Where too few clients are left, or noise leaves no mean, the model stays. A client whose training fails ends no
        round (`secagg.simulation.failures`): without noise it drops out; with noise, which is where there is a ledger,
        it takes part with zeros. `RoundRecord.failed` has its reason.

        The release is reserved before any client is asked, since updates may leave clients in the same exchange: a
        round that ends with an error counts as spent.

        Raises:
            dp.errors.BudgetExceeded: The budget does not allow another release; no client has been asked.
            DataError: The training of all clients has failed.
            ModelError: Likewise; or training has diverged, and what was released is spent.
        """
        self.state.check(self._arrays.shapes)
        plan = self._plan(self._entropy(16))
        ticket = self._reserve(plan.number)
        result = self._engine.run(plan)
        begun = time.process_time()
        decoded, withheld = self._decode(plan, result)
        seconds = time.process_time() - begun
        if decoded is not None:
            self._commit(ticket, len(result.contributors))
            self._move(plan, decoded)
        self.state.round = plan.number
        self.contributors = () if decoded is None else result.contributors
        record = self._record(plan, result, decoded=decoded, withheld=withheld, decoding_s=seconds)
        log_round(record)
        return record

    @property
    def _event(self) -> PrivacyEvent | None:
        """What a round costs."""
        return self._local or (None if self._mean.noise is None else self._mean.noise.event)

    def _check_noise(self) -> None:
        mean, local = self._mean, self._local
        if mean.clients != self._engine.clients:
            raise ConfigurationError("the mean was planned for another cohort than the engine's clients")
        if mean.noise is not None and local is not None:
            raise ConfigurationError("noise is either in the clients' training or in the mean, not in both")
        if local is not None and mean.encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "a mean weighted by examples tells their number, which the clients' noise is to hide"
            )
        if (mean.noise is None and local is None) != (self._ledger is None):
            raise ConfigurationError("a ledger is needed exactly where the mean or the clients' training adds noise")
        if not isinstance(self._step, ServerStep):
            raise ConfigurationError(f"step: expected a ServerStep, found {type(self._step).__name__}")

    def _check_plan(self) -> None:
        encoding, clip = self._mean.encoding, self.state.clip
        expected = planned(clip, shapes=self._arrays.travelling, clip_l2=encoding.clip_l2)
        if (encoding.shapes, encoding.clip_l2) != expected:
            raise ConfigurationError("the mean was planned for another model than this one, or another clip")
        if isinstance(clip, AdaptiveClip) and encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError("an adaptive clip counts clients, all alike, and takes a uniform mean")

    def _check_before_anything_is_asked(self) -> None:
        """Make every check that would otherwise come after a sum has been released, or after its cost is reserved."""
        self.state.check(self._arrays.shapes)
        if self._ledger is not None and self._event is not None:
            check_ledger(self._ledger, self._event, mean=self._mean, local=self._local is not None, run=self._run)
        with _naming_test():
            evaluate(self._model, self.state.weights, self._test)
        self._engine.check(self._plan(bytes(16)))

    def _plan(self, session_id: bytes) -> RoundPlan:
        """Return what all parties of the next round are told."""
        training = None
        if self._local is not None and self._ledger is not None:
            training = PrivateTraining(event=self._local, population=self._ledger.budget.population)
        return RoundPlan(
            mean=self._mean,
            session=self._mean.session(session_id, context=self.parts.context(self.state.digest())),
            number=self.state.round + 1,
            weights=self.state.weights,
            clip=self.state.clip,
            parts=self.parts,
            training=training,
        )

    def _reserve(self, number: int) -> int | None:
        if self._ledger is None or self._event is None:
            return None
        return self._ledger.reserve(self._event, label_of(number, self._run), contributors=len(self._mean.clients))

    def _decode(self, plan: RoundPlan, result: RoundResult) -> tuple[Decoded | None, str | None]:
        """Return the mean; or None, and why nothing is released."""
        if result.total is None:
            return None, result.withheld or "the engine gives no reason"
        try:
            decoded = self._mean.decode(
                result.total,
                contributors=len(result.contributors),
                rotation=plan.rotation,
                attached=result.attached,
                entropy=self._entropy,
            )
        except UnusableMean as error:
            return None, str(error)
        return decoded, None

    def _commit(self, ticket: int | None, contributors: int) -> None:
        if self._ledger is None or ticket is None:
            return
        target = self._mean.target
        self._ledger.commit(
            ticket,
            contributors=contributors,
            realised=self._local or self._mean.realised(contributors),
            details=self._details(Trust.LOCAL if target is None else target.trust),
        )

    def _move(self, plan: RoundPlan, decoded: Decoded) -> None:
        """Move the global model by a mean, and adapt the clip."""
        update, following = self.parts.after(plan.clip, decoded.mean, weights=plan.weights)
        self.state.apply(update, self._step, self._arrays.roles)
        self.state.clip = following

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
        plan: RoundPlan,
        result: RoundResult,
        *,
        decoded: Decoded | None,
        withheld: str | None,
        decoding_s: float,
    ) -> RoundRecord:
        loss, accuracy = measured(self._model, self.state, self._test)
        record = RoundRecord(
            round=plan.number,
            accuracy=accuracy,
            loss=loss,
            contributors=0,
            dropped={name: list(clients) for name, clients in result.dropped.items()},
            failed=dict(result.failed),
            clip_bound=adapting_bound(plan.clip),
            withheld=withheld,
            epsilon=None if self._ledger is None else self._ledger.spent().epsilon,
            ledger_head=None if self._ledger is None else self._ledger.head,
        )
        if decoded is None:
            return record
        bound, cost, committee = decoded.rounding_bound, result.cost, self._mean.committee
        sent, received, seconds = means(cost, self._mean.clients)
        return msgspec.structs.replace(
            record,
            contributors=len(result.contributors),
            rounding_bound=None if bound is None else bound * plan.clip.unit / self.parts.factor,
            sent_bytes=sent,
            received_bytes=received,
            client_s=seconds,
            server_s=cost.server_s + decoding_s,
            committee=None if committee is None else committee_cost(cost, committee),
        )


def _arrays(model: Model, test: Shard) -> ModelArrays:
    with _naming_test():
        return ModelArrays.of(model, [test])


@contextlib.contextmanager
def _naming_test() -> Iterator[None]:
    """Say in an error about data that it is the test examples' fault."""
    try:
        yield
    except DataError as error:
        raise DataError(f"test: {error}") from error
