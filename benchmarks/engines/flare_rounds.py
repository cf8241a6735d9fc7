"""What rounds over NVIDIA FLARE take: `python -m benchmarks.engines.flare_rounds`, on Linux, with the extra `nvflare`.

A server and its sites run as real processes of this machine, with mutual TLS: two processes a site, and two for the
server.  Training takes no time.  Each round is one of SecAgg+.  What is reported for each number of nodes is

* the elapsed seconds of each step and of a round, from the server's own report, median;
* the bytes of all connections to the server, as the kernel counts them (`ss`), over those of the messages and of the
  model that each node is sent;
* the peak of the server's job process beyond what it takes before it reads the model.

All processes share the cores of this machine, so many nodes are slower here than they are on machines of their own.
"""

import itertools
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from nvflare.recipe.prod_env import ProdEnv
from rich.console import Console

from benchmarks.machine import Machine
from examples.nvflare_job.federation import SUBMITTER, make
from protocols import load
from secagg.engines.nvflare import SecureAveragingRecipe
from secagg.engines.nvflare.components import REPORT_NAME
from secagg.engines.server.plans import averaging
from secagg.engines.wire.work import Work
from tests.support.flare_processes import Fleet, free_port, running

PROTOCOL: Final = "secagg-plus"
NODES: Final = (5, 20, 50)
LENGTH: Final = 650
ROUNDS: Final = 12
SERVER: Final = "localhost"
TRAINING: Final = "tests.support.flare_training:train"
"""A function that costs nothing but the memory of its update."""

_START_S: Final = 300.0
_STEP_S: Final = 30.0
_ROUND_S: Final = 240.0
_PAUSE_S: Final = 0.02
_ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "8388608",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
}
"""One thread a process, and what docs/engines/nvflare.md advises for the allocator."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the protocol, median over the rounds.

    Attributes:
        step: Its name.
        seconds: Elapsed, from the first request to the last reply.
        sent_bytes: Of all requests, without the model.
        received_bytes: Of all replies.
    """

    step: str
    seconds: float
    sent_bytes: float
    received_bytes: float


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What rounds with one number of nodes took.

    Attributes:
        nodes: How many sites.
        length: Coordinates of the model.
        rounds: How many rounds after the first, which is not counted.
        start_s: Elapsed seconds from the start of the processes to the end of the first round.
        round_s: Elapsed seconds from one round's end to the next one's, median; with it the server's writes.
        steps: In their order.
        missing: Replies that did not come before the step's deadline, in all rounds.
        messages: Requests and replies of a round.
        content_bytes: Bytes of a round's requests and replies, with the model in them.
        wire_bytes: Bytes that the server's connections carried for a round, both ways.
        server_s: CPU seconds of the server's processes for a round.
        site_s: CPU seconds of one site's processes for a round, on average.
        over_bytes: For each message, what the wire carried beyond 1.02 times the content.
        peak_bytes: The peak of the server's job process beyond its start.
        load: The load of the machine at the end, over one minute.
    """

    nodes: int
    length: int
    rounds: int
    start_s: float
    round_s: float
    steps: list[Step]
    missing: int
    messages: float
    content_bytes: float
    wire_bytes: float
    server_s: float
    site_s: float
    over_bytes: float
    peak_bytes: int
    load: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON.

    Attributes:
        machine: Where it ran.
        protocol: The protocol's name.
        cases: By number of nodes.
    """

    machine: Machine
    protocol: str
    cases: list[Case]


@dataclass(frozen=True, slots=True)
class _Done:
    """The end of a round, as it was seen.

    Attributes:
        at: When.
        wire: The bytes that the server's connections had carried by then.
        server_s: The CPU seconds of the server's processes until then.
        sites_s: The same of all sites.
    """

    at: float
    wire: int
    server_s: float
    sites_s: float


def measure(nodes: int, *, length: int, rounds: int) -> Case:
    """Start a federation, and measure its rounds."""
    with (
        tempfile.TemporaryDirectory(prefix="secagg-flare-") as folder,
        tempfile.TemporaryDirectory(prefix="secagg-flare-", dir="/dev/shm") as live,
    ):
        port, sites = free_port(), [f"site-{number + 1}" for number in range(nodes)]
        root = Path(folder, "federation")
        kits = make(root, live=Path(live), host=SERVER, port=port, sites=nodes, train=TRAINING)
        for policy in root.glob("homes/*/policy.toml"):
            policy.write_text(re.sub("(most_coordinates =).*", rf"\1 {length}", policy.read_text()))
        begun = time.monotonic()
        with running(kits, SERVER, *sites, environment=_ENVIRONMENT) as fleet:
            fleet.wait_for(SERVER, f"Total clients: {nodes}", timeout_s=_START_S)
            _submit(kits, nodes, length=length, rounds=rounds + 1)
            fleet.wait_for(SERVER, "starting workflow controller", timeout_s=_START_S)
            memory = _Memory(fleet)
            ends = _ends(kits, port, fleet, sites, rounds=rounds + 1)
            return _case(_reports(kits)[1:], ends, begun=begun, length=length, memory=memory)


