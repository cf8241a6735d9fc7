"""Checks of what an engine brings back from a round, before any of it is released, recorded or shown.

An engine may be somebody else's, and wrong. The ledger states the noise of the contributors that the engine names, so
each must be a client of the round, and be named once. A coordinator checks a result after the cost was reserved, and
before anything is released: a refused result leaves the model as it was, and the cost spent.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from dp.checks import printable
from protocols import Cost, Secret
from protocols.session import ATTACHED_BYTES
from secagg.checks import LARGEST, listed, shown
from secagg.engines.base import RoundPlan, RoundResult
from secagg.errors import EngineError

_NO_REASON: Final = "the engine gives no reason"
_ADVICE: Final = "Mend the engine. What was reserved for this round stays spent."


def checked_result(plan: RoundPlan, result: object) -> RoundResult:
    """Return a round's result with texts that can be shown, after every check that needs no decoding.

    Args:
        plan: The plan that the engine was given.
        result: What the engine returned.

    Raises:
        EngineError: It is not the result of a round with this plan.
    """
    if not isinstance(result, RoundResult):
        raise _error("result", "a RoundResult", type(result).__name__)
    if result.withheld is not None and not isinstance(result.withheld, str):
        raise _error("withheld", "a text or None", type(result.withheld).__name__)
    if result.total is None:
        reason = printable(result.withheld or "") or _NO_REASON
        result = replace(result, withheld=reason, contributors=(), attached={})
    elif result.withheld is not None:
        raise _error("result", "a total or a reason why there is none", "both")
    else:
        _check_total(plan, result.total)
        _check_contributors(plan, result.contributors)
        _check_attached(plan, result)
    _check_cost(result.cost)
    return replace(result, dropped=_dropped(plan, result.dropped), failed=_failed(plan, result.failed))


def _check_total(plan: RoundPlan, total: object) -> None:
    length, modulus = plan.session.length, plan.session.modulus
    expected = f"a NumPy array of shape ({length},), dtype uint64 and entries below {modulus}"
    if type(total) is not np.ndarray:
        raise _error("total", expected, type(total).__name__)
    if total.shape != (length,) or total.dtype != np.uint64:
        raise _error("total", expected, f"shape {total.shape} and dtype {total.dtype}")
    if int(total.max()) >= modulus:
        raise _error("total", expected, "an entry that is not below it")


def _check_contributors(plan: RoundPlan, contributors: object) -> None:
    least = plan.mean.minimum_contributors
    if type(contributors) is not tuple or any(type(each) is not int for each in contributors):
        raise _error("contributors", "a tuple of ints", "another value")
    unknown = set(contributors) - set(plan.mean.clients)
    if unknown:
        raise _error("contributors", "clients of the round", listed(sorted(unknown)))
    if list(contributors) != sorted(set(contributors)):
        raise _error("contributors", "each once, in ascending order", "another order, or one of them twice")
    if len(contributors) < least:
        raise _error("contributors", f"at least {least}, the least number of a release", str(len(contributors)))


def _check_attached(plan: RoundPlan, result: RoundResult) -> None:
    attached: object = result.attached
    if not isinstance(attached, Mapping) or not set(attached) <= set(result.contributors):
        raise _error("attached", "a mapping from contributors to their secrets", "another value")
    count = len(plan.session.attached)
    for secrets in attached.values():
        if not isinstance(secrets, list | tuple) or len(secrets) != count or not all(map(_is_opened, secrets)):
            raise _error(
                "attached", f"for each contributor, {count} times a Secret of {ATTACHED_BYTES} bytes or None", "others"
            )


def _is_opened(secret: object) -> bool:
    return secret is None or (type(secret) is Secret and len(secret.reveal()) == ATTACHED_BYTES)


def _check_cost(cost: object) -> None:
    if not isinstance(cost, Cost):
        raise _error("cost", "a Cost", type(cost).__name__)
    figures: list[object] = [cost.server_s]
    for name, of in (("sent_bytes", cost.sent_bytes), ("received_bytes", cost.received_bytes), ("s", cost.client_s)):
        if not isinstance(of, Mapping):
            raise _error(f"cost, {name}", "a mapping from parties", type(of).__name__)
        figures += of.values()
    if not all(map(_is_quantity, figures)):
        raise _error("cost", f"numbers from 0 to {LARGEST:g}", "another value")


def _is_quantity(value: Any) -> bool:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and 0 <= value <= LARGEST and math.isfinite(value)


def _dropped(plan: RoundPlan, dropped: object) -> dict[str, tuple[int, ...]]:
    parties = {*plan.mean.clients, *plan.session.committee_members}
    if not isinstance(dropped, Mapping):
        raise _error("dropped", "a mapping from steps to parties", type(dropped).__name__)
    found: dict[str, tuple[int, ...]] = {}
    for step, gone in dropped.items():
        if not isinstance(step, str) or not step or printable(step) != step:
            raise _error("dropped", "names of steps, 1 to 200 printable characters", shown(step))
        if not isinstance(gone, Collection) or not all(type(each) is int and each in parties for each in gone):
            raise _error(f"dropped in {step}", "parties of the round", "others")
        found[step] = tuple(gone)
    return found


def _failed(plan: RoundPlan, failed: object) -> dict[int, str]:
    if not isinstance(failed, Mapping):
        raise _error("failed", "a mapping from clients to reasons", type(failed).__name__)
    for client, reason in failed.items():
        if type(client) is not int or client not in plan.mean.clients or not isinstance(reason, str):
            raise _error("failed", "clients of the round, each with a text", "others")
    return {client: printable(reason) for client, reason in failed.items()}


def _error(what: str, expected: str, found: str) -> EngineError:
    return EngineError(f"the engine's {what}: expected {expected}, found {found}. {_ADVICE}")
