"""What the commands `plan` and `bench` do."""

import sys
from pathlib import Path
from typing import Final

from protocols import Adversary
from secagg.checks import SERVERS, check_choice
from secagg.commands.output_file import check_output_file, write_output_file
from secagg.commands.progress import write_line
from secagg.errors import ConfigurationError
from secagg.paths import escaped, expanded
from secagg.planning.cost.constants import default_constants, read_constants
from secagg.planning.cost.document import as_json as document
from secagg.planning.cost.planner import plan_costs
from secagg.planning.cost.request import CostRequest, EngineName
from secagg.planning.cost.text import as_text

_OUT: Final = Path("constants.json")


def plan_on_terminal(
    *,
    clients: int,
    parameters: int,
    dropout: float,
    adversarial: float,
    committee: int | None,
    uplink_mbps: float,
    engine: str,
    protocol: str | None,
    adversary: str,
    compression: float,
    constants: Path | None,
    as_json: bool,
) -> None:
    """Print a plan of costs: see `CostRequest` for the arguments.

    Raises:
        ConfigurationError: An argument is out of range, or the file of constants is not one.
        ProtocolError: The protocol is not known or does not fit.
        OSError: The file of constants cannot be read.
    """
    request = CostRequest(
        clients=clients,
        parameters=parameters,
        dropout=dropout,
        adversarial=adversarial,
        committee=committee,
        uplink_mbps=uplink_mbps,
        engine=check_choice("--engine", engine, EngineName),
        protocol=protocol,
        adversary=check_choice("--adversary", adversary, Adversary, among=SERVERS),
        compression=compression,
    )
    measured = default_constants() if constants is None else read_constants(expanded(constants))
    plan = plan_costs(request, measured)
    sys.stdout.write(document(plan) if as_json else as_text(plan))


def bench_on_terminal(*, calibrate: bool, out: Path | None) -> None:
    """Measure the constants of this machine and write them to a file, with progress on standard error.

    Raises:
        ConfigurationError: `calibrate` is false, so that there is nothing to measure, or the file cannot be written.
    """
    if not calibrate:
        raise ConfigurationError("--calibrate: expected it, found no option that says what to measure. Give it.")
    from secagg.planning.calibration.calibrate import calibrate as measure

    path = expanded(_OUT if out is None else out)
    check_output_file("--out", path)
    found = measure(lambda what: write_line(f"measuring {what}"))
    write_output_file("--out", path, found.to_bytes())
    sys.stdout.write(f"Written: {escaped(path)}. Use it with secagg plan --constants {escaped(path)}\n")
