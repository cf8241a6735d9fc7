"""The settings of a training run: one flat table, read from TOML, checked whole before anything runs."""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from dp.clipping.adaptive import MEDIAN
from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import Adversary, load
from protocols.cohort import whole_clients
from secagg.aggregation.encoding import Weighting
from secagg.checks import check_choice
from secagg.errors import ConfigurationError
from secagg.paths import expanded, is_archive, whole
from secagg.privacy.clipping import ClippingKind
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT, required_contributors
from secagg.suggestions import did_you_mean
from secagg.training.model_state import ServerStep

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]

_EXAMPLE_CLIP_L2: Final = 1.0
_PATHS: Final = ("dataset", "committee")

EXAMPLE_LEVEL_DEFAULTS: Final[dict[str, float]] = {"delta": 1e-5, "clip_l2": 100.0, "learning_rate": 0.1}
"""What `parse` takes where examples are the privacy unit and the setting is not given.

Updates have the noise of local training in them: clipped as tightly as without it they would be little else.
"""

_CHOICES: Final = {
    "adversary": (str(Adversary.CURIOUS), str(Adversary.MALICIOUS)),
    "mechanism": tuple(str(each) for each in LatticeNoise),
    "trust": tuple(str(each) for each in Trust),
    "clipping": tuple(str(each) for each in ClippingKind),
    "unit": ("client", "example"),
    "weighting": tuple(str(each) for each in Weighting),
}

