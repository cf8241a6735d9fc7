"""What SeedSum costs, with both kinds of pads, beside OneShot: python -m benchmarks.seeds --json seeds.json.

One core, processor time, values of 16 bits, 10^6 of them, 1,000 clients in the session, a malicious server: everything
is signed, and lattice pads are wrapped.  Stream pads sum modulo 2^16; lattice pads and OneShot get values of 16 bits in
a session modulo 2^32, as in `benchmarks.oneshot`.  All protocols take turns in one process, and figures are medians.

A hundred clients send.  A member's figure is its whole work over their number, and so is the server's, in which the
addition of as many arrays of the same size by numpy is left out.  OneShot's committee is 3 of 5 with fixed public
primes: a key made of them protects nothing.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.committee import KEY, SHARES
from benchmarks.machine import Machine
from protocols import Adversary, Client, Committee, Continue, Finish, OneShot, SecureSum, Server, Session
from protocols.committee import CommitteeKey, CommitteeShare
from protocols.crypto.integers import fastest
from protocols.crypto.keystream import Words
from protocols.seeds import MemberCertificate, MemberShare, PadKind, SeedCommittee, SeedSum
from protocols.seeds.sets import quorum
from protocols.testing import Scenario
from protocols.testing.repeatable import fixed_identity, fixed_roster

VALUE_BITS: Final = 16
CLIENTS: Final = 1000
SENDERS: Final = 100
LENGTH: Final = 1_000_000
REPEATS: Final = 15
SUMS: Final = 2
NOW: Final = 1_800_000_000
LATER: Final = NOW + 86_400
IDS: Final = tuple(2**31 + index for index in range(5))
"""The committee members' ids: parties of their own."""

ONESHOT: Final = "oneshot, 3 of 5"
CLIENT_TARGETS: Final = {"stream, 3 of 5": 6.0, "stream, 2 of 3": 3.5}
MEMBER_TARGETS: Final = {PadKind.STREAM: 3.0, PadKind.LATTICE: 0.25}
RATIO_TARGET: Final = 0.75
SERVER_TARGET: Final = 1.5
KEYS_TARGET: Final = 7_200


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one protocol costs with one committee: processor time, medians.

    Attributes:
        client_ms: The whole of a client's work on its one message.
        member_check_ms: A member's part of the step `check_entries`, for one client; 0 for OneShot.
        member_open_ms: A member's part of the steps `agree` and `open_sum`, for one client; 0 for OneShot.
        server_ms: The server's whole work for one client, without numpy's addition of as many words; 0 for OneShot.
        server_open_ms: Of it, what the end of the last step takes: the server takes off wraps and pads.
        bytes_per_value: Of a client's message.
        key_bytes: Of it, what is not the padded vector.
    """

    client_ms: float
    member_check_ms: float = 0.0
    member_open_ms: float = 0.0
    server_ms: float = 0.0
    server_open_ms: float = 0.0
    bytes_per_value: float
    key_bytes: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Costs by protocol and committee, and where they were measured."""

    machine: Machine
    costs: dict[str, Cost]


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def scenario(
    label: str, protocol: SecureSum, key: CommitteeKey, shares: Mapping[int, CommitteeShare], modulus: int
) -> Scenario:
    """Return a session of 1,000 clients, of whom few send."""
    clients = tuple(range(CLIENTS))
    session = Session(
        session_id=b"benchmark of one sum",
        clients=clients,
        threshold=SENDERS - 1,
        length=LENGTH,
        modulus=modulus,
        roster=fixed_roster(clients),
        committee=Committee(key=key, members=IDS[: key.members]),
        expires=LATER if isinstance(protocol, SeedSum) else None,
    )
    return Scenario(label=label, protocol=protocol, session=session, key_shares=shares, now=NOW)


