"""From settings to everything that a run needs, refused as a whole if something cannot work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from dp.calibration.least_noise import calibrate_gaussian
from dp.events import NeighbouringRelation, PrivacyEvent
from dp.ledger.participation import Accounting
from protocols import Adversary, ClientTerms, Committee, Keyholder, Roster, SecureSum, Session
from secagg.aggregation.mean import SecureMean, Target
from secagg.aggregation.modulus_bits import AUTO
from secagg.data.base import Dataset
from secagg.data.columns import Shard
from secagg.data.digest import digest
from secagg.data.load import load_dataset
from secagg.data.partition import Partition, partition
from secagg.engines.memory import InMemory
from secagg.errors import ConfigurationError
from secagg.models import zoo
from secagg.models.base import ArrayRole
from secagg.privacy.clipping import Clip, ClippingKind, choose_clip, planned
from secagg.privacy.contributors import colluding_clients
from secagg.privacy.example_level import ExampleLevel
from secagg.privacy.filtered_noise import filtered_epsilon, filtered_multiplier
from secagg.privacy.noise import Sample
from secagg.runs.choices import choose_committee, choose_protocol
from secagg.runs.config import TrainingConfig
from secagg.runs.ledger_terms import LedgerTerms
from secagg.runs.parsing import whole_path
from secagg.runs.tolerance import Cohort
from secagg.simulation.committee import SimulatedCommittee
from secagg.simulation.devices import Devices
from secagg.simulation.identities import SimulatedClients
from secagg.training.drawing import Cohorts, Drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything a run needs, checked.

    Attributes:
        config: The settings, with the number of bits in the place of `modulus_bits = "auto"`; where the committee is
            from a folder, with what clients pin of it.
        devices: The simulated clients.
        members: Their identities, made when a client is asked first, where the server may be malicious; otherwise None.
        committee: The committee's members, where the protocol needs one; otherwise None.
        test: Examples and targets that rounds are measured on.
        clip: The clip of the first round.
        mean: With noise where the settings ask for privacy; planned for the clients 0, 1, ..., as many as a round asks.
        noiseless: The same without noise.
        data_digest: The digest of the training examples (`secagg.data.digest`).
        example_level: What the devices' local training does, where examples are the privacy unit and protected.
    """

    config: TrainingConfig
    devices: Devices
    members: SimulatedClients | None
    committee: SimulatedCommittee | None
    test: Shard
    clip: Clip
    mean: SecureMean
    noiseless: SecureMean
    data_digest: str
    example_level: ExampleLevel | None = None

    @property
    def engine(self) -> InMemory:
        """The way to reach the simulated clients."""
        return InMemory(
            self.devices,
            dropping=self.config.dropping,
            cohorts=self.config.cohort is not None,
            terms=None if self.members is None else self.members.terms_of,
            keyholders=None if self.committee is None else self._committee_of(),
        )

    @property
    def terms(self) -> dict[int, ClientTerms] | None:
        """The terms of the clients of `mean`, where the server may be malicious; otherwise None."""
        return None if self.members is None else self.members.terms(self.mean.clients)

    @property
    def keyholders(self) -> dict[int, Keyholder] | None:
        """The committee's members as of a session of `mean`, where the protocol needs a committee; otherwise None."""
        return None if self.committee is None else self._committee_of()(self.mean.session(bytes(16)))

    def _committee_of(self) -> Callable[[Session], dict[int, Keyholder]]:
        """Return what gives the committee's members for a session: each has one record of openings for all of them."""
        committee = self.committee
        if committee is None:
            raise TypeError("committee: expected one")
        known = committee.keyholders(minimum_contributors=self.mean.minimum_contributors, roster=None)
        return lambda session: {member: replace(one, roster=session.roster) for member, one in known.items()}

    @property
    def cohorts(self) -> Cohorts | None:
        """What draws the clients of each round, from the first on; None if every round asks all clients."""
        config = self.config
        if not config.limited:
            return None
        return Cohorts(
            clients=config.clients,
            cohort=config.asked,
            draw=config.drawing,
            cap=None if config.by_poisson else config.participations,
            rounds=config.rounds,
            seed=config.seed,
        )

    def mean_of(self, drawn: Drawn, *, noiseless: bool = False) -> SecureMean:
        """Return the mean of a round's clients.

        Args:
            drawn: The clients.
            noiseless: Whether it is the one without noise.

        Raises:
            ParameterError: They do not fit together.
        """
        mean = self.noiseless if noiseless else self.mean
        if mean.sample is None:
            roster = None if self.members is None else self.members.roster_of(drawn.clients)
            return mean.for_clients(drawn.clients, roster=roster)
        protocol, threshold = choose_protocol(self.config, clients=len(drawn.asked))
        return mean.for_sample(drawn.clients, padding=drawn.padding, protocol=protocol, minimum_contributors=threshold)

    @property
    def population(self) -> int:
        """How many privacy units there are: clients, or the examples of all of them."""
        return self.config.clients if self.example_level is None else self.example_level.examples

    @property
    def cohort(self) -> Cohort:
        """How many clients may collude with the server, and how many may drop out."""
        return Cohort.of(self.config, minimum_contributors=self.mean.minimum_contributors, target=self.mean.target)

    @property
    def event(self) -> PrivacyEvent | None:
        """What a round costs, as its reservation says; None without noise."""
        if self.example_level is not None:
            return self.example_level.event
        return self.mean.event

    @property
    def ledger_terms(self) -> LedgerTerms | None:
        """The terms of the run's ledger; None without noise."""
        event = self.event
        if event is None:
            return None
        return LedgerTerms.of(self.config, population=self.population, event=event, data_digest=self.data_digest)

    @property
    def noise_multiplier(self) -> float | None:
        """Standard deviation over the sensitivity of the noise that the budget rests on; None without noise."""
        if self.example_level is not None:
            return self.example_level.noise_multiplier
        return None if self.mean.noise is None else self.mean.noise.noise_multiplier


