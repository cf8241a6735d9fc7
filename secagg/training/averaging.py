"""Federated averaging (McMahan et al., arXiv 1602.05629, algorithm 1) with a secure mean.

In each round every client trains from the global weights. The server moves them by the mean of the clipped updates (see
`secagg.privacy.clipping`), with a learning rate and momentum of its own (FedAvgM: Hsu et al., arXiv 1909.06335). All
clients start the next round from the result. What the server does to a released mean is post-processing: it costs no
privacy. `SecureAveraging` sees only sums. `secagg.training.plain` sees every update and serves as a comparison.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from dp.clipping.adaptive import AdaptiveClip
from dp.events import PrivacyEvent
from dp.ledger.ledger import Ledger
from dp.ledger.records import MODEL_DETAIL, VELOCITY_DETAIL, Detail
from protocols.crypto.entropy import Entropy
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.weighting import Weighting
from secagg.data.columns import Shard
from secagg.engines.base import Engine, PrivateTraining, Release, RoundResult
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.statistics import SHARED, SharedStatistics, divide_updates
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError, DataError, NothingReleased
from secagg.models.arrays import ModelArrays
from secagg.models.base import Model
from secagg.privacy.clipping import Clip, planned
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts, Drawn
from secagg.training.model_state import PLAIN_STEP, GlobalModel, ServerStep, adapting_bound, evaluate, measured
from secagg.training.records import MemberComplaint, RoundRecord, committee_cost, log_round, means


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
        cohorts: Draws the clients of each round; None if every round asks the clients of `mean`. With a ledger, the
            draws go on from what the ledger has counted.
        mean_of: Returns the mean of the clients that were drawn; by default `mean.for_clients`.
        step: How the server moves the trained arrays.
        state: The state to start from; by default the model's initial weights, and updates clipped as a whole.
        statistics: How running statistics of the model, such as batch normalisation's, take part in averaging; None
            refuses a model that keeps any.
        run: The name of the run in the ledger's labels.
        colluding: How many clients may help the server without breaking the protocol, for the ledger; None if
            that is not known.
        folder: The folder of a `secagg.engines.server.coordinator.Coordinator`, which an engine between processes
            needs; `close` lets it go. None if nothing is to be kept.
        members: The ids of the committee's members, in the order of their key shares, if there is a folder.
        entropy: Randomness for session ids and for noise that the server adds; `os.urandom` outside tests.

    Attributes:
        state: The global model; every round puts another object in its place.
        contributors: The clients whose updates are in the last round's mean; none if nothing was released.
        asked: The clients that were asked for their updates in the last round.
        parts: How trained arrays and running statistics share what a client contributes.

    Raises:
        ConfigurationError: Engine, mean, ledger, cohorts, model and state do not fit together; this includes any
            release that the ledger would refuse to commit.
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
        cohorts: Cohorts | None = None,
        mean_of: Callable[[Drawn], SecureMean] | None = None,
        step: ServerStep = PLAIN_STEP,
        state: GlobalModel | None = None,
        statistics: SharedStatistics | None = SHARED,
        run: str | None = None,
        colluding: int | None = None,
        folder: str | Path | None = None,
        members: Sequence[int] = (),
        entropy: Entropy = os.urandom,
    ) -> None:
        self._engine, self._model, self._test, self._mean, self._step = engine, model, test, mean, step
        if not isinstance(step, ServerStep):
            raise ConfigurationError(f"step: expected a ServerStep, found {type(step).__name__}")
        self._cohorts, self._mean_of = cohorts, mean_of or (lambda drawn: mean.for_clients(drawn.clients))
        self._planned = mean
        self._coordinator = Coordinator(
            folder,
            lambda *_: self._planned,
            ledger=ledger,
            training=_private(local, ledger),
            run=run,
            colluding=colluding,
            members=members,
            entropy=entropy,
        )
        self._ledger = ledger
        self.contributors: tuple[int, ...] = ()
        self.asked: tuple[int, ...] = ()
        try:
            self.state = state or GlobalModel.initial(model)
            self._arrays = _arrays(model, test)
            self._check_plan()
            self.parts = divide_updates(self._arrays, statistics, l2=mean.encoding.clip_l2, mean=mean)
            self.parts.check(self.state.clip)
            self._check_before_anything_is_asked()
            _check_sample(mean, cohorts)
            if cohorts is not None:
                _go_on(cohorts, ledger, rounds=self.state.round)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the coordinator's folder go, if there is one; closing twice is harmless."""
        self._coordinator.close()

    def round(self) -> RoundRecord:
        """Run one round and move the global model.

        If too few clients remain, or noise leaves no mean, the model stays as it is. A client whose training fails does
        not end the round (`secagg.simulation.failures`). Without noise (and so without a ledger) it drops out; with
        noise it takes part with zeros. `RoundRecord.failed` states the reason.

        The release is reserved before any client is asked, because clients may send updates in that same exchange. So a
        round that ends with an error counts as spent.

        Raises:
            CohortsExhausted: Too few clients are below the cap; no client has been asked.
            dp.errors.BudgetExceeded: The budget does not allow another release; no client has been asked.
            DataError: The training of all clients has failed.
            ModelError: The training of all clients has failed; or training has diverged, and the cost of the release is
                spent.
            EngineError: The engine's result is not that of such a round; the model is unchanged, and the cost is spent.
        """
        self.state.check(self._arrays.shapes)
        work, withheld = self._work(), None
        try:
            release = self._coordinator.run(work, self._draw, self._engine, details=self._details)
        except NothingReleased as error:
            found: Release | RoundResult = error.result
            withheld = error.reason
            self.state, self.contributors = replace(self.state, round=work.round), ()
        else:
            found = release
            self.state, self.contributors = self._moved(release), release.contributors
        # The caller keeps its checkpoint after this round, so the one before is the last that it may come back to.
        self._coordinator.forget(work.round - 1)
        record = self._record(work.clip, found, withheld=withheld)
        log_round(record)
        return record

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
        with _naming_test():
            evaluate(self._model, self.state.weights, self._test)
        self._coordinator.check(self._work(), self._mean.clients, self._engine)

    def _draw(self) -> Sequence[int]:
        """Draw the clients of the next attempt, and plan their mean."""
        if self._cohorts is None:
            self.asked = self._mean.clients
            return self.asked
        drawn = self._cohorts.next(self.state.round + 1)
        self.asked, self._planned = drawn.clients, self._mean_of(drawn)
        return drawn.asked

    def _work(self) -> Work:
        """Return what the clients of the next round train on."""
        return Work(
            self._coordinator.run_id,
            self.state.round + 1,
            self.state.weights,
            clip=self.state.clip,
            parts=self.parts,
        )

    def _details(self, release: Release) -> Mapping[str, Detail]:
        """Return the digests of what a release makes of the global model.

        Raises:
            ModelError: Training has diverged, so that no model can be moved by the release.
        """
        following = self._moved(release)
        return {MODEL_DETAIL: following.digest().hex(), VELOCITY_DETAIL: following.velocity_digest().hex()}

    def _moved(self, release: Release) -> GlobalModel:
        """Return the global model moved by a mean, with the next round's clip; the present one stays as it is."""
        update, clip = self.parts.after(self.state.clip, release.mean, weights=self.state.weights)
        following = replace(self.state)
        following.apply(update, self._step, self._arrays.roles)
        following.round, following.clip = self.state.round + 1, clip
        return following

    def _record(self, clip: Clip, found: Release | RoundResult, *, withheld: str | None) -> RoundRecord:
        """Return the record of a round, from its release, or from the result without one."""
        loss, accuracy = measured(self._model, self.state, self._test)
        sample, spent = self._mean.sample, None if self._ledger is None else self._ledger.spent()
        record = RoundRecord(
            round=self.state.round,
            accuracy=accuracy,
            loss=loss,
            contributors=0,
            asked=None if self._cohorts is None else self._cohorts.cohort,
            dropped={name: list(clients) for name, clients in found.dropped.items()},
            failed=dict(found.failed),
            clip_bound=adapting_bound(clip),
            withheld=withheld,
            epsilon=None if spent is None else spent.epsilon,
            claim=None if spent is None else spent.claim,
            used=None if spent is None else spent.used,
            ledger_head=None if self._ledger is None else self._ledger.head,
        )
        if not isinstance(found, Release):
            return record
        if sample is not None:  # Neither how many were drawn may be known, nor what depends on it.
            return msgspec.structs.replace(record, contributors=sample.expected, verified=found.findings.verified)
        bound, cost, committee = found.rounding_bound, found.cost, self._mean.committee
        sent, received, seconds = means(cost, self._planned.clients)
        return msgspec.structs.replace(
            record,
            contributors=len(found.contributors),
            rounding_bound=None if bound is None else bound * clip.unit / self.parts.factor,
            sent_bytes=sent,
            received_bytes=received,
            client_s=seconds,
            server_s=cost.server_s,
            committee=None if committee is None else committee_cost(cost, committee),
            verified=found.findings.verified,
            culprits=sorted(found.findings.culprits),
            complaints=[
                MemberComplaint(member=each.member, client=each.client, reason=each.reason)
                for each in found.findings.complaints
            ],
        )


