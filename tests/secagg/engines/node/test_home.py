import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from dp.errors import BudgetExceeded, LedgerStale, LedgerUnavailable
from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from protocols.identity import Identity
from secagg.engines.node.check import check_node
from secagg.engines.node.home import Home
from secagg.engines.node.home_error import HomeError
from secagg.engines.node.home_lock import HomeBusy
from secagg.engines.node.live_folder import LiveFolderError
from secagg.engines.node.policy_file import TEMPLATE, PolicyError
from secagg.errors import SecaggError
from secagg.storage.key_files import write_committee
from secagg.storage.labelled_file import DamagedKeyFile, ExposedKeyFile, KeyFileError
from secagg.storage.public_line import PublicLine, fingerprint
from secagg.storage.roster_file import RosterFile
from secagg.storage.session_store import SessionStoreError
from tests.secagg.test_portability import WITHOUT_POSIX, run
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.homes import COORDINATOR, complete, exact_text, homes, policy_text

EVENT = GaussianEvent(noise_multiplier=5.0)


def test_new_home_is_private_and_holds_an_identity_and_an_empty_record(tmp_path: Path) -> None:
    identity = Home.create(tmp_path / "deep" / "home")
    path = tmp_path / "deep" / "home"
    modes = {str(each.relative_to(path)): each.stat().st_mode & 0o777 for each in (path, *path.rglob("*"))}
    files = {"identity.key", "policy.toml", "record/sessions.db", "record/openings.db", "record/lock"}
    assert modes == {".": 0o700, "record": 0o700, "node.pub": 0o644} | dict.fromkeys(files, 0o600)
    assert PublicLine.parse((path / "node.pub").read_text()) == PublicLine(name="home", key=identity.public)
    assert (path / "policy.toml").read_text() == TEMPLATE
    assert [each.name for each in (tmp_path / "deep").iterdir()] == ["home"]
    before = (path / "identity.key").read_bytes()
    with pytest.raises(KeyFileError, match="expected a new or empty folder"):
        Home.create(path)
    assert (path / "identity.key").read_bytes() == before
    assert identity.secret.reveal() in before


def test_complete_home_is_opened_with_the_id_of_its_key(tmp_path: Path) -> None:
    paths = homes(tmp_path)
    opened = [Home.open(path) for path in paths]
    assert [home.node for home in opened] == [0, 1, 2]
    home = opened[1]
    assert home.names == {0: "node-0", 1: "node-1", 2: "node-2"}
    assert home.roster[1] == home.identity.public
    assert home.coordinator == COORDINATOR.public
    assert home.fingerprint == fingerprint(home.identity.public)
    assert home.live == tmp_path / "live" / home.fingerprint
    assert home.live.stat().st_mode & 0o777 == 0o700
    assert (home.committee_key, home.share) == (None, None)
    assert len({each.roster_fingerprint for each in opened}) == 1
    assert len({each.live for each in opened}) == 3


def test_system_folder_in_memory_holds_the_live_session_unless_the_policy_names_another(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path, text=policy_text())
    with pytest.raises(LiveFolderError, match="XDG_RUNTIME_DIR is not set"):
        Home.open(path, environment={})
    memory = Path("/dev/shm")
    if memory.is_dir():
        home = Home.open(path, environment={"XDG_RUNTIME_DIR": str(memory)})
        assert home.live == memory / "secagg" / home.fingerprint
        home.live.rmdir()


@pytest.mark.parametrize("name", ["identity.key", "coordinator.pub", "roster.json", "policy.toml"])
def test_missing_file_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    (path / name).unlink()
    with pytest.raises(HomeError, match=rf"node-0/{name}: expected this file in the home, found none\. [A-Z]"):
        Home.open(path)


