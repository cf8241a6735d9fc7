"""What one attempt at a round did, for the operator of a coordinator: one line of JSON, or Prometheus metrics.

A report holds what the server knows anyway: counts, bytes, seconds, codes of refusals and ids of proven culprits. It
holds no message, no update and no mean.
"""

import os
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from dp.accounting.guarantee import Claim
from secagg.engines.base import RoundPlan, RoundResult, StepFigures
from secagg.errors import MissingExtraError
from secagg.logger import LOGGER


class RoundOutcome(StrEnum):
    """How an attempt at a round has ended."""

    RELEASED = "released"
    """There is a mean."""

    WITHHELD = "withheld"
    """There is none: too few parties are left, or noise left no mean."""

    FAILED = "failed"
    """An error has ended it, such as replies that together show misbehaviour."""


class ReportedPrivacy(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger guarantees after an attempt.

    Attributes:
        epsilon: The epsilon that is guaranteed: what was spent, or the whole budget, as `claim` says; may be infinite.
        claim: Whether `epsilon` is what was spent or the budget.
        used: The part of the budget that is used: of a filter's limit or, without a filter, of its epsilon.
    """

    epsilon: float
    claim: Claim
    used: float


class RoundReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt at a round did.

    Attributes:
        run: The name of the run.
        round: The number of the round.
        serial: The number of the attempt, among all of the coordinator.
        session: The session's id, in hexadecimal.
        protocol: The name of the protocol.
        outcome: How it has ended.
        reason: Why there is no mean; the class of the error if one has ended it; None if there is a mean.
        clients: The number of clients of the session.
        contributors: The number of updates in the mean; 0 without one.
        server_s: Seconds of the server's own work, as far as they are known.
        steps: The figures of each step; none in memory.
        culprits: Parties that were found to have broken the protocol, ascending.
        privacy: What the ledger guarantees after it; None without noise.
    """

    run: str
    round: int
    serial: int
    session: str
    protocol: str
    outcome: RoundOutcome
    reason: str | None
    clients: int
    contributors: int
    server_s: float
    steps: tuple[StepFigures, ...]
    culprits: tuple[int, ...]
    privacy: ReportedPrivacy | None

    @classmethod
    def of(
        cls,
        plan: RoundPlan,
        result: RoundResult,
        outcome: RoundOutcome,
        reason: str | None,
        *,
        culprits: Iterable[int],
        privacy: ReportedPrivacy | None,
    ) -> "RoundReport":
        """Return the report of an attempt, from its plan and what came back."""
        return cls(
            run=plan.work.run,
            round=plan.number,
            serial=plan.serial,
            session=plan.session.session_id.hex(),
            protocol=plan.mean.protocol.name,
            outcome=outcome,
            reason=reason,
            clients=len(plan.mean.clients),
            contributors=len(result.contributors) if outcome is RoundOutcome.RELEASED else 0,
            server_s=result.cost.server_s,
            steps=result.steps,
            culprits=tuple(sorted(culprits)),
            privacy=privacy,
        )


Observer = Callable[[RoundReport], None]
"""Called after each attempt at a round."""


def tell(observers: Iterable[Observer], report: RoundReport) -> None:
    """Call each observer; one that fails is logged by the class of its error, and changes nothing."""
    for observer in observers:
        try:
            observer(report)
        except Exception as error:  # noqa: BLE001  # Whatever it does, the round is as it is.
            LOGGER.warning("an observer of rounds has failed: %s", type(error).__name__)


class JsonLines:
    """An observer that appends each report to a file as one line of JSON, which only its owner can read.

    Args:
        path: The file; made if there is none.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        os.close(self._opened())

    def __call__(self, report: RoundReport) -> None:
        """Append a report."""
        descriptor = self._opened()
        try:
            os.write(descriptor, msgspec.json.encode(report) + b"\n")
        finally:
            os.close(descriptor)

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Metrics:
    """An observer that keeps Prometheus metrics; it needs the extra `metrics`.

    Args:
        registry: A `prometheus_client.CollectorRegistry`; None makes a new one.

    Attributes:
        registry: The registry, to be served by `prometheus_client.start_http_server` or another exporter.

    Raises:
        MissingExtraError: prometheus-client is not installed.
    """

    def __init__(self, registry: Any = None) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError:
            raise MissingExtraError("prometheus_client", "metrics") from None
        self.registry = prometheus.CollectorRegistry() if registry is None else registry
        self._write: Callable[[Any], bytes] = prometheus.generate_latest
        named: dict[str, Any] = {"registry": self.registry}
        self._rounds = prometheus.Counter("secagg_rounds", "Attempts at rounds.", ["outcome"], **named)
        self._steps = prometheus.Histogram("secagg_step_seconds", "Seconds of a step.", ["protocol", "step"], **named)
        self._sent = prometheus.Counter("secagg_sent_bytes", "Bytes of requests.", ["step"], **named)
        self._received = prometheus.Counter("secagg_received_bytes", "Bytes of replies.", ["step"], **named)
        self._dropped = prometheus.Counter("secagg_dropped", "Parties missing from a step.", ["step"], **named)
        self._refused = prometheus.Counter("secagg_refused", "Replies missing, by reason.", ["step", "reason"], **named)
        self._contributors = prometheus.Gauge("secagg_contributors", "Updates in the last mean.", **named)
        self._epsilon = prometheus.Gauge(
            "secagg_epsilon", "Epsilon guaranteed: what was spent, or the whole budget.", ["claim"], **named
        )
        self._used = prometheus.Gauge("secagg_budget_used_ratio", "Part of the privacy budget that is used.", **named)

    def __call__(self, report: RoundReport) -> None:
        """Count a report."""
        self._rounds.labels(report.outcome).inc()
        for step in report.steps:
            self._steps.labels(report.protocol, step.step).observe(step.seconds)
            self._sent.labels(step.step).inc(step.sent_bytes)
            self._received.labels(step.step).inc(step.received_bytes)
            self._dropped.labels(step.step).inc(step.asked - step.answered)
            for reason, count in step.refused.items():
                self._refused.labels(step.step, reason).inc(count)
        if report.outcome is RoundOutcome.RELEASED:
            self._contributors.set(report.contributors)
        if report.privacy is not None:
            self._epsilon.labels(report.privacy.claim).set(report.privacy.epsilon)
            self._used.set(report.privacy.used)

    def text(self) -> str:
        """Return the metrics in the text format of Prometheus."""
        return self._write(self.registry).decode()