_KINDS: Final[dict[str, type[StrEnum]]] = {
    "adversary": Adversary,
    "mechanism": LatticeNoise,
    "trust": Trust,
    "clipping": ClippingKind,
    "weighting": Weighting,
}


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a run; equal settings give equal runs, security randomness aside.

    Attributes:
        dataset: A name that `secagg.data.load` knows, or the path of an `.npz` file; a run keeps the whole path.
        model: A name that `secagg.models.zoo` knows.
        clients: Simulated devices, each with a shard of its own.
        rounds: Global rounds, one release each, which the noise is sized for; a run may go on to others.
        protocol: A registered protocol's name.
        committee: Folder with the key files of all members of a committee, for protocols that need one.
        committee_fingerprint: Of the committee's key, 64 hexadecimal digits: another key is refused.  Where none is
            given, it is filled in when the run begins, so that the run goes on with this key alone.
        adversary: The server that clients are to be safe from: "curious" follows the protocol, "malicious" may do
            anything; against the latter clients have identities and agree on who vanished.
        adversarial: Largest fraction of clients that collude with the server, rounded down to whole clients: 0.05 of
            10 clients is none.  It sizes the protocol's parameters.  Their noise shares, one at the least, are not
            counted.
        dropout: Fraction of the clients that vanish in every round, rounded down to whole clients (0.1 of 9 is none),
            at random points of the protocol among those that ask clients; a committee stays.
        minimum_contributors: Least contributors of a release, which the noise is sized for; by default what is left
            after one and a half times the dropout, and no less than a majority (against a malicious server: of all
            clients and the adversarial ones once more).
        unit: What the budget protects: "client", all that one client contributes, by noise in the sums; or "example",
            one example of one client, by noise in every client's local training (`secagg.privacy.example_level`).  The
            latter has defaults of its own, see `EXAMPLE_LEVEL_DEFAULTS`.
        epsilon: Budget of the whole run; `inf` means a run without noise.
        delta: Of the budget; below one over the number of clients, or of examples.
        example_clip_l2: Bound on the gradient of one example, where examples are protected.
        mechanism: How the noise is distributed: "discrete-gaussian" or "skellam".
        trust: Who adds it: "distributed", every client a share, so that the server sees a noisy sum alone; "local",
            every client as much as is enough without any other's; "central", the server, which sees the exact sum.
        noise_removal: Whether noise that was added in case more clients vanish is taken off again, so that every mean
            has the noise of the budget and no more; for distributed Skellam noise, where at most 64 may vanish.
        clipping: "global": a client's update is clipped as a whole; "per-layer": each of its arrays, by an equal share
            of the bound; "adaptive": as a whole, by a bound that follows a quantile of the clients' norms.
        clip_l2: Bound on a client's update; where it adapts, the first round's.
        clip_quantile: The fraction of clients whose updates an adaptive bound is to leave unclipped.
        server_learning_rate: Factor on the mean update.
        server_momentum: What is left of earlier mean updates in the next one.
        epochs: Local epochs a round.
        batch_size: Local minibatch.
        optimizer: Local Keras optimizer, by name, such as "sgd" or "adam".
        learning_rate: Of the local optimizer.
        alpha: Dirichlet concentration of the label skew between clients; none means identically distributed shards.
        weighting: "uniform", or "weighted" by the number of a client's examples.
        max_examples: Beyond how many examples a client of a weighted mean counts no more.  It is public, so it must
            not be read off the data; needed where the mean is weighted.
        modulus_bits: Bits a coordinate on the wire.
        seed: Of data split, shards, initial weights, minibatches and drops.  Never of masks, keys or noise.
        compare: Also run without noise, and in the clear, to compare with.  Only a simulation can do that: neither
            is private.
        organisation: Who is responsible for the run, for the ledger and the reports; none by default.
    """

    dataset: str = "digits"
    model: str = "softmax"
    clients: Annotated[int, Meta(ge=2, le=100_000)] = 300
    rounds: Annotated[int, Meta(ge=1, le=100_000)] = 30
    protocol: str = "secagg-plus"
    committee: str | None = None
    committee_fingerprint: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")] | None = None
    adversary: Adversary = Adversary.CURIOUS
    adversarial: Annotated[float, Meta(ge=0, lt=1)] = ADVERSARIAL
    dropout: Annotated[float, Meta(ge=0, lt=1)] = DROPOUT
    minimum_contributors: Annotated[int, Meta(ge=2)] | None = None
    unit: Literal["client", "example"] = "client"
    epsilon: Positive = 8.0
    delta: Annotated[float, Meta(gt=0, lt=1)] = 1e-3
    example_clip_l2: Positive = _EXAMPLE_CLIP_L2
    mechanism: LatticeNoise = LatticeNoise.DISCRETE_GAUSSIAN
    trust: Trust = Trust.DISTRIBUTED
    noise_removal: bool = False
    clipping: ClippingKind = ClippingKind.GLOBAL
    clip_l2: Positive = 0.5
    clip_quantile: Annotated[float, Meta(gt=0, lt=1)] = MEDIAN
    server_learning_rate: Positive = 2.5
    server_momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    epochs: Count = 3
    batch_size: Count = 8
    optimizer: str = "sgd"
    learning_rate: Positive = 0.5
    alpha: Positive | None = None
    weighting: Weighting = Weighting.UNIFORM
    max_examples: Positive | None = None
    modulus_bits: Annotated[int, Meta(ge=2, le=62)] = 24
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 1
    compare: bool = True
    organisation: Annotated[str, Meta(min_length=1, max_length=200)] | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():  # made in Python, a setting may be the text that a file would have
            force_setattr(self, name, check_choice(name, getattr(self, name), kind))
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value) and (name, value) != ("epsilon", math.inf):
                raise ConfigurationError(f"{name} must be finite, not {value}")
            if isinstance(value, str) and not _is_unicode(value):
                raise ConfigurationError(f"{name} must be valid Unicode, not {value!r}")
        if self.organisation is not None and not self.organisation.isprintable():
            raise ConfigurationError("organisation: expected 1 to 200 printable characters, found others among them")
        if self.adversary not in (Adversary.CURIOUS, Adversary.MALICIOUS):
            raise ConfigurationError(f'adversary must be "curious" or "malicious", not "{self.adversary}"')
        if self.private and not 1e-9 <= self.epsilon <= 1e9:
            raise ConfigurationError(f"epsilon must lie in [1e-9, 1e9], or be inf for no noise, not {self.epsilon!r}")
        if self.unit == "client" and self.example_clip_l2 != _EXAMPLE_CLIP_L2:
            raise ConfigurationError("example_clip_l2 is of training that protects examples, and unit is client")
        if self.unit == "example":
            self._check_example_level()
        elif self.private and self.delta * self.clients >= 1:
            raise ConfigurationError(
                f"delta {self.delta} is not below one over {self.clients} clients; {0.9 / self.clients:.2g} would do"
            )
        if self.noise_removal and not self.private:
            raise ConfigurationError("noise_removal has nothing to take off where epsilon is inf")
        if self.private and self.trust is Trust.CENTRAL and self.adversary is Adversary.MALICIOUS:
            raise ConfigurationError("a malicious server cannot be trusted with the noise; trust distributed would do")
        if (self.weighting is Weighting.WEIGHTED) != (self.max_examples is not None):
            raise ConfigurationError("max_examples must be given exactly where weighting is weighted")
        if self.clipping is not ClippingKind.ADAPTIVE and self.clip_quantile != MEDIAN:
            raise ConfigurationError(f"clip_quantile is of adaptive clipping, and clipping is {self.clipping}")
        if self.clipping is ClippingKind.ADAPTIVE and self.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "adaptive clipping counts clients, all alike, and takes no weighted mean; weighting uniform would do, "
                "or clipping global"
            )
        if self.committee is None and self.committee_fingerprint is not None:
            raise ConfigurationError("committee_fingerprint is that of a committee's key, and committee is not given")
        left = self.clients - self.dropping
        if left < 2:
            raise ConfigurationError(
                f"a dropout of {self.dropout:g} leaves {left} of {self.clients} clients, where a sum needs at least 2; "
                f"at most {(self.clients - 2) / self.clients:.3g} would do"
            )
        if self.required_contributors > left:
            default = " by default, a majority" if self.minimum_contributors is None else ""
            raise ConfigurationError(
                f"minimum_contributors is {self.required_contributors}{default}, but a dropout of {self.dropout:g} "
                f"leaves only {left} of {self.clients} clients; at most {left} would do"
            )

    def _check_example_level(self) -> None:
        if self.noise_removal or (self.mechanism, self.trust) != (LatticeNoise.DISCRETE_GAUSSIAN, Trust.DISTRIBUTED):
            raise ConfigurationError(
                "mechanism, trust and noise_removal are of noise in the sums, and unit example has it in local training"
            )
        if self.weighting is Weighting.WEIGHTED:
            raise ConfigurationError(
                "a mean weighted by examples tells their number, which unit example protects; weighting uniform would "
                "do: updates grow with the number of examples as it is"
            )
        if self.private and self.optimizer != "sgd":
            raise ConfigurationError(
                f"unit example trains by sgd, not {self.optimizer}; server_momentum would do for momentum, and costs "
                "no privacy"
            )

    @property
    def private(self) -> bool:
        """Whether noise is added."""
        return math.isfinite(self.epsilon)

    @property
    def dropping(self) -> int:
        """How many clients vanish in every round."""
        return whole_clients(self.clients, self.dropout, "dropout")

    @property
    def server_step(self) -> ServerStep:
        """How the server moves the model."""
        return ServerStep(learning_rate=self.server_learning_rate, momentum=self.server_momentum)

    @property
    def required_contributors(self) -> int:
        """The least number of contributors of a release."""
        return required_contributors(
            clients=self.clients,
            dropout=self.dropout,
            adversarial=self.adversarial,
            adversary=self.adversary,
            minimum_contributors=self.minimum_contributors,
        )

    def as_toml(self) -> str:
        """The settings as TOML, which `parse` reads back to equal ones."""
        lines = []
        for name in self.__struct_fields__:
            match getattr(self, name):
                case None:
                    continue
                case bool() | str() as value:
                    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                    lines.append(f"{name} = {text}")
                case value:
                    lines.append(f"{name} = {value!r}")
        return "\n".join(lines) + "\n"

    def digest(self) -> bytes:
        """32 bytes that name these settings, all of them."""
        return hashlib.sha256(self.as_toml().encode()).digest()

    def with_whole_paths(self) -> "TrainingConfig":
        """The same settings, which hold from every folder.

        Raises:
            ConfigurationError: There is no home folder for a path's `~`.
        """
        found = {name: whole_path(name, getattr(self, name)) for name in _PATHS}
        return msgspec.structs.replace(self, **found)


def protects(protocol: str) -> bool:
    """Whether a protocol, by its registered name, protects updates from any server at all; a baseline does not.

    Raises:
        UnknownProtocol: There is no such protocol.
        BrokenProtocol: It cannot be loaded.
    """
    return load(protocol).adversaries != ()


def protection(protocol: str, *, private: bool, adversary: Adversary) -> str:
    """What a run's result may be called, in words for people."""
    if not protects(protocol):
        return "noised, but not secure" if private else "in the clear"
    called = "secure and private" if private else "secure"
    return f"{called}, malicious server" if adversary is Adversary.MALICIOUS else called