def seed_scenario(members: int, colluding: int, pads: PadKind) -> Scenario:
    """Return a session with a committee of replicated seeds."""
    issued = [MemberCertificate.issue(fixed_identity(place), 0, NOW, LATER) for place in range(members)]
    agreeing = quorum(members, colluding)
    key = SeedCommittee(certificates=tuple(each for each, _ in issued), colluding=colluding, quorum=agreeing)
    shares = {
        IDS[place]: MemberShare(key, place + 1, fixed_identity(place), epoch) for place, (_, epoch) in enumerate(issued)
    }
    bits = VALUE_BITS if pads is PadKind.LATTICE else None
    protocol = SeedSum(adversary=Adversary.MALICIOUS, pads=pads, value_bits=bits)
    return scenario(
        f"{pads}, {colluding + 1} of {members}", protocol, key, shares, 2**16 if pads is PadKind.STREAM else 2**32
    )


def scenarios() -> list[Scenario]:
    """Return OneShot's session first."""
    oneshot = OneShot(adversary=Adversary.MALICIOUS, value_bits=VALUE_BITS)
    shares = dict(zip(IDS, SHARES, strict=True))
    pairs = [(members, colluding, pads) for pads in PadKind for members, colluding in ((3, 1), (5, 2))]
    return [scenario(ONESHOT, oneshot, KEY, shares, 2**32), *(seed_scenario(*pair) for pair in pairs)]


def vector(modulus: int) -> Words:
    """Return values of 16 bits, half of them negative."""
    half = 2 ** (VALUE_BITS - 1)
    return (np.random.default_rng(0).integers(-half, half, LENGTH) % modulus).astype(
        np.uint16 if modulus == 2**16 else np.uint32
    )


def machine(made: Scenario, party: int, values: Words | None) -> Client:
    """Return a party's machine. A client assumes that nobody is corrupt, since few clients send."""
    terms = made.terms(party)
    return Client(
        made.protocol,
        made.session,
        party,
        values,
        entropy=os.urandom,
        terms=None if terms is None else replace(terms, adversarial=0.0),
        keyholder=made.keyholder(party),
        clock=made.clock,
    )


def client_seconds(made: Scenario, request: bytes) -> tuple[float, bytes]:
    """Return the time of one client's message, from its vector on, and the message."""
    values, replies = vector(made.session.modulus), list[bytes]()

    def work() -> None:
        replies.append(machine(made, 0, values).handle(request))

    return seconds(work), replies[0]


class Sum:
    """One sum of a hundred clients with a committee of replicated seeds, timed.

    Attributes:
        check_s: The time of each member in the step `check_entries`.
        open_s: The time of each member in the steps `agree` and `open_sum`.
        server_s: The time of the server.
        server_open_s: Of it, the time of the end of the last step.
    """

    def __init__(self, made: Scenario) -> None:
        values, members = vector(made.session.modulus), made.session.committee_members
        self.check_s, self.open_s, self.server_s = dict[int, float](), dict.fromkeys(members, 0.0), 0.0
        self.server_open_s = 0.0
        server = Server(made.protocol, made.session)
        requests = server.start().requests
        for client in range(SENDERS):
            reply = machine(made, client, values).handle(requests[client])
            self.server_s += seconds(lambda client=client, reply=reply: server.receive(client, reply))  # type: ignore[misc]
        machines = {member: machine(made, member, None) for member in members}
        progress = self._advance(server)
        while isinstance(progress, Continue):
            for member, request in progress.requests.items():
                taken, reply = self._answered(machines[member], request)
                if progress.step == "check_entries":
                    self.check_s[member] = taken
                else:
                    self.open_s[member] += taken
                self.server_s += seconds(lambda member=member, reply=reply: server.receive(member, reply))  # type: ignore[misc]
            progress = self._advance(server)
        if not np.array_equal(progress.total, values.astype(np.uint64) * SENDERS % made.session.modulus):
            raise RuntimeError(f"the sum of {made.label} is wrong")

    @staticmethod
    def _answered(member: Client, request: bytes) -> tuple[float, bytes]:
        replies = list[bytes]()
        return seconds(lambda: replies.append(member.handle(request))), replies[0]

    def _advance(self, server: Server) -> Continue | Finish:
        found = list[Continue | Finish]()
        self.server_open_s = seconds(lambda: found.append(server.advance()))
        self.server_s += self.server_open_s
        return found[0]


