"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1) with a secure mean.

In each round every client trains from the global weights. The server moves them by the mean of the clipped updates (see
`secagg.privacy.clipping`), with a learning rate and momentum of its own (FedAvgM: Hsu et al., arXiv 1909.06335). All
clients start the next round from the result. What the server does to a released mean is post-processing: it costs no
privacy. `SecureAveraging` sees only sums. `secagg.training.plain` sees every update and serves as a comparison.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace

import msgspec

from dp.clipping.adaptive import AdaptiveClip
from dp.events import PrivacyEvent, Trust
from dp.ledger.ledger import Ledger
from dp.ledger.records import (
    CLIENTS_DETAIL,
    MODEL_DETAIL,
    NOISE_COLLUDING_DETAIL,
    SUM_COLLUDING_DETAIL,
    TRUST_DETAIL,
    UPDATES_HIDDEN_DETAIL,
    VELOCITY_DETAIL,
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
from secagg.training.engine_result import checked_result
from secagg.training.model_state import PLAIN_STEP, GlobalModel, ServerStep, adapting_bound, evaluate, measured
from secagg.training.preflight import check_ledger, label_of
from secagg.training.records import RoundRecord, committee_cost, log_round, means


class SecureAveraging:
    """Federated averaging through a secure mean, with a budget ledger if there is noise.

    Args:
        engine: The way to reach the clients.
        model: The model that they train; the server evaluates it.
        test: Examples and targets on which the model is evaluated after each round.
        mean: Planned for the engine's clients, and for the shapes and the bound that `secagg.privacy.clipping.planned`
            returns for the clip of `state`.
        local: The privacy cost of a round of the clients' training if they add noise while they train; `mean` then adds
            none.
        ledger: Needed if and only if there is noise; each release is reserved before any client is asked.
        step: How the server moves the trained arrays.
        state: The state to start from; by default the model's initial weights, and updates clipped as a whole.
        statistics: How running statistics of the model, such as batch normalisation's, take part in averaging; None
            refuses a model that keeps any.
        run: The name of the run in the ledger's labels.
        colluding: How many clients may help the server without breaking the protocol, for the ledger; None if
            that is not known.
        entropy: Randomness for session ids and for noise that the server adds; `os.urandom` outside tests.

    Attributes:
        state: The global model; every round puts another object in its place.
        contributors: The clients whose updates are in the last round's mean; none if nothing was released.
        parts: How trained arrays and running statistics share what a client contributes.

    Raises:
        ConfigurationError: Engine, mean, ledger, model and state do not fit together; this includes any release that
            the ledger would refuse to commit.
        DataError: The test examples do not fit the model; or clients add noise while they train, and the examples of
            one of them do not fit.
        ModelError: The state does not fit the model, the model has no trained arrays, or it keeps statistics although
            `statistics` is None.
        UnsafeSession: A party refuses to take part on these terms.
        dp.errors.LedgerUnavailable: The ledger cannot be written to.

    Warns:
        UserWarning: Running statistics get noise, or their reach is below 1; the warning states their share of an
            update's bound.
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

        If too few clients remain, or noise leaves no mean, the model stays as it is. A client whose training fails does
        not end the round (`secagg.simulation.failures`). Without noise (and so without a ledger) it drops out; with
        noise it takes part with zeros. `RoundRecord.failed` states the reason.

        The release is reserved before any client is asked, because clients may send updates in that same exchange. So a
        round that ends with an error counts as spent.

        Raises:
            dp.errors.BudgetExceeded: The budget does not allow another release; no client has been asked.
            DataError: The training of all clients has failed.
            ModelError: The training of all clients has failed; or training has diverged, and the cost of the release is
                spent.
            EngineError: The engine's result is not that of such a round; the model is unchanged, and the cost is spent.
        """
        self.state.check(self._arrays.shapes)
        plan = self._plan(self._entropy(16))
        ticket = self._reserve(plan.number)
        result = checked_result(plan, self._engine.run(plan))
        begun = time.process_time()
        decoded, withheld = self._decode(plan, result)
        seconds = time.process_time() - begun
        if decoded is None:
            self.state = replace(self.state, round=plan.number)
        else:
            self.state = self._committed(ticket, plan, decoded, contributors=len(result.contributors))
        self.contributors = () if decoded is None else result.contributors
        record = self._record(plan, result, decoded=decoded, withheld=withheld, decoding_s=seconds)
        log_round(record)
        return record

    @property
    def _event(self) -> PrivacyEvent | None:
        """The privacy cost of a round; None without noise."""
        return self._local or (None if self._mean.noise is None else self._mean.noise.event)

    def _check_noise(self) -> None:
        mean, local = self._mean, self._local
        if mean.clients != self._engine.clients:
            raise ConfigurationError(
                "mean: expected one planned for the engine's clients, found one for another cohort. Plan it with "
                "clients=engine.clients."
            )
        if mean.noise is not None and local is not None:
            raise ConfigurationError(
                "noise: expected it in the clients' training or in the mean, found it in both. To protect single "
                "examples, plan the mean without a target. To protect whole clients, train without local noise."
            )
        if local is not None and mean.encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "weighting: expected a uniform mean if the clients' training adds the noise, found one weighted by "
                "examples, which reveals their number. Plan the mean with Weighting.UNIFORM."
            )
        if (mean.noise is None and local is None) != (self._ledger is None):
            raise ConfigurationError(
                "ledger: expected one if and only if the mean or the clients' training adds noise, found "
                + ("noise and no ledger" if self._ledger is None else "a ledger and no noise")
            )
        if not isinstance(self._step, ServerStep):
            raise ConfigurationError(f"step: expected a ServerStep, found {type(self._step).__name__}")

    def _check_plan(self) -> None:
        encoding, clip = self._mean.encoding, self.state.clip
        expected = planned(clip, shapes=self._arrays.travelling, clip_l2=encoding.clip_l2)
        if (encoding.shapes, encoding.clip_l2) != expected:
            raise ConfigurationError(
                "mean: expected one planned for this model and this clip, found other shapes or another bound. Plan it "
                "with the shapes and the bound that secagg.privacy.clipping.planned returns."
            )
        if isinstance(clip, AdaptiveClip) and encoding.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "weighting: expected a uniform mean for an adaptive clip, which counts all clients alike, found a "
                "weighted one. Plan the mean with Weighting.UNIFORM, or use another clip."
            )

    def _check_before_anything_is_asked(self) -> None:
        """Make every check that otherwise would fail only after a cost is reserved or a sum is released."""
        self.state.check(self._arrays.shapes)
        if self._ledger is not None and self._event is not None:
            check_ledger(self._ledger, self._event, mean=self._mean, local=self._local is not None, run=self._run)
        with _naming_test():
            evaluate(self._model, self.state.weights, self._test)
        self._engine.check(self._plan(bytes(16)))

    def _plan(self, session_id: bytes) -> RoundPlan:
        """Return the plan of the next round, which all parties are told."""
        training = None
        if self._local is not None and self._ledger is not None:
            training = PrivateTraining(event=self._local, population=self._ledger.budget.population)
        return RoundPlan(
            mean=self._mean,
            session=self._mean.session(session_id, context=self.parts.context(self.state.digest())),
            number=self.state.round + 1,
            weights=[array.copy() for array in self.state.weights],  # The engine may change its own.
            clip=self.state.clip,
            parts=self.parts,
            training=training,
        )

    def _reserve(self, number: int) -> int | None:
        if self._ledger is None or self._event is None:
            return None
        return self._ledger.reserve(self._event, label_of(number, self._run), contributors=len(self._mean.clients))

    def _decode(self, plan: RoundPlan, result: RoundResult) -> tuple[Decoded | None, str | None]:
        """Return the mean and None; or None and the reason why nothing is released."""
        if result.total is None:
            return None, result.withheld
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

    def _committed(self, ticket: int | None, plan: RoundPlan, decoded: Decoded, *, contributors: int) -> GlobalModel:
        """Return the global model after a release, once the ledger has recorded the release and that model.

        A mean that no model can be moved by has been released all the same. So its commitment names no model.

        Raises:
            ModelError: Training has diverged; the release is committed.
        """
        try:
            following = self._moved(plan, decoded)
        except Exception:
            self._commit(ticket, contributors, None)
            raise
        self._commit(ticket, contributors, following)
        return following

    def _moved(self, plan: RoundPlan, decoded: Decoded) -> GlobalModel:
        """Return the global model moved by a mean, with the next round's clip; the present one stays as it is."""
        update, clip = self.parts.after(plan.clip, decoded.mean, weights=self.state.weights)
        following = replace(self.state)
        following.apply(update, self._step, self._arrays.roles)
        following.round, following.clip = plan.number, clip
        return following

    def _commit(self, ticket: int | None, contributors: int, following: GlobalModel | None) -> None:
        if self._ledger is None or ticket is None:
            return
        target = self._mean.target
        details = self._details(Trust.LOCAL if target is None else target.trust)
        if following is not None:
            details |= {
                MODEL_DETAIL: following.digest().hex(),
                VELOCITY_DETAIL: following.velocity_digest().hex(),
            }
        self._ledger.commit(
            ticket,
            contributors=contributors,
            realised=self._local or self._mean.realised(contributors),
            details=details,
        )

    def _details(self, trust: Trust) -> dict[str, Detail]:
        """Return what the ledger records of a release besides its noise: who adds it, and how many may collude."""
        mean = self._mean
        found: dict[str, Detail] = {
            TRUST_DETAIL: str(trust),
            CLIENTS_DETAIL: len(mean.clients),
            UPDATES_HIDDEN_DETAIL: "yes" if mean.protocol.protects else "no",
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
    """Name the test examples in every `DataError` that the block raises."""
    try:
        yield
    except DataError as error:
        raise DataError(f"test: {error}") from error