def _submit(kits: Path, nodes: int, *, length: int, rounds: int) -> None:
    recipe = SecureAveragingRecipe(
        model=[np.zeros(length, np.float32)],
        plan=averaging(load(PROTOCOL), clip_l2=4.0, adversarial=0.0, dropout=0.2),
        coordinator="digits",
        rounds=rounds,
        deadline=_STEP_S,
        min_clients=nodes,
    )
    recipe.execute(ProdEnv(startup_kit_location=str(kits / SUBMITTER), username=SUBMITTER, login_timeout=60))


class _Memory:
    """The memory of the server's job process."""

    def __init__(self, fleet: Fleet) -> None:
        self._process = fleet.job(SERVER)
        self.start = self._status("VmRSS")

    def grown(self) -> int:
        """Return the peak since the start of the process, less what it had at the start of the rounds."""
        return self._status("VmHWM") - self.start

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self._process}/status").read_text()
        (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        return 1024 * int(found)


def _ends(kits: Path, port: int, fleet: Fleet, sites: list[str], *, rounds: int) -> list[_Done]:
    """Wait for the end of every round, and return what was seen at each.

    Raises:
        TimeoutError: A round takes too long.
    """
    server, others = fleet.processes(SERVER), [process for site in sites for process in fleet.processes(site)]
    ends: list[_Done] = []
    until = time.monotonic() + _START_S
    while len(ends) < rounds:
        if time.monotonic() > until:
            raise TimeoutError(f"expected {rounds} rounds, found {len(ends)}")
        if (done := len(_reports(kits))) > len(ends):
            seen = _Done(time.monotonic(), _carried(port), _worked(server), _worked(others))
            ends += [seen] * (done - len(ends))
            until = time.monotonic() + _ROUND_S
        threading.Event().wait(_PAUSE_S)
    return ends


def _worked(processes: list[int]) -> float:
    """Return the CPU seconds of processes until now (`man 5 proc_pid_stat`)."""
    fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def _carried(port: int) -> int:
    """Return the bytes that all connections to the server's port have carried, both ways (`man 8 ss`)."""
    command = ["ss", "--tcp", "--info", "--oneline", "--numeric", "--no-header", f"sport = :{port}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  # It is this text.
    return sum(map(int, re.findall(r"\bbytes_(?:sent|received):(\d+)", lines)))


def _reports(kits: Path) -> list[Any]:
    """Return the reports of the rounds that have ended."""
    return [
        msgspec.json.decode(line)
        for path in (kits / SERVER).glob(f"*/{REPORT_NAME}")
        for line in path.read_bytes().splitlines()
    ]


def _case(reports: list[Any], ends: list[_Done], *, begun: float, length: int, memory: _Memory) -> Case:
    """Return the figures of all rounds but the first."""
    first, last, rounds, nodes = ends[0], ends[-1], len(ends) - 1, reports[0]["clients"]
    figures = [step for report in reports for step in report["steps"]]
    steps = [
        Step(
            step=report["step"],
            seconds=statistics.median(each["steps"][number]["seconds"] for each in reports),
            sent_bytes=statistics.median(each["steps"][number]["sent_bytes"] for each in reports),
            received_bytes=statistics.median(each["steps"][number]["received_bytes"] for each in reports),
        )
        for number, report in enumerate(reports[0]["steps"])
    ]
    messages = sum(step["asked"] + step["answered"] for step in figures) / rounds
    model = nodes * len(Work("secagg", 1, [np.zeros(length, np.float32)]).to_bytes())
    content = model + sum(step.sent_bytes + step.received_bytes for step in steps)
    wire = (last.wire - first.wire) / rounds
    times = [end.at for end in ends]
    return Case(
        nodes=nodes,
        length=length,
        rounds=rounds,
        start_s=first.at - begun,
        round_s=statistics.median(after - before for before, after in itertools.pairwise(times)),
        steps=steps,
        missing=sum(step["asked"] - step["answered"] for step in figures),
        messages=messages,
        content_bytes=content,
        wire_bytes=wire,
        server_s=(last.server_s - first.server_s) / rounds,
        site_s=(last.sites_s - first.sites_s) / rounds / nodes,
        over_bytes=(wire - 1.02 * content) / messages,
        peak_bytes=memory.grown(),
        load=os.getloadavg()[0],
    )


def main(
    nodes: Annotated[list[int] | None, typer.Option(help="A number of nodes; by default 5, 20 and 50.")] = None,
    length: Annotated[int, typer.Option(help="Coordinates of the model.")] = LENGTH,
    rounds: Annotated[int, typer.Option(help="Rounds to measure.")] = ROUNDS,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Measure rounds over NVIDIA FLARE."""
    console = Console()
    cases = []
    for count in nodes or NODES:
        cases.append(case := measure(count, length=length, rounds=rounds))
        seconds = "  ".join(f"{step.step} {step.seconds:.3f}" for step in case.steps)
        console.print(
            f"{case.nodes} nodes, start {case.start_s:.1f} s, round {case.round_s:.3f} s: {seconds}; "
            f"CPU seconds of the server {case.server_s:.3f}, of a site {case.site_s:.3f}; "
            f"{case.missing} replies missing; {case.over_bytes:.0f} bytes a message over; "
            f"peak {case.peak_bytes / 2**20:.0f} MiB; load {case.load:.1f}",
            highlight=False,
        )
    report = Report(machine=Machine.here(("nvflare", "numpy", "cryptography")), protocol=PROTOCOL, cases=cases)
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