def _check_sample(mean: SecureMean, cohorts: Cohorts | None) -> None:
    """Refuse draws that are not those of the mean's event, which is amplified if it is planned for a secret sample.

    Raises:
        ConfigurationError: They are not.
    """
    drawn = None if cohorts is None or cohorts.draw is not Draw.POISSON else (cohorts.cohort, cohorts.clients)
    planned_for = None if mean.sample is None else (mean.sample.expected, mean.sample.population)
    if drawn != planned_for:
        words = ["no secret sample" if each is None else f"{each[0]} of {each[1]}" for each in (planned_for, drawn)]
        raise ConfigurationError(
            f"cohorts: expected those of the mean's sample ({words[0]}), found others ({words[1]}). Plan the mean for "
            "a sample if and only if clients are drawn in secret, with the same numbers."
        )


def _go_on(cohorts: Cohorts, ledger: Ledger | None, *, rounds: int) -> None:
    """Let the draws of a run go on from what was asked before.

    Raises:
        ConfigurationError: The ledger counts no clients, or another number of them, or has another cap.
    """
    if ledger is None:
        cohorts.repeat(rounds)
        return
    budget = ledger.budget
    if budget.participation is None or (budget.clients, budget.participation.cap) != (cohorts.clients, cohorts.cap):
        raise ConfigurationError(
            f"ledger: expected one with a participation of {cohorts.clients} clients and a cap of {cohorts.cap}, found "
            "another one. Make it with Ledger.create(..., participation=Participation(...))."
        )
    cohorts.go_on(ledger.rounds_by_client(), turn=len(ledger.entries()))


def _private(local: PrivacyEvent | None, ledger: Ledger | None) -> PrivateTraining | None:
    """Return what the clients' training guarantees; its population is the ledger's, without which it is refused."""
    if local is None:
        return None
    return PrivateTraining(event=local, population=0 if ledger is None else ledger.budget.population)


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