def prepare(config: TrainingConfig) -> Prepared:
    """Load data, build the model, and plan protocol, encoding and noise.

    Raises:
        SecaggError: Data or model cannot be had, or a setting cannot work.
        ParameterError: Protocol and cohort do not fit together.
        DpError: The budget cannot be met.
    """
    protocol, threshold = choose_protocol(config)
    simulated = choose_committee(config)
    data = load_dataset(config.dataset, seed=config.seed)
    devices, example_level = _devices(config, data)
    committee = None if simulated is None else simulated.committee
    members = _members(config, threshold=threshold, committee=committee)
    roster = None if members is None else members.roster_of(range(config.asked))
    clip = _first_clip(config, arrays=devices.roles.count(ArrayRole.TRAINED), contributors=threshold)
    plan = _plan(
        config, devices, clip, protocol=protocol, minimum_contributors=threshold, roster=roster, committee=committee
    )
    target = None if example_level is not None else _target(config)
    # With noise first: it is what needs the larger modulus, and says so.
    mean = plan(target=target)
    if target is not None and mean.event is not None and config.accounting is Accounting.RENYI_FILTER:
        mean = plan(target=replace(target, epsilon=filtered_epsilon(mean.event, **_planned_releases(config))))
    if config.modulus_bits == AUTO:  # From here on it is a number, which the run's folder and its ledger's labels keep.
        config = msgspec.structs.replace(config, modulus_bits=mean.encoding.modulus_bits)
    noiseless = mean if target is None else plan(modulus_bits=config.modulus_bits)
    if members is not None:  # before anything is reserved, not after
        _check_terms(members.terms(range(config.asked))[0], mean)
    if config.by_poisson:
        choose_protocol(config, clients=config.clients)  # The largest session that may be drawn.
    if simulated is not None and config.committee is not None:
        config = _naming_key(config, simulated)
    return Prepared(
        config=config,
        devices=devices,
        members=members,
        committee=simulated,
        test=(data.test_x, data.test_y),
        clip=clip,
        mean=mean,
        noiseless=noiseless,
        data_digest=digest(data.train_x, data.train_y),
        example_level=example_level,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Shards(Sequence[Shard]):
    """The shards of all clients, each made when it is asked for."""

    data: Dataset = field(repr=False)
    indices: Partition = field(repr=False)

    @overload
    def __getitem__(self, client: int) -> Shard: ...

    @overload
    def __getitem__(self, client: slice) -> list[Shard]: ...

    def __getitem__(self, client: int | slice) -> Shard | list[Shard]:
        if isinstance(client, slice):
            return [self[each] for each in range(len(self))[client]]
        chosen = self.indices[client]
        return self.data.train_x[chosen], self.data.train_y[chosen]

    def __len__(self) -> int:
        return len(self.indices)


def _devices(config: TrainingConfig, data: Dataset) -> tuple[Devices, ExampleLevel | None]:
    """Return the simulated clients with their shards and model, and the plan of their example-level training."""
    indices = partition(data.train_y, clients=config.clients, seed=config.seed, alpha=config.alpha)
    example_level = _example_level(config, shards=indices.sizes)
    model = zoo.build(
        config.model,
        data.train_x.shape[1:],
        data.classes,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        private=example_level,
        seed=config.seed,
    )
    devices = Devices(
        model=model,
        shards=_Shards(data, indices),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    return devices, example_level


def _members(config: TrainingConfig, *, threshold: int, committee: Committee | None) -> SimulatedClients | None:
    """Return the clients' identities if the server may be malicious, otherwise None."""
    if config.adversary is not Adversary.MALICIOUS:
        return None
    return SimulatedClients(
        adversarial=config.adversarial,
        minimum_contributors=threshold,
        committee=None if committee is None else committee.key,
        cap=config.participations if config.limited else None,
    )


def _check_terms(terms: ClientTerms, mean: SecureMean) -> None:
    """Refuse a plan that the clients themselves would refuse, before anything is reserved."""
    mean.protocol.check_safety(mean.session(bytes(16)), terms.corrupt)
    if mean.committee is not None:
        terms.accept_committee(mean.committee.key)


def _plan(
    config: TrainingConfig,
    devices: Devices,
    clip: Clip,
    *,
    protocol: SecureSum,
    minimum_contributors: int,
    roster: Roster | None,
    committee: Committee | None,
) -> "partial[SecureMean]":
    """Return what plans the run's mean once it is told what the noise is for."""
    shapes, clip_l2 = planned(clip, shapes=devices.shapes, clip_l2=config.clip_l2)
    return partial(
        SecureMean.plan,
        protocol=protocol,
        clients=range(config.asked),
        minimum_contributors=minimum_contributors,
        shapes=shapes,
        clip_l2=clip_l2,
        modulus_bits=config.modulus_bits,
        weighting=config.weighting,
        max_weight=config.max_examples or 1.0,
        compression=1.0 if config.compression is None else config.compression,
        roster=roster,
        committee=committee,
        sample=_sample(config),
    )


def _target(config: TrainingConfig) -> Target | None:
    """Return what the noise in the sums is for, or None without noise."""
    if not config.private:
        return None
    return Target(
        epsilon=config.epsilon,
        delta=config.delta,
        releases=config.participations,
        colluding=colluding_clients(config.asked, config.adversarial),
        mechanism=config.mechanism,
        trust=config.trust,
        noise_removal=config.noise_removal,
        sample=_sample(config),
    )


def _sample(config: TrainingConfig) -> Sample | None:
    """Return how the clients of a round are drawn in secret; None if they are not secret."""
    return Sample(population=config.clients, expected=config.asked) if config.by_poisson else None


def _naming_key(config: TrainingConfig, simulated: SimulatedCommittee) -> TrainingConfig:
    """Return the settings with what clients pin of the committee, and its folder by its whole path.

    The run can then be resumed from another place, with this committee only: with this key, or, by replicated seeds,
    with these members, in any epoch.
    """
    return msgspec.structs.replace(
        config,
        committee=whole_path("committee", config.committee),
        committee_fingerprint=simulated.committee.key.pin.hex(),
    )


def _example_level(config: TrainingConfig, *, shards: NDArray[np.int64]) -> ExampleLevel | None:
    if config.unit == "client" or not config.private:
        return None
    if shards.min() < 2:
        raise ConfigurationError(
            f"unit: expected at least 2 examples of each client with unit = example, found one with {shards.min()}. "
            "Removing its example would remove the client, and unit = example does not hide participation. Use fewer "
            "clients, a larger alpha or another dataset."
        )
    plan = ExampleLevel.plan(
        epsilon=config.epsilon,
        delta=config.delta,
        rounds=config.participations,
        clip_l2=config.example_clip_l2,
        examples=int(shards.sum()),
        clients=config.clients,
        epochs=config.epochs,
        batch_size=config.batch_size,
    )
    if config.accounting is Accounting.RENYI_FILTER:
        return replace(plan, noise_multiplier=filtered_multiplier(plan.event, **_planned_releases(config)))
    return plan


def _planned_releases(config: TrainingConfig) -> dict[str, Any]:
    """Return how many releases one client is in, and the budget, for `secagg.privacy.filtered_noise`."""
    return {"releases": config.participations, "epsilon": config.epsilon, "delta": config.delta}


def _first_clip(config: TrainingConfig, *, arrays: int, contributors: int) -> Clip:
    noise_multiplier = None
    if config.private and config.unit == "client" and config.clipping is ClippingKind.ADAPTIVE:
        # The sum's own noise is hardly different, and depends on the clip.
        sampled: dict[str, Any] = {
            "relation": NeighbouringRelation.ADD_OR_REMOVE_ONE,
            "sampling_rate": config.asked / config.clients,
        }
        noise_multiplier = calibrate_gaussian(
            epsilon=config.epsilon,
            delta=config.delta,
            releases=config.participations,
            **(sampled if config.by_poisson else {}),
        )
    return choose_clip(
        config.clipping,
        clip_l2=config.clip_l2,
        quantile=config.clip_quantile,
        arrays=arrays,
        contributors=contributors,
        noise_multiplier=noise_multiplier,
    )