def assumed_server(protocol: str, adversary: Adversary, trust: Trust) -> str:
    """What is assumed of the server, in words for people."""
    if not protects(protocol):
        return "trusted with every update, noisy as it is" if trust is Trust.LOCAL else "trusted with every update"
    if trust is Trust.CENTRAL:
        return "trusted with exact sums, and to add the noise"
    if adversary is Adversary.MALICIOUS:
        return "malicious: it may do anything"
    return "curious: it follows the protocol"


def read_settings(path: Path) -> dict[str, Any]:
    """The table of a TOML file, not yet checked.

    Raises:
        ConfigurationError: The file cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(expanded(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is not valid settings: it is nested too deeply") from None
    except ValueError as error:  # Not only what tomllib raises itself: numbers of thousands of digits, for one.
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None


def parse(settings: dict[str, Any]) -> TrainingConfig:
    """Checked settings from a table.

    Raises:
        ConfigurationError: A setting is unknown, of a wrong type, or cannot work.
    """
    check_known(settings)
    if settings.get("unit") == "example":
        settings = EXAMPLE_LEVEL_DEFAULTS | settings
    try:
        return msgspec.convert(settings, type=TrainingConfig)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigurationError):
            raise error.__cause__ from None
        reason, _, setting = str(error).partition(" - at `$.")
        raise _refusal(setting.rstrip("`"), reason, settings) from None


def check_known(settings: Mapping[str, Any]) -> None:
    """Refuse settings that there are not.

    Raises:
        ConfigurationError: There is one; the message says which was meant, as far as that can be told.
    """
    known = TrainingConfig.__struct_fields__
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        meant = did_you_mean(unknown[0], known)
        raise ConfigurationError(f"unknown setting {', '.join(unknown)}; there are {', '.join(known)}{meant}")


def convert_setting(name: str, value: object) -> Any:
    """One setting by itself, in the type that `TrainingConfig` has it in.

    Args:
        name: Of a known setting.
        value: As TOML or the command line has it.

    Raises:
        ConfigurationError: It is of a wrong type or out of range.
    """
    kind = next(field.type for field in msgspec.structs.fields(TrainingConfig) if field.name == name)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _refusal(name, str(error), {name: value}) from None


def whole_path(name: str, value: Any) -> Any:
    """A setting's value; where it is a path, the one that means the same from every folder.

    Raises:
        ConfigurationError: There is no home folder for its `~`.
    """
    return whole(value) if is_path(name, value) else value


def is_path(name: str, value: Any) -> bool:
    """Whether a setting's value is a path; a data set may have a name instead."""
    return isinstance(value, str) and name in _PATHS and (name != "dataset" or is_archive(value))


def _refusal(name: str, reason: str, settings: Mapping[str, Any]) -> ConfigurationError:
    choices = _CHOICES.get(name)
    if choices is not None and reason.startswith("Invalid enum value"):
        meant = did_you_mean(str(settings.get(name)), choices)
        reason = f"{reason}; it is one of {', '.join(choices)}{meant}"
    return ConfigurationError(f"{name}: {reason[:1].lower()}{reason[1:]}")


def _is_unicode(text: str) -> bool:
    """Whether it can be written in UTF-8, which an argument of bytes that are none cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
