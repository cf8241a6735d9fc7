"""A node with a home and a station, in a cohort whose other parties are plain machines, and a coordinator in memory."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dp.events import Trust
from protocols import (
    Adversary,
    Client,
    ClientTerms,
    Committee,
    Continue,
    Finish,
    Identity,
    Keyholder,
    MemoryOpenings,
    MemoryRecord,
    Roster,
    Secret,
    SeedCommittee,
    Session,
    load,
)
from protocols.codec import Codec
from protocols.committee import CommitteeKey
from protocols.crypto.entropy import Entropy
from protocols.machine import Server
from protocols.seeds.member_keys import MemberKeys
from protocols.testing import repeatable_entropy
from protocols.testing.repeatable import fixed_identity
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.base import RoundPlan, Update
from secagg.engines.client import contribute
from secagg.engines.node.home import Home
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.engines.wire.parcel import Request
from secagg.engines.wire.work import Work
from secagg.storage.key_files import PUBLIC_NAME, member_name, write_committee
from secagg.storage.node_keys import COORDINATOR_NAME, IDENTITY_NAME, write_node_identity
from secagg.storage.public_line import PublicLine, coordinator_line
from secagg.storage.roster_file import ROSTER_NAME, RosterFile
from secagg.storage.seed_keys import KEYS_NAME, write_member, write_seed_committee
from tests.support import committee_keys
from tests.support.seed_members import NOW, issued
from tests.support.seed_world import seed_committee_of, seed_share

CLIENTS: Final = (5, 2, 11, 7)
MEMBERS: Final = (2, 21, 22)
"""The committee: a client, and two that are none."""

COORDINATOR: Final = Identity(Secret(bytes(range(32))))
ARRAYS: Final = (np.array([0.5, -0.25, 0.125]), np.array([[1.0]]))
WORK: Final = Work("a run", 3, ARRAYS, {"rate": 0.1})
BUDGET: Final = {"epsilon": 100.0, "delta": 1e-3}
TARGET: Final = Target(epsilon=8.0, delta=1e-4, releases=4, trust=Trust.DISTRIBUTED, colluding=1)

KINDS: Final[tuple[tuple[str, Adversary], ...]] = (
    ("lightsecagg", Adversary.CURIOUS),
    *(
        (name, adversary)
        for name in ("secagg", "secagg-plus", "oneshot", "paillier", "seeds")
        for adversary in (Adversary.CURIOUS, Adversary.MALICIOUS)
    ),
)
"""Every protocol that protects its clients, with each server that it protects them from."""


@cache
def identity_of(party: int) -> Identity:
    """Return a party's identity."""
    return Identity(Secret(repeatable_entropy(b"identity %d" % party)(32)))


def update_of(client: int) -> list[NDArray[np.float64]]:
    """Return a client's update, whose norm is below the clip."""
    return [np.array([0.01, 0.02, -0.03]) * (client % 10), np.array([[0.02 * (client % 7)]])]


