"""The key files of a committee by replicated seeds: a member's folder, its public certificates, and the committee.

Each member has a folder of its own, which only it can use. In it are one secret file, with its identity and the keys of
its epochs, and a public certificate for each epoch. A committee's file is made of one certificate of each member, and
needs no secret. All of them are labelled files (`secagg.storage.labelled_file`).

The secret file is replaced in one step: after an interruption it holds the keys from before or those from after. The
old content is not wiped: a file system or a backup may still have it.
"""

from pathlib import Path
from typing import Final

from protocols.committee import CommitteeKey
from protocols.errors import ParameterError
from protocols.seeds.committee import MOST_BYTES, MemberShare, SeedCommittee
from protocols.seeds.member_key import CERTIFICATE_BYTES, EPOCH_KEY_BYTES, MemberCertificate
from protocols.seeds.member_keys import MOST_EPOCHS, MemberKeys
from secagg.files import write_whole
from secagg.storage.folder_lock import FolderLock
from secagg.storage.key_files import check_free, read_committee_key
from secagg.storage.labelled_file import (
    DamagedKeyFile,
    KeyFileError,
    check_private_folder,
    fill_labelled,
    filled_folder,
    read_labelled,
    read_regular,
    write_labelled,
)

COMMITTEE_NAME: Final = "seed-committee.pub"
"""The name of a committee's file where the folders of all members are beside it, as in a simulation."""

KEYS_NAME: Final = "member.key"

_KEYS_LABEL: Final = b"secagg seed committee member's secret keys, file format 1\n"
_CERTIFICATE_LABEL: Final = b"secagg seed committee member's certificate, file format 1\n"
_COMMITTEE_LABEL: Final = b"secagg seed committee, file format 1\n"
_MOST_OF_ANY_KIND: Final = 2**20
_ROOM: Final = 1024
"""More than a label, a checksum and the fixed parts of a content."""
_RISK: Final = "Anyone who has read it can sign and decrypt like this member."


def certificate_name(epoch: int) -> str:
    """Return the name of the public file of a member's epoch."""
    return f"member-epoch-{epoch}.pub"


def write_member(folder: Path, keys: MemberKeys) -> None:
    """Make the folder of a new member, with its secret keys and the certificates of all its epochs, or nothing.

    Args:
        folder: A folder that is empty or does not exist. Its parents are made.
        keys: The member's keys.

    Raises:
        KeyFileError: The folder is not free.
        OSError: The folder cannot be written to.
    """
    with filled_folder(check_free(folder, example="member")) as partial:
        write_labelled(partial / KEYS_NAME, _KEYS_LABEL, keys.to_bytes(), mode=0o600)
        for key in keys.epochs:
            _write_certificate(partial, key.certificate)


def add_epoch(folder: Path, *, not_before: int, not_after: int) -> MemberKeys:
    """Add the key of the next epoch to a member's folder, and write its certificate.

    Args:
        folder: The member's folder.
        not_before: The first second of the epoch in Unix time.
        not_after: The first second after the epoch in Unix time.

    Returns:
        All keys; that of the new epoch is the last one.

    Raises:
        KeyFileError: As from `read_member`.
        CheckpointError: Another process is changing the member's keys.
        ParameterError: The dates are out of range, or there are keys of 256 epochs.
        OSError: The folder cannot be written to.
    """
    check_private_folder(folder)
    with FolderLock(folder, "member"):
        keys = read_member(folder).with_epoch(not_before, not_after)
        _replace(folder, keys)
        _write_certificate(folder, keys.epochs[-1].certificate)
    return keys


