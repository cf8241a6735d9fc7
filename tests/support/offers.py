"""Means of every kind that an offer describes, with their sessions, and what a party pins beside them."""

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import Adversary, Committee, Identity, Roster, Secret, SecureSum, Session, load
from protocols.committee import CommitteeKey
from protocols.session import Extra
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from tests.support import committee_keys
from tests.support.seed_world import seed_committee_of

CLIENTS: Final = (7, 3, 11, 2, 5, 13, 40)
MEMBERS: Final = (2, 90, 11)
SERIAL: Final = 5
INPUTS: Final = hashlib.sha256(b"inputs of the offers").digest()
SEEDS: Final = seed_committee_of(len(MEMBERS), 1, 3)
"""The committee by replicated seeds that every party has pinned."""

TARGET: Final[dict[str, Any]] = {"epsilon": 4.0, "delta": 1e-5, "releases": 10, "colluding": 1}

PROTOCOLS: Final[tuple[tuple[str, Adversary], ...]] = (
    ("plain", Adversary.CURIOUS),
    ("lightsecagg", Adversary.CURIOUS),
    *(
        (name, adversary)
        for name in ("secagg", "secagg-plus", "paillier", "oneshot", "seeds")
        for adversary in (Adversary.CURIOUS, Adversary.MALICIOUS)
    ),
)
"""Every protocol, with each server that it protects its clients from."""

NOISES: Final[dict[str, dict[str, Any] | None]] = {
    "none": None,
    "gaussian-distributed": {"mechanism": LatticeNoise.DISCRETE_GAUSSIAN, "trust": Trust.DISTRIBUTED},
    "gaussian-local": {"mechanism": LatticeNoise.DISCRETE_GAUSSIAN, "trust": Trust.LOCAL},
    "gaussian-central": {"mechanism": LatticeNoise.DISCRETE_GAUSSIAN, "trust": Trust.CENTRAL},
    "skellam-distributed": {"mechanism": LatticeNoise.SKELLAM, "trust": Trust.DISTRIBUTED},
    "skellam-local": {"mechanism": LatticeNoise.SKELLAM, "trust": Trust.LOCAL},
    "skellam-central": {"mechanism": LatticeNoise.SKELLAM, "trust": Trust.CENTRAL},
    "skellam-removable": {
        "mechanism": LatticeNoise.SKELLAM,
        "trust": Trust.DISTRIBUTED,
        "noise_removal": True,
    },
}


class Offered(NamedTuple):
    """A planned mean, its session, and what every party has pinned."""

    mean: SecureMean
    session: Session
    roster: Roster
    committee_key: CommitteeKey

    @property
    def offer(self) -> Offer:
        """The offer of the session."""
        return Offer.of(self.mean, self.session, SERIAL, INPUTS)

    @property
    def digest(self) -> bytes:
        """The digest of the session that the coordinator has."""
        return self.mean.protocol.digest(self.session)


@cache
def pinned() -> Roster:
    """Return a roster of the cohort, and of two others."""
    return Roster(
        {each: Identity(Secret(hashlib.sha256(b"offers%d" % each).digest())).public for each in (*CLIENTS, 90, 91)}
    )


def offered(
    protocol: str = "secagg-plus",
    adversary: Adversary = Adversary.CURIOUS,
    noise: str = "none",
    *,
    serial: int = SERIAL,
    **changes: Any,
) -> Offered:
    """Return a mean of a protocol and a noise, with its session."""
    kind = load(protocol)
    suggested, threshold = kind.suggest(clients=len(CLIENTS), adversarial=0.1, dropout=0.2, adversary=adversary)
    return made(suggested, threshold, adversary, noise, serial=serial, **changes)


def made(
    protocol: SecureSum, threshold: int, adversary: Adversary, noise: str = "none", *, serial: int, **changes: Any
) -> Offered:
    """Return a mean of a protocol that is given, with its session."""
    key = SEEDS if protocol.name == "seeds" else committee_keys.threshold_key()
    terms = NOISES[noise]
    arguments: dict[str, Any] = {
        "protocol": protocol,
        "clients": CLIENTS,
        "minimum_contributors": threshold,
        "shapes": [(4, 5), (5,), ()],
        "clip_l2": 1.5,
        "modulus_bits": 32,
        "target": None if terms is None else Target(**TARGET, **terms),
        "roster": pinned().of(CLIENTS) if adversary is Adversary.MALICIOUS else None,
        "committee": Committee(key=key, members=MEMBERS) if protocol.needs_committee else None,
    }
    mean = SecureMean.plan(**(arguments | changes))
    session = mean.session(
        fresh_session_id(serial, lambda size: bytes(range(size))),
        context=session_context(INPUTS, serial=serial, trust=None if mean.target is None else mean.target.trust),
    )
    return Offered(mean, session, pinned(), key)


def every_kind() -> Iterator[tuple[str, Offered]]:
    """Yield a mean of every protocol, server and noise that go together, every second one weighted, by label."""
    for index, (name, adversary) in enumerate(PROTOCOLS):
        for number, noise in enumerate(NOISES):
            if noise == "skellam-removable" and Extra.ATTACHED not in load(name).accepts:
                continue
            weighting = ("uniform", "weighted")[(index + number) % 2]
            label = f"{name}, {adversary}, {noise}, {weighting}"
            yield label, offered(name, adversary, noise, weighting=weighting, max_weight=100.0)