def training(client: int) -> Any:
    """Return a client's training."""
    return lambda work: Update(update_of(client), examples=client)


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A cohort with a protocol.

    Attributes:
        protocol: The name of the protocol.
        adversary: The server that the protocol protects from.
        private: Whether the clients add noise.
        clients: The ids of the clients.
        members: The committee, of which one member by replicated seeds may be corrupt.
        epoch: The epoch of a committee by replicated seeds that sessions have; homes have the file of epoch 0.
        wall_clock: The time of all parties, with a committee by replicated seeds.
    """

    protocol: str = "secagg"
    adversary: Adversary = Adversary.CURIOUS
    private: bool = False
    clients: tuple[int, ...] = CLIENTS
    weighting: str = "uniform"
    members: tuple[int, ...] = MEMBERS
    epoch: int = 0
    wall_clock: Callable[[], float] = lambda: NOW
    _offers: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def signed(self) -> bool:
        """Whether sessions have a roster."""
        return self.adversary is Adversary.MALICIOUS

    @cached_property
    def needs_committee(self) -> bool:
        """Whether sessions have a committee."""
        return load(self.protocol).needs_committee

    @property
    def of_seeds(self) -> bool:
        """Whether the committee is one by replicated seeds."""
        return self.protocol == "seeds"

    @property
    def key(self) -> CommitteeKey:
        """The committee's key that sessions have."""
        return self._seeds(self.epoch) if self.of_seeds else committee_keys.threshold_key()

    def _seeds(self, epoch: int) -> SeedCommittee:
        return seed_committee_of(len(self.members), 1, 3, epoch)

    @property
    def parties(self) -> tuple[int, ...]:
        """The ids of all parties."""
        return tuple(dict.fromkeys((*self.clients, *(self.members if self.needs_committee else ()))))

    @property
    def roster(self) -> Roster:
        """The identities of all parties that there can be."""
        return Roster({party: identity_of(party).public for party in sorted({*CLIENTS, *self.members})})

    @cached_property
    def mean(self) -> SecureMean:
        """The plan of a mean."""
        kind = load(self.protocol)
        protocol, threshold = kind.suggest(
            clients=len(self.clients), adversarial=0.0, dropout=0.25, adversary=self.adversary
        )
        return SecureMean.plan(
            protocol=protocol,
            clients=self.clients,
            minimum_contributors=threshold,
            shapes=[array.shape for array in ARRAYS],
            clip_l2=1.0,
            modulus_bits=32,
            weighting=self.weighting,
            max_weight=100.0 if self.weighting == "weighted" else 1.0,
            target=TARGET if self.private else None,
            roster=self.roster.of(self.clients) if self.signed else None,
            committee=Committee(key=self.key, members=self.members) if self.needs_committee else None,
        )

    def attempt(self, serial: int, *, seed: bytes = b"", work: Work = WORK) -> "Attempt":
        """Return an attempt at a sum."""
        mean = self.mean
        session = mean.session(
            fresh_session_id(serial, repeatable_entropy(b"session %d " % serial + seed)),
            context=session_context(work.digest(), serial=serial, trust=TARGET.trust if self.private else None),
        )
        return Attempt(cohort=self, mean=mean, session=session, serial=serial, work=work)

    def offer(self, session_id: bytes, context: bytes, serial: int, inputs: bytes) -> bytes:
        """Return the offer of a session as bytes, made once."""
        key = (session_id, context)
        if key not in self._offers:
            session = self.mean.session(session_id, context=context)
            self._offers[key] = Offer.of(self.mean, session, serial, inputs).to_bytes()
        return self._offers[key]

    def policy(self, live: Path, **changes: Any) -> str:
        """Return the text of a policy that accepts this cohort."""
        fields: dict[str, Any] = {
            "protocols": [self.protocol],
            "adversary": "curious",
            "adversarial": 0.0,
            "least_contributors": 2,
            "most_clients": 10,
            "most_coordinates": 1000,
            "largest_clip": 1.0,
            "weighting": [self.weighting],
            "trust": ["distributed"] if self.private else [],
            "plain_messages": [],
            "code": "installed",
            "encrypted_live_folder": str(live),
            **(BUDGET if self.private else {"noise": "none"}),
            **changes,
        }
        return "".join(f"{name} = {_toml(value)}\n" for name, value in fields.items())

    def make_home(self, folder: Path, party: int, **policy: Any) -> Home:
        """Make the home of a party, with the folder of its live session beside it, and open it."""
        home = folder / f"home-{party}"
        Home.create(home)
        (home / IDENTITY_NAME).unlink()
        write_node_identity(home, identity_of(party))
        lines = (PublicLine(id=each, name=f"node-{each}", key=key) for each, key in self.roster.items())
        RosterFile.of(lines).write(home / ROSTER_NAME)
        (home / COORDINATOR_NAME).write_text(coordinator_line(COORDINATOR.public) + "\n")
        (home / "policy.toml").write_text(self.policy(folder / "live", **policy))
        if self.of_seeds:
            write_seed_committee(home / PUBLIC_NAME, self._seeds(0))
            if party in self.members:
                write_member_keys(home, self.members.index(party))
        elif self.needs_committee:
            if not (folder / "committee").exists():
                write_committee(folder / "committee", committee_keys.threshold_key(), committee_keys.key_shares())
            shutil.copy(folder / "committee" / PUBLIC_NAME, home)
            if party in self.members:
                shutil.copy(folder / "committee" / member_name(self.members.index(party) + 1), home)
        return Home.open(home, wall_clock=self.wall_clock if self.of_seeds else time.time)


def write_member_keys(home: Path, member: int, epochs: int = 2) -> None:
    """Write the keys of a member by replicated seeds, numbered from 0, for its first epochs into a home."""
    keys = MemberKeys(fixed_identity(member), epochs, tuple(issued(member, epoch)[1] for epoch in range(epochs)))
    folder = home.with_name(f"member-of-{home.name}")
    write_member(folder, keys)
    shutil.move(folder / KEYS_NAME, home)
    shutil.rmtree(folder)