def delete_expired(folder: Path, *, now: float) -> tuple[MemberCertificate, ...]:
    """Delete the private keys of a member's expired epochs. Their certificates stay; they are public.

    Args:
        folder: The member's folder.
        now: The time in Unix seconds.

    Returns:
        The certificates of the keys that were deleted.

    Raises:
        KeyFileError: As from `read_member`.
        CheckpointError: Another process is changing the member's keys.
        OSError: The folder cannot be written to.
    """
    check_private_folder(folder)
    with FolderLock(folder, "member"):
        keys = read_member(folder)
        left = keys.without_expired(now)
        gone = tuple(key.certificate for key in keys.epochs if key not in left.epochs)
        if gone:
            _replace(folder, left)
    return gone


def read_member(folder: Path) -> MemberKeys:
    """Return a member's secret keys from its folder.

    Raises:
        ExposedKeyFile: Users other than its owner may read or write the file.
        KeyFileError: The file cannot be read, is damaged, or is another file.
    """
    path = folder / KEYS_NAME
    content = read_labelled(path, _KEYS_LABEL, most_bytes=_ROOM + MOST_EPOCHS * EPOCH_KEY_BYTES, risk=_RISK)
    try:
        return MemberKeys.from_bytes(content)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def read_member_share(folder: Path, committee: SeedCommittee) -> MemberShare:
    """Return what a member holds in a committee, from the member's folder.

    Raises:
        KeyFileError: As from `read_member`; or the member is not in the committee, or has no key of its epoch.
    """
    try:
        return read_member(folder).share(committee)
    except ParameterError as error:
        raise KeyFileError(f"{folder / KEYS_NAME}: {error}") from None


def read_certificate(path: Path) -> MemberCertificate:
    """Return a member's certificate from its public file. It is not verified: see `MemberCertificate.check`.

    Raises:
        KeyFileError: The file cannot be read, is damaged, or is another file.
    """
    content = read_labelled(path, _CERTIFICATE_LABEL, most_bytes=_ROOM + CERTIFICATE_BYTES)
    try:
        return MemberCertificate.from_bytes(content)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def write_seed_committee(path: Path, committee: SeedCommittee) -> None:
    """Write the public file of a committee, which must not exist yet.

    Raises:
        KeyFileError: There is a file, or something else, at the path.
        OSError: The file cannot be written.
    """
    try:
        write_labelled(path, _COMMITTEE_LABEL, committee.to_bytes(), mode=0o644)
    except FileExistsError:
        raise KeyFileError(
            f"{path}: expected no file, found one, which is never overwritten. Name another file."
        ) from None


def read_seed_committee(path: Path) -> SeedCommittee:
    """Return a committee from its public file. Signatures and keys are verified, dates and identities are not.

    Raises:
        KeyFileError: The file cannot be read, is damaged, is another file, or a certificate in it is not valid.
    """
    content = read_labelled(path, _COMMITTEE_LABEL, most_bytes=_ROOM + MOST_BYTES)
    try:
        return SeedCommittee.from_bytes(content)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def read_committee_of_any_kind(path: Path) -> CommitteeKey:
    """Return the public side of a committee from its file, whose first line tells which kind of committee it is.

    Raises:
        KeyFileError: As from `read_seed_committee` or `secagg.storage.key_files.read_committee_key`.
    """
    whole = read_regular(path, most_bytes=_MOST_OF_ANY_KIND)
    if whole.startswith(_COMMITTEE_LABEL):
        return read_seed_committee(path)
    if whole.startswith((_CERTIFICATE_LABEL, _KEYS_LABEL)):
        raise DamagedKeyFile(
            f"{path}: expected the file of a whole committee, found one of a single member. Use the file that `secagg "
            "keys seed-committee` has made."
        )
    return read_committee_key(path)


def _replace(folder: Path, keys: MemberKeys) -> None:
    write_whole(folder / KEYS_NAME, lambda path: fill_labelled(path, _KEYS_LABEL, [keys.to_bytes()]), mode=0o600)


def _write_certificate(folder: Path, certificate: MemberCertificate) -> None:
    write_labelled(folder / certificate_name(certificate.epoch), _CERTIFICATE_LABEL, certificate.to_bytes(), mode=0o644)
