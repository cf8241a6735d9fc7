"""Nodes with homes in one folder, and requests of their coordinator that an adversary may shape as it likes."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Self

import numpy as np

from dp.events import Trust
from protocols import Identity, SecAgg, Server
from secagg.aggregation.mean import SecureMean, Target
from secagg.audit.nodes.subject import NodeSubject
from secagg.audit.seeds import Tape
from secagg.engines.base import Update
from secagg.engines.node.home import Home
from secagg.engines.node.policy_file import POLICY_NAME
from secagg.engines.node.station import Station
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.engines.wire.parcel import Reply, Request, open_reply
from secagg.engines.wire.work import Work
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import PublicLine, coordinator_line
from secagg.storage.roster_file import ROSTER_NAME, RosterFile

VICTIM: Final = 1
"""The id of the node that is attacked."""

EPSILON: Final = 12.0
DELTA: Final = 1e-3
_LIMIT: Final = 2**20
_TARGET: Final = Target(epsilon=8.0, delta=1e-4, releases=4, trust=Trust.DISTRIBUTED, colluding=1)
_POLICY: Final = """\
protocols = ["secagg"]
adversary = "curious"
adversarial = {adversarial}
least_contributors = 2
most_clients = 100
most_coordinates = 1000
largest_clip = 1.0
weighting = ["uniform"]
trust = {trust}
{noise}
plain_messages = []
code = "installed"
encrypted_live_folder = "{live}"
"""
_Change = Callable[[Offer], Offer]


def work_of(number: int = 1, *, shift: float = 0.0) -> Work:
    """Return the work of a round; with a shift, one of its weights is another."""
    return Work("audit", number, [np.array([0.5 + shift, -0.25, 0.125])], {"rate": 0.1})


def trained(work: Work) -> Update:
    """Return the update of a node that trains."""
    return Update([0.125 * array for array in work.arrays], examples=1)


def _as_it_is(offer: Offer) -> Offer:
    return offer


@dataclass(frozen=True, kw_only=True)
class Federation:
    """A roster of nodes, of which some have homes here.

    Attributes:
        folder: The folder with all homes.
        coordinator: The coordinator's identity.
        homes: The homes by id.
        stations: A station for each home.
        mean: The mean that the coordinator has planned.
        seed: The seed of the attempt.
    """

    folder: Path
    coordinator: Identity
    homes: dict[int, Home]
    stations: dict[int, Station]
    mean: SecureMean
    seed: bytes

    @classmethod
    @contextmanager
    def of(
        cls,
        subject: NodeSubject,
        seed: bytes,
        *,
        nodes: int,
        homes: int = 1,
        private: bool = False,
        adversarial: float = 0.0,
    ) -> Iterator[Self]:
        """Make a federation in a folder that is removed at the end.

        Args:
            subject: Makes the stations.
            seed: The seed of the attempt.
            nodes: The number of nodes in the roster; their ids are 1, 2, ...
            homes: The number of nodes that have a home here, from node 1 on.
            private: Whether nodes add noise, and their policies have a budget.
            adversarial: The fraction of nodes that a policy takes to be corrupt.
        """
        with TemporaryDirectory(prefix="secagg-audit-") as name:
            folder = Path(name)
            coordinator = create_coordinator(folder / "coordinator")
            made = {node: Home.create(folder / f"home-{node}") for node in range(1, homes + 1)}
            keys = {node: made[node].public if node in made else _stranger(node) for node in range(1, nodes + 1)}
            for node in made:
                _complete(folder, node, keys, coordinator, private=private, adversarial=adversarial)
            opened = {node: Home.open(folder / f"home-{node}") for node in made}
            yield cls(
                folder=folder,
                coordinator=coordinator,
                homes=opened,
                stations={
                    node: subject.station(home, entropy=Tape(seed, f"node {node}")) for node, home in opened.items()
                },
                mean=_mean(nodes, private=private),
                seed=seed,
            )

    def offer(self, serial: int, work: Work, *, label: str = "", change: _Change = _as_it_is) -> Offer:
        """Return an offer of the coordinator, changed as an adversary wants it."""
        trust = None if self.mean.target is None else self.mean.target.trust
        session = self.mean.session(
            fresh_session_id(serial, Tape(self.seed, f"session {serial} {label}")),
            context=session_context(work.digest(), serial=serial, trust=trust),
        )
        return change(Offer.of(self.mean, session, serial, work.digest()))

    def parcel(
        self, offer: Offer, work: Work, *, signer: Identity | None = None, receiver: int = VICTIM, step: int = 0
    ) -> bytes:
        """Return a request of the first step of an offered session, signed by the coordinator or by somebody else."""
        mean, session = offer.build(None, None)
        requests = Server(mean.protocol, session).start().requests
        return Request(
            serial=offer.serial,
            step=step,
            receiver=receiver,
            offer=offer.to_bytes(),
            work=work.to_bytes(),
            body=requests[receiver],
        ).seal(signer or self.coordinator)

    def files(self) -> dict[str, bytes]:
        """Return the content of every file of the victim's home and of its live session."""
        home = self.homes[VICTIM]
        found = (path for root in (home.path, home.live) for path in sorted(root.rglob("*")) if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}


def reply_of(data: bytes) -> Reply:
    """Return what a station has replied."""
    return open_reply(data, _LIMIT)


def _stranger(node: int) -> bytes:
    """Return the public key of a node that has no home here."""
    return hashlib.sha256(b"secagg audit node %d" % node).digest()


def _mean(nodes: int, *, private: bool) -> SecureMean:
    protocol, threshold = SecAgg.suggest(clients=nodes, adversarial=0.0, dropout=0.25)
    return SecureMean.plan(
        protocol=protocol,
        clients=range(1, nodes + 1),
        minimum_contributors=threshold,
        shapes=[array.shape for array in work_of().arrays],
        clip_l2=1.0,
        modulus_bits=32,
        target=_TARGET if private else None,
    )


def _complete(
    folder: Path, node: int, keys: dict[int, bytes], coordinator: Identity, *, private: bool, adversarial: float
) -> None:
    home = folder / f"home-{node}"
    lines = (PublicLine(id=each, name=f"node-{each}", key=key) for each, key in keys.items())
    RosterFile.of(lines).write(home / ROSTER_NAME)
    (home / COORDINATOR_NAME).write_text(f"{coordinator_line(coordinator.public)}\n", encoding="ascii")
    text = _POLICY.format(
        adversarial=adversarial,
        trust='["distributed"]' if private else "[]",
        noise=f"epsilon = {EPSILON}\ndelta = {DELTA}" if private else 'noise = "none"',
        live=folder / "live",
    )
    (home / POLICY_NAME).write_text(text, encoding="utf-8")
