"""What a check of a home says of its committee: what to compare, how long it lasts, and what does not fit."""

import datetime
from collections.abc import Iterator, Sequence
from typing import Final

from protocols import MemberCertificate, SecureSum
from protocols.seeds import SeedCommittee, SeedSum
from secagg.engines.node.home import Home
from secagg.storage.key_files import PUBLIC_NAME
from secagg.storage.public_line import fingerprint
from secagg.storage.seed_keys import KEYS_NAME, read_member

_DAY_S: Final = 86_400
WARNED_S: Final = 14 * _DAY_S
"""How long before the end of an epoch a check warns of it."""


def committee_facts(home: Home) -> Iterator[tuple[str, str]]:
    """Yield what the home's committee is, and what the node has in it: a label and a text each."""
    key = home.committee_key
    if isinstance(key, SeedCommittee):
        yield from _seed_facts(home, key)
    elif key is not None:
        yield "Fingerprint of the committee's key", key.fingerprint.hex()
    if home.share is not None:
        yield "Key share of the committee", str(home.share.index)


def _seed_facts(home: Home, key: SeedCommittee) -> Iterator[tuple[str, str]]:
    yield "Pin of the committee", f"{key.pin.hex()}, the same in all epochs: compare it by another way"
    yield (
        "Committee",
        (f"{key.members} members, of whom {key.quorum} agree on a sum, and at most {key.colluding} may be corrupt"),
    )
    for index, certificate in enumerate(key.certificates, start=1):
        yield (
            f"Member {index} in {PUBLIC_NAME}",
            (
                f"epoch {certificate.epoch}, {_date(certificate.not_before)} to {_date(certificate.not_after)}; "
                f"identity {fingerprint(certificate.identity)}"
            ),
        )
    if home.is_seed_member:
        keys = read_member(home.path)
        yield "This node in the committee", f"member {key.identities.index(keys.identity.public) + 1}"
        yield (
            f"Secret keys in {KEYS_NAME}",
            (
                "; ".join(
                    f"epoch {each.certificate.epoch} until {_date(each.certificate.not_after)}" for each in keys.epochs
                )
                or "none"
            ),
        )


def committee_warnings(home: Home) -> Iterator[str]:
    """Yield what ends soon, and what should have been deleted."""
    key, now = home.committee_key, home.now()
    if not isinstance(key, SeedCommittee):
        return
    if key.expires - now < WARNED_S:
        what = "ended" if key.expires <= now else "ends"
        yield (
            f"{PUBLIC_NAME}: expected an epoch that goes on for {WARNED_S // _DAY_S} days or more, found one that "
            f"{what} on {_date(key.expires)}. The coordinator needs the committee's file of the next epoch. This node "
            "accepts it without a change, since the pin is the same."
        )
    if not home.is_seed_member:
        return
    keys = read_member(home.path)
    certificates = [each.certificate for each in keys.epochs]
    named = key.certificates[key.identities.index(keys.identity.public)]
    if key.expires > now and named not in certificates:
        yield (
            f"{KEYS_NAME}: expected the key of epoch {named.epoch}, which {PUBLIC_NAME} names for this node, found "
            f"{_epochs(certificates)}. Ask for the committee's file with this node's newest certificate: a deleted key "
            "cannot be had back."
        )
    if all(each.not_after - now < WARNED_S for each in certificates):
        last = f"found one that lasts until {_date(certificates[-1].not_after)}" if certificates else "found none"
        yield (
            f"{KEYS_NAME}: expected a key of an epoch that goes on for {WARNED_S // _DAY_S} days or more, {last}. Make "
            f"the next one: secagg keys member {home.path}"
        )
    if expired := [str(each.epoch) for each in certificates if each.not_after <= now]:
        yield (
            f"{KEYS_NAME}: expected no keys of expired epochs, found epoch {', '.join(expired)}. Anyone who steals "
            f"them can open what was sent in that time: secagg keys member {home.path} --delete-expired"
        )


def _epochs(certificates: Sequence[MemberCertificate]) -> str:
    return ", ".join(f"epoch {each.epoch}" for each in certificates) or "none"


def committee_faults(home: Home, kinds: Sequence[type[SecureSum]]) -> Iterator[str]:
    """Yield why the home's committee fits none of the protocols that the policy accepts.

    Args:
        home: The home.
        kinds: The classes of these protocols.
    """
    key = home.committee_key
    if not all(kind.needs_committee for kind in kinds):
        return
    if key is None:
        yield (
            f"{PUBLIC_NAME}: expected the committee's key, which every protocol of the policy needs, found none. Copy "
            "the file into the home under this name, and compare its fingerprint or its pin."
        )
    elif not any(issubclass(kind, SeedSum) is isinstance(key, SeedCommittee) for kind in kinds):
        yield (
            f"{PUBLIC_NAME}: expected a committee for {', '.join(kind.name for kind in kinds)}, found "
            f"{'one by replicated seeds' if isinstance(key, SeedCommittee) else 'one with a dealer'}. Copy the right "
            "file into the home, and compare its fingerprint or its pin."
        )


def _date(seconds: int) -> str:
    """Return a time in UTC; its number where no calendar has it."""
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{seconds} (Unix seconds)"
