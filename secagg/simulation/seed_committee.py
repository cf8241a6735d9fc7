"""A simulation's committee by replicated seeds, all of whose members this process plays: drawn for a run, or read.

Members make their own keys, and nobody deals any. So a simulation needs no folder of keys: it draws a committee that
ends with the process. A resumed run draws another one. With a folder, the run's clients pin the committee in it, in any
epoch.
"""

import time
from pathlib import Path
from typing import Final

from protocols import Committee, Identity, MemberCertificate, MemberShare, ParameterError, SeedCommittee
from protocols.cohort import whole_clients
from protocols.seeds.member_key import CertificateExpired
from protocols.seeds.member_keys import MemberKeys
from protocols.seeds.sets import quorum
from secagg.errors import ConfigurationError
from secagg.paths import expanded
from secagg.simulation.committee import SimulatedCommittee
from secagg.storage.public_line import fingerprint
from secagg.storage.seed_keys import COMMITTEE_NAME, KEYS_NAME, read_member, read_seed_committee

DRAWN_MEMBERS: Final = 5
"""The number of members of a committee that is drawn for a run."""

_DRAWN_FOR_S: Final = 10 * 365 * 86_400  # The keys end with the process, long before.


def drawn_committee(*, clients: int, adversarial: float) -> SimulatedCommittee:
    """Return a committee whose members make their keys now.

    Args:
        clients: The number of clients, whose ids are 0, 1, ...; the members are other parties, with the next ids.
        adversarial: The fraction of the members, in [0, 1), that may be corrupt; at least one is assumed to be.

    Raises:
        ParameterError: The fraction is out of its range.
    """
    now = int(time.time())
    colluding = max(1, whole_clients(DRAWN_MEMBERS, adversarial, "adversarial"))
    identities = [Identity.generate() for _ in range(DRAWN_MEMBERS)]
    issued = [MemberCertificate.issue(identity, 0, now, now + _DRAWN_FOR_S) for identity in identities]
    key = SeedCommittee(
        certificates=tuple(certificate for certificate, _ in issued),
        colluding=colluding,
        quorum=quorum(DRAWN_MEMBERS, colluding),
    )
    shares = tuple(
        MemberShare(key, index, identity, epoch_key)
        for index, (identity, (_, epoch_key)) in enumerate(zip(identities, issued, strict=True), start=1)
    )
    return _with_ids(key, shares, clients)


def read_committee(folder: str | Path, *, clients: int) -> SimulatedCommittee:
    """Return the committee of a folder that holds its public file, and the folders of all of its members.

    Args:
        folder: The folder, with the file `seed-committee.pub`. Each member's folder may have any name.
        clients: As for `drawn_committee`.

    Raises:
        ConfigurationError: A file is missing, or a member's certificate is not valid now.
        KeyFileError: A file is damaged or not a member's, other users may read or write it, or it belongs to another
            user.
    """
    path = expanded(folder)
    public = path / COMMITTEE_NAME
    if path.is_file():
        raise ConfigurationError(
            f"committee: expected a folder with a file {COMMITTEE_NAME}, found a file at {path}. Name the folder, "
            f"{path.parent}."
        )
    if not public.exists():
        raise ConfigurationError(
            f"committee: expected a folder with a file {COMMITTEE_NAME} at {path}, found none. Make each member's "
            f"folder in it with secagg keys member, and the file with secagg keys seed-committee --out {public}, or "
            "leave out --committee: a committee is then drawn for the run."
        )
    key = read_seed_committee(public)
    try:
        key.check(time.time())
    except CertificateExpired as error:
        raise ConfigurationError(
            f"committee: {public}: {error} Make the key of each member's next epoch with secagg keys member, and the "
            "committee's file anew."
        ) from None
    except ParameterError as error:
        raise ConfigurationError(f"committee: {public}: {error}") from None
    by_identity = {keys.identity.public: keys for keys in map(read_member, _member_folders(path))}
    missing = [
        f"{index} (identity {fingerprint(each)})"
        for index, each in enumerate(key.identities, start=1)
        if each not in by_identity
    ]
    if missing:
        raise ConfigurationError(
            f"committee: expected the folders of all {key.members} members in {path}, since a simulation plays all of "
            f"them, found none of member {', '.join(missing)}. Put each member's folder there."
        )
    return _with_ids(key, tuple(_share(by_identity[each], key, path) for each in key.identities), clients)


def _member_folders(folder: Path) -> list[Path]:
    return sorted(found.parent for found in folder.glob(f"*/{KEYS_NAME}"))


def _share(keys: MemberKeys, key: SeedCommittee, folder: Path) -> MemberShare:
    try:
        return keys.share(key)
    except ParameterError as error:
        raise ConfigurationError(f"committee: {folder}: {error}") from None


def _with_ids(key: SeedCommittee, shares: tuple[MemberShare, ...], clients: int) -> SimulatedCommittee:
    """Return the committee with the ids after those of the clients."""
    return SimulatedCommittee(
        committee=Committee(key=key, members=tuple(range(clients, clients + key.members))), shares=shares
    )