@dataclass(kw_only=True)
class Attempt:
    """One attempt at a sum: the session, the server, and the machines of all parties but the stations.

    Attributes:
        cohort: The cohort.
        mean: The mean.
        session: The session.
        serial: The serial.
        work: What the clients train on.
        entropies: The randomness of parties whose machine and input draw from one source; by default each has its own.
    """

    cohort: Cohort
    mean: SecureMean
    session: Session
    serial: int
    work: Work
    step: int = 0
    server: Server = field(init=False)
    progress: Continue | Finish = field(init=False)
    machines: dict[int, Client] = field(default_factory=dict)
    entropies: Mapping[int, Entropy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = Server(self.mean.protocol, self.session)
        self.progress = self.server.start()

    @property
    def offer(self) -> bytes:
        """The offer as bytes."""
        return self.cohort.offer(self.session.session_id, self.session.context, self.serial, self.work.digest())

    @property
    def requests(self) -> Mapping[int, bytes]:
        """The machine's requests of the step that is open."""
        return self.progress.requests if isinstance(self.progress, Continue) else {}

    @property
    def codec(self) -> Codec:
        """The codec of the session's messages."""
        protocol, session = self.mean.protocol, self.session
        digest, limits = protocol.digest(session), (protocol.message_limit(session), protocol.list_limit(session))
        return Codec(digest, *limits, wire=protocol.wire)

    def parcel(self, party: int, **changes: Any) -> bytes:
        """Return the signed parcel for a party in the step that is open."""
        first = self.step == 0 or party not in self.cohort.clients
        trains = first and party in self.cohort.clients
        fields: dict[str, Any] = {
            "serial": self.serial,
            "step": self.step,
            "receiver": party,
            "offer": self.offer if first else b"",
            "work": self.work.to_bytes() if trains else b"",
            "body": self.requests[party],
        } | changes
        return Request(**fields).seal(COORDINATOR)

    def machine(self, party: int) -> Client:
        """Return the machine of a party without a home."""
        if party not in self.machines:
            self.machines[party] = self._made(party)
        return self.machines[party]

    def replies(self, *stations: int) -> dict[int, bytes]:
        """Return the replies of all parties that the step asks, but for those with stations."""
        return {
            party: self.machine(party).handle(request)
            for party, request in self.requests.items()
            if party not in stations
        }

    def advance(self, replies: Mapping[int, bytes]) -> None:
        """End the step with these replies."""
        for party, reply in replies.items():
            self.server.receive(party, reply)
        self.progress = self.server.advance()
        names = [row.name for row in self.mean.protocol.steps]
        self.step = names.index(self.progress.step) if isinstance(self.progress, Continue) else len(names)

    def fork(self) -> "Attempt":
        """Return the same attempt with a server of its own, for requests only."""
        key = Secret(bytes(32))
        kept = self.server.snapshot(key, entropy=repeatable_entropy(b"fork"))
        other = replace(self)
        other.step, other.progress = self.step, self.progress
        other.server = Server.restore(self.mean.protocol, self.session, kept, key=key)
        return other

    def is_exact(self, contributors: Sequence[int]) -> bool:
        """Return whether the sum is that of these clients' updates, up to rounding and noise."""
        finish = self.progress
        if not isinstance(finish, Finish) or finish.contributors != tuple(sorted(contributors)):
            return False
        decoded = self.mean.decode(
            finish.total,
            contributors=len(finish.contributors),
            rotation=self.mean.rotation(self.session),
            attached=finish.attached,
        )
        weights = {client: float(client) if self.cohort.weighting == "weighted" else 1.0 for client in contributors}
        bound = 2.0 if self.cohort.private else 1e-3
        return all(
            np.allclose(
                array,
                sum(weights[client] * update_of(client)[index] for client in contributors) / sum(weights.values()),
                atol=bound,
            )
            for index, array in enumerate(decoded.mean)
        )

    def _made(self, party: int) -> Client:
        is_client, is_member = party in self.session.clients, party in self.session.committee_members
        part = None
        if is_client:
            weight = float(party) if self.cohort.weighting == "weighted" else None
            plan = RoundPlan(mean=self.mean, session=self.session, work=self.work, serial=self.serial)
            part = contribute(plan, update_of(party), weight=weight, entropy=self._entropy(party, b"input"))
        openings = MemoryOpenings()
        return Client(
            self.mean.protocol,
            self.session,
            party,
            None if part is None else part.vector,
            attached=() if part is None else part.attached,
            entropy=self._entropy(party, b"machine"),
            terms=self._terms(party) if is_client and self.session.roster is not None else None,
            keyholder=self._keyholder(party, openings) if is_member else None,
            openings=openings,
            clock=self.cohort.wall_clock,
        )

    def _entropy(self, party: int, purpose: bytes) -> Entropy:
        return self.entropies.get(party) or repeatable_entropy(b"%d %d " % (self.serial, party) + purpose)

    def _terms(self, party: int) -> ClientTerms:
        return ClientTerms(
            identity=identity_of(party),
            roster=self.cohort.roster,
            sessions=MemoryRecord(),
            adversarial=0.0,
            minimum_contributors=2,
            committee=self.cohort.key if self.cohort.needs_committee else None,
        )

    def _keyholder(self, party: int, openings: MemoryOpenings) -> Keyholder:
        place, key = self.cohort.members.index(party), self.cohort.key
        return Keyholder(
            share=seed_share(key, place + 1) if isinstance(key, SeedCommittee) else committee_keys.key_shares()[place],
            openings=openings,
            minimum_contributors=2,
            roster=self.cohort.roster if self.cohort.signed else None,
        )


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