def test_home_that_others_may_use_is_refused(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    for exposed, mode in ((path, 0o710), (path / "record", 0o755), (path / "identity.key", 0o640)):
        before = exposed.stat().st_mode & 0o777
        exposed.chmod(mode)
        with pytest.raises(ExposedKeyFile, match=f"found mode {mode:04o}"):
            Home.open(path)
        exposed.chmod(before)
    Home.open(path)
    with pytest.raises(HomeError, match="Make it: secagg keys node"):
        Home.open(tmp_path / "nowhere")


def test_roster_without_this_node_is_refused_with_its_fingerprint(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    own = Home.open(path).fingerprint
    others = RosterFile.of(PublicLine(name=name, key=Identity.generate().public) for name in ("a", "b"))
    complete(path, others, policy_text(encrypted_live_folder=str(tmp_path)))
    with pytest.raises(HomeError, match=f"expected the key of this node in the roster, found it missing.* {own}"):
        Home.open(path)


def test_damaged_files_and_policies_are_refused(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    for name, error in (
        ("coordinator.pub", DamagedKeyFile),
        ("roster.json", DamagedKeyFile),
        ("policy.toml", PolicyError),
    ):
        before = (path / name).read_bytes()
        (path / name).write_bytes(b"x" + before)
        with pytest.raises(error, match=name):
            Home.open(path)
        (path / name).write_bytes(before)
    (path / "policy.toml").write_bytes(policy_text(delta=0.34, encrypted_live_folder=str(tmp_path)))
    with pytest.raises(HomeError, match="expected a delta below one over the 3 nodes"):
        Home.open(path)


def test_committees_key_and_share_are_read_and_must_fit(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    write_committee(tmp_path / "keys", threshold_key(), key_shares())
    key, *shares = (tmp_path / "keys" / name for name in ("committee.pub", "member-1.key", "member-2.key"))

    def give(file: Path) -> None:
        (path / file.name).write_bytes(file.read_bytes())
        (path / file.name).chmod(0o600)

    give(shares[1])
    with pytest.raises(HomeError, match=r"expected committee.pub beside a key share, found member-2.key"):
        Home.open(path)
    give(key)
    home = Home.open(path)
    assert home.committee_key == threshold_key()
    assert home.share is not None
    assert home.share.index == 2
    give(shares[0])
    with pytest.raises(HomeError, match=r"expected one key share, found member-1.key, member-2.key"):
        Home.open(path)
    (path / "member-1.key").unlink()
    (path / "member-2.key").unlink()
    assert Home.open(path).share is None


def test_stores_are_open_only_while_the_lock_is_held(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    home, other = Home.open(path), Home.open(path)
    for use in (lambda: home.sessions, lambda: home.openings, lambda: home.reserve(EVENT, "x")):
        with pytest.raises(HomeError, match="expected the lock of the home to be held"):
            use()
    with home.lock():
        home.sessions.record(home.identity.public, bytes(32), 0)
        home.openings.record(key=bytes(32), session_id=bytes(32), context=b"", contributors=(1, 2), minimum=1)
        with pytest.raises(HomeBusy), other.lock(0.0, lambda: 0.0):
            pass
        kept = home.sessions
    with pytest.raises(SessionStoreError):
        kept.record(home.identity.public, bytes(32), 1)
    with other.lock(0.0, lambda: 0.0):
        assert not other.sessions.empty
        assert not other.openings.empty


def test_threads_that_share_a_home_take_turns(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    home, done = Home.open(path), []

    def use(number: int) -> None:
        for step in range(5):
            with home.lock(1e9):
                home.sessions.record(home.identity.public, bytes([number]) * 32, step)
        done.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2, 3]


def test_reservation_is_made_once_for_each_label_and_never_above_the_budget(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path, text=policy_text(epsilon=2.0, encrypted_live_folder=str(tmp_path / "live")))
    home = Home.open(path, wall_clock=lambda: 1000.0)
    with home.lock():
        home.reserve(EVENT, "session 1")
        home.reserve(EVENT, "session 1")
        home.reserve(EVENT, "session 2")
        with home.ledger() as ledger:
            rest = ledger.remaining(EVENT)
        for number in range(3, 3 + rest):
            home.reserve(EVENT, f"session {number}")
        with pytest.raises(BudgetExceeded):
            home.reserve(EVENT, "one session too many")
        home.reserve(EVENT, "session 2")  # It was paid for.
        for other in (GaussianEvent(noise_multiplier=0.1), GaussianEvent(noise_multiplier=50.0)):
            with pytest.raises(HomeError, match="expected the cost that was reserved for this offer, found another"):
                home.reserve(other, "session 2")
    with Ledger.open(path / "record" / "ledger.db") as ledger:
        labels = [entry.reservation.label for entry in ledger.entries()]
        assert labels == [f"session {number}" for number in range(1, len(labels) + 1)]
        assert len(labels) == 2 + rest > 2
        assert ledger.spent().epsilon <= 2.0
        assert (ledger.budget.epsilon, ledger.budget.delta, ledger.budget.population) == (2.0, 1e-6, 3)
        assert ledger.budget.time_s == 1000.0


def test_home_without_a_budget_has_no_ledger(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path, text=exact_text(encrypted_live_folder=str(tmp_path / "live")))
    home = Home.open(path)
    with home.lock(), pytest.raises(HomeError, match="expected a budget"):
        home.reserve(EVENT, "session 1")
    assert not (path / "record" / "ledger.db").exists()


def test_lost_ledger_of_a_home_that_has_taken_part_is_never_replaced(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    home, ledger = Home.open(path), path / "record" / "ledger.db"
    with home.lock():
        home.sessions.record(
            home.identity.public, bytes(32), 0
        )  # As a committee's member does, which reserves nothing.
        home.reserve(EVENT, "session 1")
    ledger.unlink()
    with home.lock():
        home.sessions.record(home.identity.public, bytes(32), 1)
        with pytest.raises(HomeError, match=r"that this home has used before, found none. Restore the latest copy"):
            home.reserve(EVENT, "session 2")
    assert not ledger.exists()
    (path / "record" / "ledger.head").unlink()
    with (
        home.lock(),
        pytest.raises(HomeError, match=r"which has taken part in sessions, found none. Restore the latest copy"),
    ):
        home.reserve(EVENT, "session 2")
    assert not ledger.exists()


def test_lost_ledger_that_others_share_is_never_replaced(tmp_path: Path) -> None:
    """The home whose ledger it is has taken part in no session itself."""
    first = homes(tmp_path / "one")[0]
    ledger = first / "record" / "ledger.db"
    text = policy_text(encrypted_live_folder=str(tmp_path / "live"), ledger=str(ledger))
    one, other = Home.open(first), Home.open(homes(tmp_path / "other", text=text)[0])
    with one.lock(), other.lock():
        other.reserve(EVENT, "their session")
    ledger.unlink()
    for home in (one, other):
        with home.lock(), pytest.raises(HomeError, match="expected the ledger that this home has used before"):
            home.reserve(EVENT, "next session")
        with pytest.raises(HomeError, match="expected the ledger that this home has used before"):
            check_node(home)
    assert not ledger.exists()


def test_older_ledger_and_another_one_are_refused(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    home, ledger = Home.open(path), path / "record" / "ledger.db"
    with home.lock():
        home.reserve(EVENT, "session 1")
    older = ledger.read_bytes()
    with home.lock():
        home.reserve(EVENT, "session 2")
    latest = ledger.read_bytes()
    ledger.write_bytes(older)
    with home.lock(), pytest.raises(LedgerStale, match="expected the record with the kept head"):
        home.reserve(EVENT, "session 3")
    ledger.unlink()
    Ledger.create(ledger, epsilon=8.0, delta=1e-6, population=3).close()
    with pytest.raises(LedgerStale):
        check_node(home)
    ledger.write_bytes(latest)
    with home.lock():
        home.reserve(EVENT, "session 3")


def test_ledger_that_is_further_than_its_kept_head_is_used(tmp_path: Path) -> None:
    """A process that is killed after a record, and before its head is kept, leaves this."""
    (path, *_) = homes(tmp_path)
    home, ledger, head = Home.open(path), path / "record" / "ledger.db", path / "record" / "ledger.head"
    with home.lock():
        pass
    made = head.read_bytes()
    head.unlink()
    with home.lock():
        home.reserve(EVENT, "session 1")
    first, older = head.read_bytes(), ledger.read_bytes()
    assert first != made
    with home.lock():
        home.reserve(EVENT, "session 2")
    head.write_bytes(first)
    with home.lock():
        home.reserve(EVENT, "session 2")
    ledger.write_bytes(older)  # The head was kept with the answer that nothing is left to reserve.
    with home.lock(), pytest.raises(LedgerStale):
        home.reserve(EVENT, "session 2")


def test_budget_of_a_ledger_never_changes(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    home = Home.open(path)
    with home.lock():
        home.reserve(EVENT, "session 1")
    (path / "policy.toml").write_bytes(policy_text(epsilon=80.0, encrypted_live_folder=str(tmp_path / "live")))
    home = Home.open(path)
    with home.lock(), pytest.raises(HomeError, match="epsilon 80 and delta 1e-06, found epsilon 8 and delta 1e-06"):
        home.reserve(EVENT, "session 2")


def test_two_homes_may_count_in_one_ledger(tmp_path: Path) -> None:
    first = homes(tmp_path / "one", text=policy_text(encrypted_live_folder=str(tmp_path / "live")))[0]
    ledger = first / "record" / "ledger.db"
    text = policy_text(encrypted_live_folder=str(tmp_path / "live"), ledger=str(ledger))
    one, other = Home.open(first), Home.open(homes(tmp_path / "other", text=text)[0])
    with other.lock(), pytest.raises(HomeError, match=r"expected the ledger of another home, found none. Run"):
        other.reserve(EVENT, "their session")
    with one.lock():
        one.reserve(EVENT, "our session")
        with other.lock():
            other.reserve(EVENT, "their session")
            with one.ledger() as held:
                assert [entry.reservation.label for entry in held.entries()] == ["our session", "their session"]
                with pytest.raises(HomeBusy, match="expected a free ledger, found it in use"):
                    other.reserve(EVENT, "third session")
        with pytest.raises(LedgerUnavailable):
            held.reserve(EVENT, "after the end")
    assert not (other.path / "record" / "ledger.db").exists()


def test_home_says_nothing_secret_and_cannot_be_pickled(tmp_path: Path) -> None:
    (path, *_) = homes(tmp_path)
    home = Home.open(path)
    assert repr(home) == f"Home('{path}', node=0)"
    with pytest.raises(TypeError):
        pickle.dumps(home)
    errors: list[Any] = []
    for name in ("policy.toml", "roster.json", "coordinator.pub"):
        (path / name).unlink()
        with pytest.raises(SecaggError) as error:
            Home.open(path)
        errors.append(error.value)
    assert all(home.identity.secret.reveal().hex() not in str(error) for error in errors)


def test_home_needs_nothing_that_only_posix_has(tmp_path: Path) -> None:
    program = f"""{WITHOUT_POSIX}
from pathlib import Path
from secagg.engines.node.home import Home
from secagg.engines.node.check import check_node
from tests.support.homes import exact_text, homes

path, *_ = homes(Path.cwd(), text=exact_text(encrypted_live_folder=str(Path.cwd() / "live")))
path.chmod(0o755)
home = Home.open(path)
with home.lock():
    home.sessions.record(home.identity.public, bytes(32), 0)
print(dict(check_node(home).facts)["Node"])
"""
    found = run(program, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "0, node-0\n"
