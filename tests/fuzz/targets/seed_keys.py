"""Targets of committees by replicated seeds: certificates, committees, members' keys, their files, boxes and pads."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from protocols.crypto import hpke
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSum, MalformedMessage, ParameterError
from protocols.seeds.committee import SeedCommittee
from protocols.seeds.derived import hash_of
from protocols.seeds.lattice_pads import LatticePads
from protocols.seeds.member_key import EpochKey, InvalidCertificate, MemberCertificate
from protocols.seeds.member_keys import MemberKeys
from protocols.seeds.messages import Complaints, Entries
from protocols.seeds.pads import SetKeys
from protocols.seeds.party import ENTRY, Reason
from protocols.session import Session
from protocols.testing.repeatable import fixed_identity, fixed_roster, repeatable_entropy
from secagg.storage import seed_keys
from secagg.storage.labelled_file import KeyFileError
from tests.fuzz.mutate import mutate_bytes, mutate_fields
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.support.seed_members import ENDS, NOW, certificates, issued
from tests.support.seed_world import CHECK, CLIENTS, MEMBERS, WilfulServer, derived_of, seed_scenario, seed_share

_LABEL_BYTES: Final = 26
_CERTIFICATE_FIELDS: Final = (_LABEL_BYTES, 32, 8, 8, 8, 1184, 32)
_COMMITTEE_FIELDS: Final = (26, 1, 1, 1, *_CERTIFICATE_FIELDS, 64, *_CERTIFICATE_FIELDS, 64)


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("seeds/certificate", 20, _certificate),
        Entry("seeds/epoch-key", 8, _epoch_key),
        Entry("seeds/committee", 8, _committee),
        Entry("seeds/member-keys", 4, _member_keys),
        *(Entry(f"seeds/files/{name}", 8, partial(_file, name)) for name in ("member", "certificate", "committee")),
        Entry("seeds/box-content", 8, _box_content),
        Entry("seeds/lattice-opening", 2, _lattice_opening),
    ]


class _Complained(Exception):
    """The member complains of the client."""


def _box_content(folder: Path) -> Target:
    """What a dishonest client seals for a member. It hashes and signs the box like any other."""
    server = WilfulServer(seed_scenario())
    derived, codec = derived_of(server.scenario), server.scenario.codec
    client, member = CLIENTS[0], MEMBERS[1]
    own, key = derived.number_of(member), seed_share(derived.key, derived.number_of(member) + 1).epoch_key.key
    request = codec.decode(CHECK, Entries, server.entries[member])
    at = request.clients.index(client) * derived.entry_bytes
    honest = derived.split_entry(request.entries[at : at + derived.entry_bytes])
    info = derived.box_info(honest.seed_hashes, client=client, member=own)
    seeds = key.open(info, honest.box)

    def read(data: bytes) -> None:
        box = hpke.seal(derived.key.public_keys[own], info, data)
        hashes = honest.box_hashes[: own * 32] + hash_of(box) + honest.box_hashes[own * 32 + 32 :]
        statement = derived.entry(client, honest.padded_hash, honest.seed_hashes, hashes)
        signature = derived.signatures.sign(fixed_identity(client), client=client, purpose=ENTRY, payload=statement)
        entry = honest.padded_hash + honest.seed_hashes + hashes + box + signature
        if len(entry) != derived.entry_bytes:
            raise _Complained  # The server refuses the client's message: a box has one length.
        machine = server.scenario.client(member, None, repeatable_entropy(b"member"))
        reply = machine.handle(codec.encode(CHECK, Entries((client,), memoryview(entry))))
        complaints = codec.decode(CHECK, Complaints, reply)
        if complaints.clients:
            if bytes(complaints.reasons) != bytes([Reason.SEED_DIFFERS]):
                raise Finding(f"complaints of {complaints.clients} with {bytes(complaints.reasons)!r}")
            raise _Complained
        if data != seeds:
            raise Finding("other seeds than those that were hashed were accepted")

    return Target(
        seeds=(seeds,),
        run=read,
        mutate=mutate_bytes,
        refusals=(_Complained,),
        covers=("protocols.seeds.party:SeedParty._opened", "protocols.crypto.hpke:HpkeKey.open"),
        canaries=(seeds.hex(), key.secret.reveal().hex()),
        memory_base=2**22,
    )


def _lattice_opening(folder: Path) -> Target:
    """The opening of one of two sets, of two clients, followed by a padded vector that is added to theirs."""
    session = Session(
        session_id=bytes(16), clients=(0, 1), threshold=2, length=8, modulus=2**16, roster=fixed_roster((0, 1))
    )
    pads = LatticePads(session, seed=bytes(32), sets=2, value_bits=None, headroom=False)
    drawn = repeatable_entropy(b"lattice pads")
    keys = [[SetKeys(pad=Secret(drawn(32)), wrap=Secret(drawn(32))) for _ in range(2)] for _ in range(2)]
    first, other = (pads.opening([own[number] for own in keys], (1, 1)) for number in range(2))
    total = pads.nothing()
    for own in keys:
        pads.add(total, bytes(pads.padded(np.arange(8, dtype=np.uint16), own, drawn)))

    def read(data: bytes) -> None:
        opening, more = data[: len(first)], data[len(first) :]
        if len(opening) != len(first):
            raise MalformedMessage("opening: the server refuses another length before it reads one")
        pads.check_padded(memoryview(more))
        pads.check_opening(memoryview(opening), (1, 1))
        added = total.copy()
        pads.add(added, more)
        pads.opened(added, [opening, other], (1, 1))

    return Target(
        seeds=(first + bytes(pads.padded_bytes),),
        run=read,
        mutate=mutate_bytes,
        refusals=(MalformedMessage, DamagedSum),
        covers=(
            "protocols.seeds.lattice_pads:LatticePads.check_padded",
            "protocols.seeds.lattice_pads:LatticePads.check_opening",
            "protocols.seeds.lattice_pads:LatticePads.add",
            "protocols.seeds.lattice_pads:LatticePads.opened",
            "protocols.seeds.lattice_pads:_key_sum",
            "protocols.seeds.wrap:_keys",
        ),
        memory_base=2**24,
    )


def _certificate(folder: Path) -> Target:
    honest = issued(0)[0].to_bytes()

    def read(data: bytes) -> None:
        certificate = MemberCertificate.from_bytes(data)
        if certificate.to_bytes() != data:
            raise Finding("a second encoding of one certificate was accepted")
        certificate.check(NOW)
        if data != honest:
            raise Finding("an altered certificate was accepted")

    return Target(
        seeds=(honest,),
        run=read,
        mutate=mutate_fields(_CERTIFICATE_FIELDS),
        refusals=(InvalidCertificate,),
        covers=(
            "protocols.seeds.member_key:MemberCertificate.from_bytes",
            "protocols.seeds.member_key:MemberCertificate.check",
            "protocols.seeds.member_key:MemberCertificate.check_keys",
        ),
        others=(issued(0, 1)[0].to_bytes(), issued(1)[0].to_bytes()),
    )


def _epoch_key(folder: Path) -> Target:
    key = issued(0)[1]

    def read(data: bytes) -> None:
        if EpochKey.from_bytes(data).to_bytes() != data:
            raise Finding("a second encoding of one key was accepted")

    return Target(
        seeds=(key.to_bytes(),),
        run=read,
        mutate=mutate_fields((25, 32, *_CERTIFICATE_FIELDS)),
        refusals=(InvalidCertificate,),
        covers=("protocols.seeds.member_key:EpochKey.from_bytes",),
        others=(issued(1)[1].to_bytes(),),
        canaries=(key.key.secret.reveal().hex(),),
    )


def _committee(folder: Path) -> Target:
    committee = SeedCommittee(certificates=certificates(2), colluding=1, quorum=2)
    longer = SeedCommittee(certificates=certificates(3), colluding=1, quorum=3)

    def read(data: bytes) -> None:
        if SeedCommittee.from_bytes(data).to_bytes() != data:
            raise Finding("a second encoding of one committee was accepted")

    return Target(
        seeds=(committee.to_bytes(), longer.to_bytes()),
        run=read,
        mutate=mutate_fields(_COMMITTEE_FIELDS),
        refusals=(ParameterError,),
        covers=("protocols.seeds.committee:SeedCommittee.from_bytes",),
        others=(SeedCommittee(certificates=certificates(2, epoch=1), colluding=1, quorum=2).to_bytes(),),
    )


def _member_keys(folder: Path) -> Target:
    keys = MemberKeys(fixed_identity(0), 2, (issued(0)[1], issued(0, 1)[1]))

    def read(data: bytes) -> None:
        if MemberKeys.from_bytes(data).to_bytes() != data:
            raise Finding("a second encoding of one member's keys was accepted")

    return Target(
        seeds=(keys.to_bytes(), keys.without_expired(ENDS).to_bytes()),
        run=read,
        mutate=mutate_fields((28, 32, 8, 2, 25, 32, *_CERTIFICATE_FIELDS)),
        refusals=(ParameterError,),
        covers=("protocols.seeds.member_keys:MemberKeys.from_bytes", "protocols.seeds.member_keys:_epoch_keys"),
        canaries=_secrets(keys),
    )


def _file(name: str, folder: Path) -> Target:
    """A file with the right checksum, so that its content is read too, and one with any bytes if they are odd."""
    keys = MemberKeys(fixed_identity(0), 1, (issued(0)[1],))
    seed_keys.write_member(folder / "member", keys)
    committee = SeedCommittee(certificates=certificates(3), colluding=1, quorum=3)
    seed_keys.write_seed_committee(folder / "committee", committee)
    paths = {
        "member": folder / "member" / seed_keys.KEYS_NAME,
        "certificate": folder / "member" / seed_keys.certificate_name(0),
        "committee": folder / "committee",
    }
    readers: dict[str, Callable[[Path], object]] = {
        "member": lambda path: seed_keys.read_member_share(path.parent, committee),
        "certificate": seed_keys.read_certificate,
        "committee": seed_keys.read_seed_committee,
    }
    path, reader = paths[name], readers[name]

    def read(data: bytes) -> None:
        placed(path, data)
        try:
            reader(path)
        except KeyFileError:
            placed(path, data[:-32] + hashlib.sha256(data[:-32]).digest())
            reader(path)

    return Target(
        seeds=(path.read_bytes(),),
        run=read,
        mutate=mutate_bytes,
        refusals=(KeyFileError,),
        covers=(f"secagg.storage.seed_keys:{reader.__name__ if name != 'member' else 'read_member_share'}",),
        others=tuple(other.read_bytes() for other in paths.values() if other != path),
        canaries=_secrets(keys),
    )


def _secrets(keys: MemberKeys) -> tuple[str, ...]:
    secrets = (keys.identity.secret, *(key.key.secret for key in keys.epochs))
    return tuple(text for secret in secrets for text in (secret.reveal().hex(), repr(secret.reveal())))
