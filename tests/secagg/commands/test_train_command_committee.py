import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocols import Adversary, Committee, Keyholder, MemoryOpenings, OneShot, PaillierSum
from protocols.errors import UnsafeSession
from secagg.engines.memory import InMemory
from secagg.errors import CheckpointError, ConfigurationError
from secagg.reports.costs import quantity
from secagg.reports.report import RunReport
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.storage.key_files import write_committee
from secagg.training.averaging import SecureAveraging
from secagg.training.plain import PlainAveraging
from secagg.training.records import RoundRecord
from tests.support.commands import SMALL as OPTIONS
from tests.support.commands import secagg
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.federation import devices, examples, mean_for

SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 12,
    "rounds": 2,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
    "dropout": 0.2,
    "protocol": "paillier",
    "compare": False,
}


class Interruption(Exception):
    """Raised by an observer, as a Ctrl-C would be."""


def silent(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def interrupt(kind: str | None, record: RoundRecord) -> None:
    raise Interruption


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_committee(tmp_path / "keys", threshold_key(1, 3, 2), key_shares(1, 3, 2))
    return tmp_path / "keys"


@pytest.fixture
def other_keys(tmp_path: Path) -> Path:
    write_committee(tmp_path / "others", threshold_key(1, 3, 3), key_shares(1, 3, 3))
    return tmp_path / "others"


def config(keys: Path | None, **changes: Any) -> TrainingConfig:
    committee = {} if keys is None else {"committee": str(keys)}
    return parse(SMALL | committee | changes)


def trained(path: Path, settings: TrainingConfig) -> tuple[RunFolder, RunReport]:
    """A run from beginning to end, as the command does it."""
    prepared, folder = prepare(settings), RunFolder(path)
    folder.begin(prepared.config)
    return folder, RunReport.of(folder, prepared, run_training(prepared, folder, resume=False, observe=silent))


def stopped_after_a_round(path: Path, settings: TrainingConfig) -> RunFolder:
    """A run that begins with these settings and is interrupted when its first round has been saved."""
    folder = RunFolder(path)
    folder.begin(settings)
    with pytest.raises(Interruption):
        run_training(prepare(settings), folder, resume=False, observe=interrupt)
    return folder


def test_training_that_a_committee_opens_is_plain_averaging_of_who_sent_a_message() -> None:
    federation, test = devices(8), examples(100, 99)
    committee = Committee(key=threshold_key(1, 3, 2), members=(8, 9, 10))
    mean = mean_for(federation, protocol=PaillierSum(), committee=committee)
    keyholders = {
        member: Keyholder(share=share, openings=MemoryOpenings(), minimum_contributors=5)
        for member, share in zip(committee.members, key_shares(1, 3, 2), strict=True)
    }
    secure = SecureAveraging(
        engine=InMemory(federation, dropping=2, keyholders=keyholders), model=federation.model, test=test, mean=mean
    )
    plain = PlainAveraging(devices=devices(8), test=test, clip_l2=0.5)
    for _ in range(3):
        record = secure.round()
        plain.round(secure.contributors)
        assert record.withheld is None
        assert list(record.dropped) == ["encrypt_input"]
        assert set(range(8)) - set(record.dropped["encrypt_input"]) == set(secure.contributors)
        assert len(secure.contributors) == 6
        for found, right in zip(secure.state.weights, plain.state.weights, strict=True):
            np.testing.assert_allclose(found, right, atol=1e-3)
    for planned, engine in (
        (mean, InMemory(federation)),
        (mean_for(federation), InMemory(federation, keyholders=keyholders)),
    ):
        with pytest.raises(ConfigurationError, match="keyholders: expected one for every committee member"):
            SecureAveraging(engine=engine, model=federation.model, test=test, mean=planned)


def test_prepared_committee_is_of_parties_of_their_own_with_the_runs_terms(keys: Path) -> None:
    prepared = prepare(config(keys))
    bits = prepared.mean.encoding.modulus_bits
    pinned = threshold_key(1, 3, 2).fingerprint.hex()
    assert prepared.config == config(keys, committee_fingerprint=pinned, modulus_bits=bits)
    assert prepared.mean.committee == prepared.noiseless.committee
    assert prepared.mean.committee is not None
    assert prepared.mean.committee.members == (12, 13, 14)
    assert prepared.keyholders is not None
    assert set(prepared.keyholders) == {12, 13, 14}
    assert {each.minimum_contributors for each in prepared.keyholders.values()} == {prepared.mean.minimum_contributors}
    assert prepare(prepared.config).config == prepared.config


def test_prepared_without_a_committee_has_no_keyholders() -> None:
    prepared = prepare(config(None, protocol="secagg", dropout=0.0))
    assert (prepared.keyholders, prepared.mean.committee) == (None, None)


def test_prepared_members_and_committee_pin_each_other_against_a_malicious_server(keys: Path) -> None:
    prepared = prepare(config(keys, protocol="oneshot", adversary="malicious"))
    assert isinstance(prepared.mean.protocol, OneShot)
    assert prepared.mean.protocol.adversary is Adversary.MALICIOUS
    assert prepared.terms is not None
    assert prepared.keyholders is not None
    assert {each.committee for each in prepared.terms.values()} == {threshold_key(1, 3, 2)}
    assert {each.roster for each in prepared.keyholders.values()} == {prepared.mean.roster}


def test_prepared_refuses_a_committee_of_whom_too_many_may_be_corrupt(keys: Path) -> None:
    settings = {"adversary": "malicious", "adversarial": 0.34, "minimum_contributors": 9, "dropout": 0.0}
    with pytest.raises(UnsafeSession, match=r"a threshold of at least 3 for 3 members, 1 of them corrupt, found 2"):
        prepare(config(keys, **settings))


def test_prepared_refuses_what_does_not_go_with_the_protocol(keys: Path, other_keys: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected .* which paillier needs, .* secagg keys committee .* with --committee"
    ):
        prepare(config(None))
    with pytest.raises(ConfigurationError, match=r"since secagg needs no committee, found .*Leave out --committee"):
        prepare(config(keys, protocol="secagg"))
    with pytest.raises(ConfigurationError, match=r"committee\.pub"):
        prepare(config(keys / "nowhere"))
    pinned = threshold_key(1, 3, 2).fingerprint.hex()
    prepare(config(keys, committee_fingerprint=pinned))
    with pytest.raises(ConfigurationError, match=f"expected {pinned}, found .* in .*others"):
        prepare(config(other_keys, committee_fingerprint=pinned))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"committee": "keys", "committee_fingerprint": "ab"},
            "expected 64 hexadecimal digits, found 'ab'",
        ),
        ({"committee": "keys", "committee_fingerprint": 64 * "A"}, "committee_fingerprint: expected"),
        (
            {"committee_fingerprint": 64 * "a"},
            "expected the folder of the committee whose fingerprint",
        ),
        ({"committee": 3}, "committee: expected text, found 3"),
    ],
)
def test_config_refuses_a_fingerprint_that_is_none(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(settings)


@pytest.mark.parametrize("adversary", ["curious", "malicious"])
def test_run_reports_what_the_committee_did_and_who_is_trusted(adversary: str, keys: Path, tmp_path: Path) -> None:
    folder, report = trained(tmp_path / "run", config(keys, adversary=adversary, compare=adversary == "curious"))
    assert report.summary.released == 2
    assert set(report.summary.compared) == ({"without noise", "plain"} if adversary == "curious" else set())
    assert set(report.summary.dropped) == {"encrypt_input"}
    records = folder.metrics()
    costs = {cost.what: cost.in_all for cost in report.costs}
    for record in records:
        assert record.committee is not None
        assert record.committee.members == 3
        # A member sees everyone's ciphertexts and sends one partial decryption for each with a proof.
        assert record.committee.received_bytes > 9 * record.sent_bytes
        assert record.committee.member_s > 0
        assert record.received_bytes < 100  # an invitation; what the committee gets is on another account
    assert len([what for what in costs if what.startswith("A committee member")]) == 3
    committees = [record.committee for record in records if record.committee is not None]
    received = [12 * record.sent_bytes for record in records] + [3 * each.sent_bytes for each in committees]
    sent = [12 * record.received_bytes for record in records] + [3 * each.received_bytes for each in committees]
    assert (costs["The server receives"], costs["The server sends"]) == (
        quantity(sum(received), "B"),
        quantity(sum(sent), "B"),
    )
    assert report.corruptible == (0 if adversary == "malicious" else 1)
    page = report.as_html()
    assert threshold_key(1, 3, 2).fingerprint.hex() in page
    assert str(tmp_path) not in page
    who = "none" if adversary == "malicious" else "1"
    assert f"and {who} of the committee's 3 members" in " ".join(page.split())


def test_run_goes_on_with_the_committee_that_it_began_with_alone(keys: Path, other_keys: Path, tmp_path: Path) -> None:
    folder = stopped_after_a_round(tmp_path / "run", prepare(config(keys)).config)
    spare = keys.rename(tmp_path / "spare")
    other_keys.rename(keys)
    with pytest.raises(ConfigurationError, match="A run goes on with that key only"):
        prepare(folder.config())
    keys.rename(other_keys)
    spare.rename(keys)
    summary = run_training(prepare(folder.config()), folder, resume=True, observe=silent)
    assert (summary.rounds, summary.released) == (2, 2)


def test_run_that_did_not_note_its_committee_is_still_bound_to_it(keys: Path, other_keys: Path, tmp_path: Path) -> None:
    """The checkpoint and the ledger know the key, whatever the settings' file says."""
    folder = stopped_after_a_round(tmp_path / "run", config(keys))
    keys.rename(tmp_path / "spare")
    other_keys.rename(keys)
    with pytest.raises(CheckpointError, match="expected the settings that the run began with, found others"):
        run_training(prepare(folder.config()), folder, resume=True, observe=silent)
    (folder.path / "checkpoint.npz").unlink()
    (folder.path / "metrics.jsonl").unlink()
    with pytest.raises(CheckpointError, match=r"expected releases of the settings in .*, found some of others"):
        run_training(prepare(folder.config()), folder, resume=True, observe=silent)


def test_round_that_is_done_again_after_a_crash_may_have_other_contributors(keys: Path) -> None:
    """Its context is the same, and members who remembered the first sum would refuse one that differs in few."""
    found = []
    for dropping in (0, 1):
        prepared = prepare(config(keys, epsilon=float("inf")))
        training = SecureAveraging(
            engine=InMemory(prepared.devices, dropping=dropping, keyholders=prepared.keyholders),
            model=prepared.devices.model,
            test=prepared.test,
            mean=prepared.mean,
        )
        training.round()
        found.append(training.contributors)
    assert [len(contributors) for contributors in found] == [12, 11]


def test_train_with_a_committee_from_the_command(keys: Path, other_keys: Path, tmp_path: Path) -> None:
    options = ("--rounds", "1", "--epsilon", "60", "--protocol", "oneshot", "--committee", "keys", "--out", "run")
    found = secagg("train", *OPTIONS, *options, "--no-compare", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "each of 3 committee members" in found.stdout
    assert "1.0 in encrypt_input" in found.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["released"], summary["committee"]["members"]) == (1, 3)
    shutil.rmtree(keys)
    other_keys.rename(keys)
    refused = secagg("train", "--resume", "--out", "run", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("secagg: committee_fingerprint: expected ")
    assert f" in {tmp_path / 'keys'}. " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_train_without_its_committee_is_one_line_and_leaves_no_folder(tmp_path: Path) -> None:
    refused = secagg("train", *OPTIONS, "--protocol", "oneshot", "--out", "run", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("secagg: committee: expected the folder of one, which oneshot needs, found none. ")
    assert list(tmp_path.iterdir()) == []


def test_protocols_that_a_committee_opens_are_listed_as_such(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in json.loads(secagg("protocols", "--json", cwd=tmp_path).stdout)}
    assert {name for name, row in rows.items() if row["needs_committee"]} == {"oneshot", "paillier", "seeds"}
    assert secagg("protocols", cwd=tmp_path).stdout.count("opened by: a committee") == 3


def test_committee_opens_the_sums_of_cohorts_for_clients_that_do_not_trust_the_server(
    keys: Path, tmp_path: Path
) -> None:
    """Each session has the roster of its cohort, and each member one record of what it has opened."""
    settings = SMALL | {"committee": str(keys), "cohort": 6, "adversary": "malicious", "dropout": 0.0, "rounds": 3}
    prepared, folder = prepare(parse(settings)), RunFolder(tmp_path / "run")
    folder.begin(prepared.config)
    summary = run_training(prepared, folder, resume=False, observe=silent)
    assert (summary.released, summary.cohort) == (3, 6)
    assert summary.asked is not None
    assert (summary.asked.least, summary.asked.most) == (1, 2)
