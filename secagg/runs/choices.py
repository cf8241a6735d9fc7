"""The protocol and the committee of a run, chosen and checked before any data are loaded."""

from protocols import Adversary, BrokenProtocol, SecureSum, load, loadable
from protocols.errors import ParameterError
from protocols.registry import error_text, suggest
from protocols.seeds import SeedSum
from secagg.errors import ConfigurationError
from secagg.runs.config import TrainingConfig
from secagg.simulation.committee import MAKE, SimulatedCommittee
from secagg.simulation.seed_committee import drawn_committee, read_committee


def has_seed_committee(config: TrainingConfig) -> bool:
    """Return whether the committee is one by replicated seeds, which computes with no long numbers.

    Raises:
        UnknownProtocol: There is no such protocol.
        BrokenProtocol: It cannot be loaded.
    """
    return issubclass(load(config.protocol), SeedSum)


def choose_committee(config: TrainingConfig) -> SimulatedCommittee | None:
    """Return the committee, if the protocol needs one.

    The keys of a committee by replicated seeds need no ceremony. If there is no folder, they are made now.

    Raises:
        UnknownProtocol: There is no such protocol.
        BrokenProtocol: It cannot be loaded.
        ConfigurationError: There is none though one is needed, or one though none is; it is not complete, could open
            two sums of one session, or has another key than the settings say.
        KeyFileError: A file is damaged, belongs to another committee, or can be read by others than its owner.
    """
    kind, of_seeds = load(config.protocol), has_seed_committee(config)
    if config.committee is None:
        return _without_folder(config, kind)
    if not kind.needs_committee:
        raise ConfigurationError(
            f"committee: expected none, since {config.protocol} needs no committee, found {config.committee}. Leave "
            "out --committee."
        )
    found = (read_committee if of_seeds else SimulatedCommittee.read)(config.committee, clients=config.clients)
    pin = found.committee.key.pin.hex()
    if config.committee_fingerprint not in (None, pin):
        what = "committee" if of_seeds else "key"
        raise ConfigurationError(
            f"committee_fingerprint: expected {config.committee_fingerprint}, found {pin} in {config.committee}. Use "
            f"the folder of the expected {what}. A run goes on with that {what} only."
        )
    return found


def _without_folder(config: TrainingConfig, kind: type[SecureSum]) -> SimulatedCommittee | None:
    """Return a committee that is drawn now, or None if the protocol needs none."""
    if issubclass(kind, SeedSum):
        return drawn_committee(clients=config.clients, adversarial=config.adversarial)
    if kind.needs_committee:
        raise ConfigurationError(
            f"committee: expected the folder of one, which {config.protocol} needs, found none. Make it with "
            f"{MAKE} and give it with --committee."
        )
    return None


def choose_protocol(config: TrainingConfig, *, clients: int | None = None) -> tuple[SecureSum, int]:
    """Return the protocol with its parameters, and the least number of contributors.

    Args:
        config: The settings.
        clients: The number of clients of the session, at least that of the settings, all of whom contribute; by default
            the number that a round asks, of whom some may drop out.

    Raises:
        UnknownProtocol: There is no such protocol.
        BrokenProtocol: It cannot be loaded, or fails.
        ConfigurationError: It does not protect from the adversary, has no parameters for this cohort, or requires more
            contributors.
    """
    required = config.required_contributors if clients is None else clients
    asked = config.asked if clients is None else clients
    # Parameters for all dropouts that may happen before nothing is released, not only for those expected.
    tolerated = (asked - required) / asked
    kind = load(config.protocol)
    if config.adversary is Adversary.MALICIOUS and config.adversary not in kind.adversaries:
        raise ConfigurationError(
            f"protocol: expected one that protects from a malicious server, found {config.protocol}. "
            f"{_protocols_against_malice()}"
        )
    try:
        protocol, least = suggest(
            config.protocol,
            kind,
            clients=asked,
            adversarial=config.adversarial,
            dropout=tolerated,
            adversary=config.adversary,
        )
    except BrokenProtocol:
        raise
    except ParameterError as error:
        reason = error_text(error)  # A plug-in's text.
        raise ConfigurationError(
            f"minimum_contributors: expected parameters of {config.protocol} with which "
            f"{asked - required} of {asked} clients may drop out, found none: {reason.removesuffix('.')}. Use more "
            f"than {required}: fewer may then drop out."
        ) from None
    if required < least:
        raise ConfigurationError(
            f"minimum_contributors: expected at least {least}, the least of {config.protocol}, found {required}. Use "
            f"{least} or more."
        )
    return protocol, required


def _protocols_against_malice() -> str:
    """Return advice to use a protocol that protects from a malicious server; experimental ones are marked."""
    able = {name: kind for name, kind in loadable().items() if Adversary.MALICIOUS in kind.adversaries}
    *most, last = [name for name, kind in able.items() if not kind.experimental] or ["another one"]
    use = f"Use {', '.join(most)} or {last}" if most else f"Use {last}"
    doubts = [f"{name} is experimental: {kind.experimental}" for name, kind in able.items() if kind.experimental]
    return f"{use} ({'; '.join(doubts)})." if doubts else f"{use}."