def adding_seconds(size: int) -> float:
    """Return the time of numpy's addition of two arrays of words of 64 bits with this number of bytes together."""
    one, other = (np.ones(size // 8, dtype=np.uint64) for _ in range(2))
    return statistics.median(seconds(lambda: np.add(one, other, out=one)) for _ in range(5 * REPEATS))


def measure() -> Report:
    """Measure everything, in turns."""
    all_made, console = scenarios(), Console(stderr=True)
    requests = {made.label: Server(made.protocol, made.session).start().requests[0] for made in all_made}
    times = {made.label: list[float]() for made in all_made}
    sizes = {made.label: len(client_seconds(made, requests[made.label])[1]) for made in all_made}  # Warm too.
    for _ in track(range(REPEATS), description="clients", console=console):
        for made in all_made:
            times[made.label].append(client_seconds(made, requests[made.label])[0])
    costs = dict[str, Cost]()
    for made in track(all_made, description="sums", console=console):
        protocol, label = made.protocol, made.label
        padded = (
            protocol.pads_of(made.session, bytes(32)).padded_bytes
            if isinstance(protocol, SeedSum)
            else protocol.payload(made.session).padded_bytes
            if isinstance(protocol, OneShot)
            else 0
        )
        sums = [Sum(made) for _ in range(SUMS)] if isinstance(protocol, SeedSum) else []
        adding = adding_seconds(padded)
        costs[label] = Cost(
            client_ms=1e3 * statistics.median(times[label]),
            member_check_ms=_each(each for done in sums for each in done.check_s.values()),
            member_open_ms=_each(each for done in sums for each in done.open_s.values()),
            server_ms=_each(done.server_s - SENDERS * adding for done in sums),
            server_open_ms=_each(done.server_open_s for done in sums),
            bytes_per_value=sizes[label] / LENGTH,
            key_bytes=sizes[label] - padded,
        )
    return Report(machine=Machine.here(("cryptography", "gmpy2", "numpy", "scipy")), costs=costs)


def _each(found: Iterable[float]) -> float:
    """Return the median over the number of clients that have sent, in milliseconds; 0 of nothing."""
    times = list(found)
    return 1e3 * statistics.median(times) / SENDERS if times else 0.0


def table(report: Report) -> Table:
    """Return one line for each figure, with its target if it has one."""
    shown = Table(title="SeedSum beside OneShot, one core", box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("work", "measured", "at most", ""):
        shown.add_column(heading, justify="left" if heading == "work" else "right", no_wrap=True)

    def row(work: str, value: float, unit: str, target: float | None = None) -> None:
        met = "" if target is None else "met" if value <= target else "MISSED"
        shown.add_row(work, f"{value:,.2f} {unit}", "" if target is None else f"{target:,g} {unit}", met)

    for label, cost in report.costs.items():
        kind = next((kind for kind in PadKind if label.startswith(kind)), None)
        row(f"{label}: client", cost.client_ms, "ms", CLIENT_TARGETS.get(label))
        row(f"{label}: client, message", cost.bytes_per_value, "bytes a value")
        if kind is None:
            continue
        if kind is PadKind.LATTICE:
            row(f"{label}: client over OneShot's", cost.client_ms / report.costs[ONESHOT].client_ms, "", RATIO_TARGET)
        row(f"{label}: client, keys", cost.key_bytes, "bytes", KEYS_TARGET)
        row(f"{label}: member, checks a client", cost.member_check_ms, "ms")
        row(f"{label}: member, opens a client", cost.member_open_ms, "ms", MEMBER_TARGETS[kind])
        row(f"{label}: server, a client", cost.server_ms, "ms", SERVER_TARGET)
        row(f"{label}: server, of it wraps and pads", cost.server_open_ms, "ms")
    return shown


def main(json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None) -> None:
    """Measure SeedSum beside OneShot."""
    if fastest().name != "gmpy2":
        raise typer.BadParameter('gmpy2 is not installed. Install it by: pip install ".[paillier]"')
    report = measure()
    console = Console()
    console.print(table(report))
    console.print(str(report.machine), highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
