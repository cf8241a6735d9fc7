"""A plan as the plain values of a job's configuration, and back: a job carries no code."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from protocols.errors import ProtocolError
from protocols.registry import available, load
from secagg.aggregation.mean import Target
from secagg.checks import shown
from secagg.engines.server.plans import Averaging, Plan, averaging
from secagg.errors import ConfigurationError

_PROTOCOL = "protocol"
_TARGET = "target"


def plan_settings(plan: Plan) -> dict[str, Any]:
    """Return a plan as a table of plain values.

    Raises:
        ConfigurationError: The plan is not one of `secagg.engines.server.plans.averaging`, or its protocol is not
            registered.
    """
    if not isinstance(plan, Averaging):
        raise ConfigurationError(
            "plan: expected one of secagg.engines.server.plans.averaging, which can travel with a job, found "
            f"{shown(plan)}. Use that function."
        )
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    name = plan.protocol.name
    if name not in available() or load(name) is not plan.protocol:
        raise ConfigurationError(
            f"protocol: expected a registered one, which the server can load by its name, found {shown(name)}. "
            "Register it by an entry point."
        )
    target = None if plan.target is None else {key: _plain(value) for key, value in asdict(plan.target).items()}
    return {key: _plain(value) for key, value in values.items()} | {_PROTOCOL: name, _TARGET: target}


def plan_from(settings: Mapping[str, Any]) -> Averaging:
    """Return the plan that a table stands for.

    Raises:
        ConfigurationError: It is not a table of `plan_settings`, or this installation has no such protocol.
    """
    values = dict(settings)
    try:
        protocol, target = load(values.pop(_PROTOCOL)), values.pop(_TARGET)
        return averaging(protocol, target=None if target is None else Target(**target), **values)
    except (KeyError, TypeError, ProtocolError) as error:
        raise ConfigurationError(
            f"plan: expected the settings of a plan, found others ({type(error).__name__}: {error}). Make the job with "
            "the version of secagg that the server has."
        ) from None


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value
