"""A recount of a ledger: who was asked how often, and what that costs, by code that shares nothing with `dp`.

It reads the file with SQLite, follows the chain, decodes JSON and the texts of sets of clients, and computes with
multiple precision. What it cannot read raises an error: it is for ledgers that must be whole.
"""

import base64
import functools
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information

from tests.support.exact_gaussian import exact_delta, exact_mu

DIGITS: Final = 40
GENESIS: Final = hashlib.sha256(b"secagg budget ledger, format 1").digest()
Event = tuple[tuple[str, Any], ...]


@dataclass
class Recount:
    """What the records of a ledger say.

    Attributes:
        budget: The first record.
        reservations: Each reservation's event and the clients that it asked; None if it asked everybody.
        contributors: The clients, or their number, in the sum of each committed reservation, by its number.
    """

    budget: dict[str, Any]
    reservations: list[tuple[Event, tuple[int, ...] | None]] = field(default_factory=list)
    contributors: dict[int, tuple[int, ...] | int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of clients."""
        size: int = self.budget["participation"].get("size", self.budget["population"])
        return size

    def counts(self) -> Counter[int]:
        """Return how many reservations asked each client that was asked at all."""
        return Counter(client for _, asked in self.reservations for client in asked or ())

    def events_of(self, client: int) -> Counter[Event]:
        """Return the events of the reservations that asked a client, or everybody."""
        return Counter(event for event, asked in self.reservations if asked is None or client in asked)

    def square_of(self, client: int) -> Any:
        """Return mu^2 of a client: the sum of 1/z^2."""
        with mpmath.workdps(DIGITS):
            return mpmath.fsum(times * square(event) for event, times in self.events_of(client).items())

    def squares(self) -> dict[int, Any]:
        """Return mu^2 of each client that was asked at all."""
        by_client: dict[int, Counter[Event]] = {}
        for event, asked in self.reservations:
            for client in asked or ():
                by_client.setdefault(client, Counter())[event] += 1
        with mpmath.workdps(DIGITS):
            known = {
                row: mpmath.fsum(times * square(event) for event, times in row)
                for row in {frozenset(events.items()) for events in by_client.values()}
            }
        return {client: known[frozenset(events.items())] for client, events in by_client.items()}

    def budget_square(self) -> Any:
        """Return the largest mu^2 that the budget allows, by the exact curve."""
        return largest_square(self.budget["epsilon"], self.budget["delta"])

    def costs(self, square: Any, epsilon: float) -> Any:
        """Return the delta at an epsilon of a mu^2, as a part of the budget's delta."""
        return exact_delta(mpmath.sqrt(square), epsilon) / mpmath.mpf(self.budget["delta"])


def recount_file(path: Path) -> Recount:
    """Recount a ledger's file that nobody is writing, and check its chain."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    try:
        rows = connection.execute("SELECT sequence, body, digest FROM records ORDER BY sequence").fetchall()
    finally:
        connection.close()
    head = GENESIS
    for expected, (sequence, body, digest) in enumerate(rows):
        head = hashlib.sha256(head + body).digest()
        assert (sequence, digest) == (expected, head), f"record {expected} was altered"
    return recount([body for _, body, _ in rows])


def recount(bodies: Iterable[bytes]) -> Recount:
    """Recount the records of a ledger."""
    first, *records = [json.loads(body) for body in bodies]
    assert first["type"] == "budget"
    found = Recount(first)
    with_clients = "participation" in first
    for record in records:
        if record["type"] == "reservation":
            assert record["number"] == len(found.reservations) + 1
            assert ("participants" in record) == with_clients
            asked = clients_of(record["participants"], found.size) if with_clients else None
            found.reservations.append((frozen(record["event"]), asked))
        else:
            assert record["type"] == "commitment"
            assert record["number"] not in found.contributors
            found.contributors[record["number"]] = record["contributors"]
            if with_clients:
                asked = found.reservations[record["number"] - 1][1] or ()
                missing = clients_of(record["missing"], found.size) if "missing" in record else ()
                assert set(missing) <= set(asked)
                there = tuple(sorted(set(asked) - set(missing)))
                assert len(there) == record["contributors"]
                found.contributors[record["number"]] = there
    return found


def clients_of(text: str, size: int) -> tuple[int, ...]:
    """Return the clients that a text stands for, ascending."""
    content = base64.b64decode(text[1:], validate=True)
    if text[0] == "b":
        found = [8 * place + bit for place, byte in enumerate(content) for bit in range(8) if byte >> bit & 1]
    else:
        assert text[0] == "d"
        found, client, value, shift = [], -1, 0, 0
        for byte in content:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                assert value >= 1
                client += value
                found.append(client)
                value = shift = 0
        assert shift == 0
    assert all(0 <= client < size for client in found)
    return tuple(found)


def frozen(event: dict[str, Any]) -> Event:
    """Return an event as a value that can be counted."""
    return tuple((name, frozen(value) if isinstance(value, dict) else value) for name, value in sorted(event.items()))


@functools.cache
def largest_square(epsilon: float, delta: float) -> Any:
    """Return the largest mu^2 of a budget, by the exact curve."""
    return exact_mu(epsilon, mpmath.mpf(delta)) ** 2


@functools.cache
def square(event: Event) -> Any:
    """Return 1/z^2 of an event without sampling, of its noise or of the Gaussian noise that dominates it."""
    of = dict(event)
    with mpmath.workdps(DIGITS):
        match of["type"]:
            case "repeated":
                return of["times"] * square(of["event"])
            case "gaussian":
                return 1 / mpmath.mpf(of["noise_multiplier"]) ** 2
            case "distributed-discrete-gaussian":
                sigma = mpmath.mpf(of["local_sigma"])
                curvature = 1 / (of["contributors"] * sigma**2) + 2 * _ripple(sigma, of["contributors"])
                return mpmath.mpf(of["l2_sensitivity"]) ** 2 / _dominating_variance(curvature)
            case "skellam":
                m = mpmath.mpf(of["variance"])
                by_curvature = _dominating_variance(-mpmath.log(1 - 1 / mpmath.sqrt(m**2 + mpmath.mpf(3) / 4)))
                centre = mpmath.exp(-m) * mpmath.besseli(0, m)
                by_centre = 1 / (2 * mpmath.sqrt(2) * mpmath.erfinv(centre)) ** 2
                return mpmath.mpf(of["l2_sensitivity"]) ** 2 / min(by_curvature, by_centre)
    raise AssertionError(f"no Gaussian account of {of['type']}")


def renyi_budget(budget: dict[str, Any]) -> Any:
    """Return B(a) of a ledger with a Renyi filter: arXiv 2004.00010v4, Proposition 12."""
    with mpmath.workdps(DIGITS):
        a = mpmath.mpf(budget["order"])
        share = (mpmath.log(mpmath.mpf(budget["delta"])) + mpmath.log(a)) / (a - 1)
        return mpmath.mpf(budget["epsilon"]) - mpmath.log((a - 1) / a) + share


@functools.cache
def renyi_charge(event: Event, order: float) -> Any:
    """Return the greater of D_a in both directions of an event with Gaussian noise, sampled or not."""
    of = dict(event)
    if of["type"] == "repeated":
        return of["times"] * renyi_charge(of["event"], order)
    with mpmath.workdps(20):
        a = mpmath.mpf(order)
        if of["type"] != "poisson-sampled":
            return a * square(event) / 2
        q, z = mpmath.mpf(of["sampling_rate"]), 1 / mpmath.sqrt(square(of["event"]))

        def power(x: Any, exponent: Any) -> Any:
            return mpmath.npdf(x / z) / z * (1 - q + q * mpmath.exp((2 * x - 1) / (2 * z**2))) ** exponent

        ends = [-20 * z, -5 * z, 0, 1, a, a + 5 * z, a + 20 * z]
        moments = [mpmath.quad(lambda x, exponent=exponent: power(x, exponent), ends) for exponent in (a, 1 - a)]
        return mpmath.log(max(moments)) / (a - 1)


def _dominating_variance(curvature: Any) -> Any:
    return (1 + mpmath.sqrt(1 - curvature / 3)) / (2 * curvature)


def _ripple(sigma: Any, contributors: int) -> Any:
    """Return how far the law of a sum of discrete Gaussians is from a discrete Gaussian, in logarithms."""
    total = mpmath.mpf(0)
    for k in range(1, contributors):
        e = 2 * mpmath.fsum(mpmath.exp(-2 * (mpmath.pi * sigma * i) ** 2 * k / (k + 1)) for i in range(1, 6))
        total += mpmath.log((1 + e) / (1 - e))
    return total
