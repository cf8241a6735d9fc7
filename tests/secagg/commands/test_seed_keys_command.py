"""The commands `secagg keys member` and `keys seed-committee`, as people use them."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from protocols.errors import ParameterError
from protocols.identity import SIGNATURE_BYTES, Identity
from protocols.seeds.committee import SeedCommittee
from protocols.seeds.member_key import (
    CertificateExpired,
    CertificateKeyUnusable,
    CertificateNotSigned,
    CertificateNotYetValid,
)
from protocols.seeds.member_keys import MemberKeys
from protocols.seeds.sets import quorum
from secagg.commands.seed_keys import account, delete_on_terminal, make_member, make_seed_committee
from secagg.errors import ConfigurationError
from secagg.storage.labelled_file import KeyFileError
from secagg.storage.public_line import fingerprint
from secagg.storage.seed_keys import (
    read_certificate,
    read_member,
    read_member_share,
    read_seed_committee,
    write_member,
)
from tests.support.commands import secagg
from tests.support.seed_members import certificates

DAY_S: Final = 86_400


def members(folder: Path, number: int) -> list[Path]:
    """Return the public files of new members."""
    for each in range(number):
        make_member(folder / f"m{each}", days=None)
    return [folder / f"m{each}" / "member-epoch-0.pub" for each in range(number)]


def test_committee_is_made_from_public_files_alone(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        found = secagg("keys", "member", name, cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        keys = read_member(tmp_path / name)
        assert fingerprint(keys.identity.public) in found.stdout
        for secret in (keys.identity.secret, keys.epochs[0].key.secret):
            assert secret.reveal().hex() not in found.stdout + found.stderr
    public = [f"{name}/member-epoch-0.pub" for name in ("a", "b", "c")]
    found = secagg("keys", "seed-committee", *public, "--colluding", "1", "--out", "committee.pub", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    committee = read_seed_committee(tmp_path / "committee.pub")
    assert (committee.members, committee.colluding, committee.quorum) == (3, 1, 3)
    for index, name in enumerate(("a", "b", "c"), start=1):
        assert read_member_share(tmp_path / name, committee).index == index
        assert fingerprint(committee.identities[index - 1]) in found.stdout
    assert committee.pin.hex() in found.stdout
    assert committee.fingerprint.hex() in found.stdout


def test_first_use_makes_an_identity_and_each_further_use_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = int(time.time())
    for epoch, days in enumerate((None, 7, 3650)):
        make_member(tmp_path / "m", days=days)
        told = capsys.readouterr().out
        certificate = read_certificate(tmp_path / "m" / f"member-epoch-{epoch}.pub")
        certificate.check(time.time())
        assert begun <= certificate.not_before <= time.time()
        assert certificate.not_after - certificate.not_before == (90 if days is None else days) * DAY_S
        assert certificate.epoch == epoch
        assert f"member-epoch-{epoch}.pub: public" in told
        assert ("a new identity" in told) == (epoch == 0)
    assert len({key.certificate.identity for key in read_member(tmp_path / "m").epochs}) == 1


@pytest.mark.parametrize("days", [-1, 0, 3651])
def test_days_out_of_range_are_refused_before_anything_is_made(tmp_path: Path, days: int) -> None:
    with pytest.raises(ConfigurationError, match=f"--days: expected 1 to 3650, found {days}"):
        make_member(tmp_path / "m", days=days)
    assert not (tmp_path / "m").exists()


def test_expired_keys_are_deleted_when_told_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_member(tmp_path / "m", MemberKeys.generate().with_epoch(0, DAY_S))
    make_member(tmp_path / "m", days=1)
    assert len(read_member(tmp_path / "m").epochs) == 2
    capsys.readouterr()
    delete_on_terminal(tmp_path / "m", days=None)
    told = capsys.readouterr().out
    assert "deleted the secret key of epoch 0, expired 1970-01-02 00:00:00 UTC" in told
    assert "epoch 1" not in told
    assert "A backup or the disk may" in told
    assert [key.certificate.epoch for key in read_member(tmp_path / "m").epochs] == [1]
    delete_on_terminal(tmp_path / "m", days=None)
    assert "deleted nothing" in capsys.readouterr().out


def test_deletion_makes_no_key_and_takes_no_days(tmp_path: Path) -> None:
    found = secagg("keys", "member", "m", "--delete-expired", cwd=tmp_path)
    assert found.returncode == 2
    assert "m: cannot be read" in found.stderr
    assert not (tmp_path / "m").exists()
    with pytest.raises(ConfigurationError, match="--days: expected none with --delete-expired"):
        delete_on_terminal(tmp_path / "m", days=5)


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "notes.txt").write_text("mine")
    with pytest.raises(KeyFileError, match="expected a new or empty folder"):
        make_member(tmp_path / "m", days=None)
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("m", "t"), [(2, 1), (4, 1), (5, 2)])
def test_quorum_is_the_least_against_a_malicious_server_unless_given(tmp_path: Path, m: int, t: int) -> None:
    public = members(tmp_path, m)
    make_seed_committee(public, colluding=t, quorum=None, out=tmp_path / "default")
    assert read_seed_committee(tmp_path / "default").quorum == quorum(m, t)
    make_seed_committee(public, colluding=t, quorum=m, out=tmp_path / "all")
    assert read_seed_committee(tmp_path / "all").quorum == m
    with pytest.raises(ParameterError, match=f"quorum: expected from {quorum(m, t)} to {m}"):
        make_seed_committee(public, colluding=t, quorum=quorum(m, t) - 1, out=tmp_path / "few")
    assert not (tmp_path / "few").exists()


def test_what_makes_no_committee_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    public, out = members(tmp_path, 2), tmp_path / "out"
    write_member(tmp_path / "old", MemberKeys.generate().with_epoch(0, DAY_S))
    expired = tmp_path / "old" / "member-epoch-0.pub"
    for files, colluding, error, text in (
        (public, 2, ParameterError, "colluding: expected from 1 to 1"),
        (public[:1], 1, ParameterError, "2 to 10 committee members, found 1.*Use 3 or more"),
        ([*public] * 6, 1, ParameterError, "Use at most 10, or a committee of PaillierSum"),
        ([*public, public[0]], 1, ParameterError, "another identity for each member, found that of member 1 again as "),
        ([*public, expired], 1, CertificateExpired, "Ask the member for a certificate of its next epoch"),
        ([*public, tmp_path / "none"], 1, KeyFileError, "cannot be read"),
        ([*public, tmp_path / "m0"], 1, KeyFileError, "Name the public file of the member, such as member-epoch-0.pub"),
        ([*public, tmp_path / "m0" / "member.key"], 1, KeyFileError, "expected a file that begins with"),
    ):
        with pytest.raises(error, match=text):
            make_seed_committee(files, colluding=colluding, quorum=None, out=out)
        assert not out.exists()
    make_seed_committee(public, colluding=1, quorum=None, out=out)
    with pytest.raises(KeyFileError, match="never overwritten"):
        make_seed_committee(public, colluding=1, quorum=None, out=out)


def altered(file: Path, out: Path, **changes: Any) -> Path:
    """Write the certificate of a file with other fields, signed by another identity, which it then names."""
    identity = Identity.generate()
    unsigned = replace(read_certificate(file), identity=identity.public, **changes)
    signature = changes.get("signature", identity.sign(unsigned.to_bytes()[:-SIGNATURE_BYTES]))
    label = file.read_bytes().partition(b"\n")[0] + b"\n"
    content = label + replace(unsigned, signature=signature).to_bytes()
    out.write_bytes(content + hashlib.sha256(content).digest())
    return out


def test_certificate_that_must_not_be_used_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    """A member may certify a key of low order, to which everybody can decrypt, or no ML-KEM key at all."""
    public, out, now = members(tmp_path, 2), tmp_path / "out", int(time.time())
    key = read_certificate(public[0]).public_key
    for name, changes, error, text in (
        ("low", {"public_key": key[:-32] + bytes(32)}, CertificateKeyUnusable, "X25519 key of full order"),
        ("lattice", {"public_key": b"\xff" * 1184 + key[-32:]}, CertificateKeyUnusable, "ML-KEM-768 key of integers"),
        ("forged", {"signature": bytes(64)}, CertificateNotSigned, "the signature of its identity"),
        ("early", {"not_before": now + DAY_S}, CertificateNotYetValid, "UTC, found one that begins at .* UTC. Check"),
        (
            "late",
            {"not_before": 0, "not_after": DAY_S},
            CertificateExpired,
            "one that ended at 1970-01-02 00:00:00 UTC",
        ),
    ):
        file = altered(public[0], tmp_path / name, **changes)
        with pytest.raises(error, match=rf"/{name}: certificate of member .*{text}"):
            make_seed_committee([*public, file], colluding=1, quorum=None, out=out)
    same_key = altered(public[0], tmp_path / "same")
    with pytest.raises(
        ParameterError, match="another HPKE key for each member, found that of member 1 again as member 3"
    ):
        make_seed_committee([*public, same_key], colluding=1, quorum=None, out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("m", "t", "q", "texts"),
    [
        (2, 1, 2, ("if at most 0 members are absent", "NOT found, and all sums are marked as unverified. At least 3")),
        (3, 1, 3, ("a sum with one is refused. With 4 members", "if at most 1 members are corrupt", "draws 3 seeds")),
        (
            7,
            2,
            5,
            ("if at least 7 members answer, the sum is opened", "at most 2 members are absent", "draws 21 seeds"),
        ),
        (5, 2, 4, ("if at most 2 members are corrupt", "if at most 0 members are absent", "a member gets 6")),
    ],
)
def test_account_says_what_the_committee_protects_from(m: int, t: int, q: int, texts: tuple[str, ...]) -> None:
    text = "\n".join(account(Path("c"), SeedCommittee(certificates=certificates(m), colluding=t, quorum=q)))
    assert f"a committee of {m} members, any {q} of whom agree on a sum" in text
    assert f"at most {t} corrupt members learn only the sums" in text
    for each in texts:
        assert each in text
