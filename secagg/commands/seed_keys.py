"""What `secagg keys member` and `keys seed-committee` do: keys of a committee's members, and the committee.

Each member makes its secret keys on its own machine, and hands out public files only. There is no dealer.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from protocols.seeds import sets
from protocols.seeds.committee import SeedCommittee
from protocols.seeds.member_key import InvalidCertificate, MemberCertificate
from protocols.seeds.member_keys import MemberKeys
from secagg.errors import ConfigurationError
from secagg.paths import escaped, expanded
from secagg.storage.labelled_file import MODES_ARE_CHECKED, KeyFileError
from secagg.storage.public_line import fingerprint
from secagg.storage.seed_keys import (
    KEYS_NAME,
    add_epoch,
    certificate_name,
    delete_expired,
    read_certificate,
    write_member,
    write_seed_committee,
)

DEFAULT_DAYS: Final = 90
_MOST_DAYS: Final = 3650
_DAY_S: Final = 86_400


def make_member(folder: Path, *, days: int | None) -> None:
    """Make a member's folder, or the key of its next epoch, and say what to do with the files.

    Args:
        folder: A folder with a member's keys, or one that is empty or does not exist.
        days: The length of the epoch, 1 to 3650; None for 90.

    Raises:
        ConfigurationError: `days` is out of range.
        KeyFileError: The folder is neither a member's nor free, or its keys cannot be read.
        CheckpointError: Another process is changing the member's keys.
        ParameterError: There are keys of 256 epochs.
        OSError: The folder cannot be written to.
    """
    days = DEFAULT_DAYS if days is None else days
    if not 1 <= days <= _MOST_DAYS:
        raise ConfigurationError(f"--days: expected 1 to {_MOST_DAYS}, found {days}. Use a number in this range.")
    folder, now = expanded(folder), int(time.time())
    exists = (folder / KEYS_NAME).exists()
    if exists:
        keys = add_epoch(folder, not_before=now, not_after=now + days * _DAY_S)
    else:
        keys = MemberKeys.generate().with_epoch(now, now + days * _DAY_S)
        write_member(folder, keys)
    _print(_member_lines(folder, keys, is_new=not exists))


def delete_on_terminal(folder: Path, *, days: int | None) -> None:
    """Delete the secret keys of a member's expired epochs, and say which.

    Raises:
        ConfigurationError: `days` is given, although no key is made.
        KeyFileError: The keys cannot be read.
        CheckpointError: Another process is changing the member's keys.
        OSError: The folder cannot be written to.
    """
    if days is not None:
        raise ConfigurationError(
            f"--days: expected none with --delete-expired, which makes no key, found {days}. Leave out one of the two."
        )
    folder = expanded(folder)
    gone = delete_expired(folder, now=time.time())
    lines = [
        f"{escaped(folder)}: deleted the secret key of epoch {each.epoch}, expired {_date(each.not_after)}"
        for each in gone
    ]
    if gone:
        lines += [
            "What was encrypted to a deleted key can no longer be decrypted with this folder. A backup or the disk may",
            "still hold a copy: a key protects past sessions only if no copy of it is left.",
        ]
    else:
        lines.append(f"{escaped(folder)}: deleted nothing, since no secret key in it has expired")
    _print(lines)


def make_seed_committee(certificates: Sequence[Path], *, colluding: int, quorum: int | None, out: Path) -> None:
    """Write a committee's file from its members' certificates, and say what it protects from.

    Args:
        certificates: The public file of each member, in order.
        colluding: The most corrupt members that learn nothing.
        quorum: The number of members that agree on a sum; None for the least that is safe.
        out: The file, which must not exist.

    Raises:
        KeyFileError: A file cannot be read, or `out` exists.
        ParameterError: The members or the numbers make no committee, or a certificate is not valid now.
        OSError: The file cannot be written.
    """
    now = time.time()
    read = tuple(_valid_certificate(expanded(path), now) for path in certificates)
    least = sets.quorum(len(read), colluding)
    committee = SeedCommittee(certificates=read, colluding=colluding, quorum=least if quorum is None else quorum)
    out = expanded(out)
    write_seed_committee(out, committee)
    _print(account(out, committee))


def _valid_certificate(path: Path, now: float) -> MemberCertificate:
    """Return the certificate of a member's public file, or raise an error that names the file."""
    try:
        certificate = read_certificate(path)
    except KeyFileError as error:
        what = str(error).removesuffix(".")
        raise type(error)(
            f"{what}. Name the public file of the member, such as {certificate_name(0)}, which `secagg keys member` "
            "makes."
        ) from None
    try:
        certificate.check(now)
    except InvalidCertificate as error:
        raise type(error)(f"{path}: {error}") from None
    return certificate


def account(out: Path, committee: SeedCommittee) -> Iterator[str]:
    """Yield lines that say what was written, what to do with it, and what it protects from."""
    members, colluding, quorum = committee.members, committee.colluding, committee.quorum
    yield f"{escaped(out)}: a committee of {members} members, any {quorum} of whom agree on a sum. It is public."
    for index, certificate in enumerate(committee.certificates, start=1):
        yield (
            f"  member {index}: epoch {certificate.epoch} until {_date(certificate.not_after)}, identity "
            f"{fingerprint(certificate.identity)}"
        )
    yield "  Ask each member for the fingerprint of its identity over a channel that the server does not control."
    yield f"  pin, the same in all epochs, to be compared over such a channel by all clients: {committee.pin.hex()}"
    yield f"  fingerprint of this epoch: {committee.fingerprint.hex()}"
    yield f"  secrecy: at most {colluding} corrupt members learn only the sums that are opened"
    absent = members - max(quorum, committee.sets.needed)
    yield f"  availability: a sum can be opened if at most {absent} members are absent"
    yield f"  one sum in each session, with any server: if at most {colluding} members are corrupt"
    yield f"  wrong answers: {_decided(members, colluding)}"
    yield f"  cost: a client draws {committee.sets.count} seeds, of which a member gets {committee.sets.held}"


def _decided(members: int, colluding: int) -> str:
    """Return what becomes of wrong answers of corrupt members."""
    finding, naming = 2 * colluding + 1, 3 * colluding + 1
    if members >= naming:
        return f"never accepted; if at least {naming} members answer, the sum is opened and the wrong ones are named"
    if members >= finding:
        return f"never accepted; a sum with one is refused. With {naming} members, it would be opened all the same"
    return f"NOT found, and all sums are marked as unverified. At least {finding} members would find them"


def _member_lines(folder: Path, keys: MemberKeys, *, is_new: bool) -> Iterator[str]:
    certificate = keys.epochs[-1].certificate
    made = "a new identity, and the key of epoch 0" if is_new else f"the key of epoch {certificate.epoch}"
    yield f"{escaped(folder)}: {made}, until {_date(certificate.not_after)}"
    yield f"  {certificate_name(certificate.epoch)}: public. Give it to the maker of the committee's file."
    yield (
        "    fingerprint of the identity, to be compared over a channel that the server does not control: "
        f"{fingerprint(certificate.identity)}"
    )
    yield f"  {KEYS_NAME}: secret. Never copy the folder, and keep it out of backups: a copy outlives a deleted key."
    if not MODES_ARE_CHECKED:
        yield "    WARNING: on this system secagg neither restricts nor checks who may read this folder. Restrict it to"
        yield "    its owner by the system's own means (on Windows: icacls)."
    yield f"  After the last session of an expired epoch, run: secagg keys member {escaped(folder)} --delete-expired"


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _print(lines: Iterator[str] | Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
