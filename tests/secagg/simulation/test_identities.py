import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols import Adversary, ClientTerms, PlainSum, SecAgg, SecAggPlus, SecureSum, SessionRecord, Transmission
from protocols.errors import ParameterError, SessionReused, UnsafeSession
from protocols.testing import repeatable_entropy
from secagg.aggregation.mean import SecureMean
from secagg.engines.memory import InMemory, simulate_mean
from secagg.errors import ConfigurationError
from secagg.simulation.identities import simulated_terms
from secagg.storage.session_store import SessionStore
from secagg.training.averaging import SecureAveraging
from secagg.training.plain import PlainAveraging, plain_mean
from tests.support.federation import devices, examples, mean_for

CLIENTS, ADVERSARIAL = range(10), 0.1
TERMS: dict[str, Any] = {"adversarial": ADVERSARIAL, "minimum_contributors": 7}
MALICIOUS = (
    SecAgg.suggest(clients=10, adversarial=ADVERSARIAL, dropout=0.3, adversary=Adversary.MALICIOUS),
    SecAggPlus.suggest(clients=10, adversarial=ADVERSARIAL, dropout=0.3, adversary=Adversary.MALICIOUS),
)


def planned(protocol: SecureSum, terms: dict[int, ClientTerms] | None, **changes: Any) -> SecureMean:
    roster = None if terms is None else terms[0].roster
    settings: dict[str, Any] = {
        "protocol": protocol,
        "clients": CLIENTS,
        "minimum_contributors": 7,
        "shapes": [(3, 2), ()],
        "clip_l2": 1.0,
        "roster": roster,
    }
    return SecureMean.plan(**settings | changes)


def updates() -> dict[int, list[NDArray[np.float64]]]:
    generator = np.random.default_rng(3)
    return {client: [generator.normal(size=(3, 2)), np.asarray(generator.normal())] for client in CLIENTS}


@pytest.fixture
def terms() -> dict[int, ClientTerms]:
    return simulated_terms(CLIENTS, **TERMS)


def test_terms_have_identities_of_their_own_and_one_roster(terms: dict[int, ClientTerms]) -> None:
    keys = {client: member.identity.public for client, member in terms.items()}
    assert len(set(keys.values())) == len(CLIENTS)
    assert all(dict(member.roster) == keys for member in terms.values())
    assert len({id(member.sessions) for member in terms.values()}) == len(CLIENTS)
    again = simulated_terms(CLIENTS, **TERMS)
    assert not {member.identity.public for member in again.values()} & set(keys.values())


@pytest.mark.parametrize("place", ["advertise_keys", "share_keys", "mask_input", "confirm_survivors", "reveal_shares"])
@pytest.mark.parametrize("protocol", [protocol for protocol, _ in MALICIOUS])
def test_terms_mean_is_the_plain_one_after_any_drops(
    protocol: SecureSum, place: str, terms: dict[int, ClientTerms]
) -> None:
    release = simulate_mean(planned(protocol, terms), updates(), terms=terms, drops={place: [2, 5, 9]})
    right = plain_mean({client: updates()[client] for client in release.contributors}, clip_l2=1.0)
    assert release.dropped == {place: [2, 5, 9]}
    assert len(release.contributors) == (10 if place in ("confirm_survivors", "reveal_shares") else 7)
    assert release.rounding_bound is not None
    for found, each in zip(release.mean, right, strict=True):
        assert np.abs(found - each).max() <= release.rounding_bound < 1e-4


def test_terms_roster_is_part_of_the_session(terms: dict[int, ClientTerms]) -> None:
    protocol, _ = MALICIOUS[0]
    others = simulated_terms(CLIENTS, **TERMS)
    sessions = [planned(protocol, each).session(bytes(16)) for each in (terms, others)]
    assert sessions[0].roster == terms[0].roster
    assert len({protocol.digest(session) for session in sessions}) == 2


@pytest.mark.parametrize(
    "protocol", [SecAgg(), SecAggPlus(neighbours=8, share_threshold=6), PlainSum()], ids=lambda each: each.name
)
def test_terms_roster_is_refused_where_it_protects_nobody(protocol: SecureSum, terms: dict[int, ClientTerms]) -> None:
    with pytest.raises(ParameterError, match="roster"):
        planned(protocol, terms)


def test_terms_are_needed_against_a_malicious_server(terms: dict[int, ClientTerms]) -> None:
    protocol, _ = MALICIOUS[0]
    with pytest.raises(ParameterError, match="roster"):
        planned(protocol, None)
    with pytest.raises(ParameterError, match="roster"):
        planned(protocol, simulated_terms(range(9), **TERMS))
    with pytest.raises(ParameterError, match="roster"):
        planned(protocol, terms, roster=dict(terms[0].roster))
    mean, seen = planned(protocol, terms), list[Transmission]()
    some = {client: terms[client] for client in range(9)}
    for wrong in (None, {}, some, {**some, 10: terms[9]}, {**terms, 10: terms[9]}):
        with pytest.raises(ConfigurationError, match="terms: expected those of every client of the cohort"):
            simulate_mean(mean, updates(), terms=wrong, tap=seen.append)
    curious = planned(SecAgg(), None)
    with pytest.raises(ConfigurationError, match="terms: expected those of every client of the cohort"):
        simulate_mean(curious, updates(), terms=terms, tap=seen.append)
    assert not seen


@pytest.mark.parametrize("change", [{"minimum_contributors": 8}, {"adversarial": 0.5}])
def test_terms_keep_out_of_a_mean_that_is_not_on_their_terms(
    change: dict[str, Any], terms: dict[int, ClientTerms]
) -> None:
    protocol, _ = MALICIOUS[0]
    seen = list[Transmission]()
    strict = {**terms, 4: dataclasses.replace(terms[4], **change)}
    with pytest.raises(UnsafeSession):
        simulate_mean(planned(protocol, terms), updates(), terms=strict, tap=seen.append)
    assert not seen


def test_terms_take_part_in_a_session_once(terms: dict[int, ClientTerms]) -> None:
    mean = planned(MALICIOUS[0][0], terms)
    simulate_mean(mean, updates(), terms=terms, entropy=repeatable_entropy(b"session"))
    seen = list[Transmission]()
    with pytest.raises(SessionReused):
        simulate_mean(mean, updates(), terms=terms, entropy=repeatable_entropy(b"session"), tap=seen.append)
    assert [each for each in seen if each.sender is not None] == []
    simulate_mean(mean, updates(), terms=terms, entropy=repeatable_entropy(b"another session"))


def test_terms_with_a_store_take_part_once_across_a_restart(tmp_path: Path, terms: dict[int, ClientTerms]) -> None:
    mean = planned(MALICIOUS[0][0], terms)

    def keeping(record: SessionRecord) -> dict[int, ClientTerms]:
        return {client: dataclasses.replace(member, sessions=record) for client, member in terms.items()}

    with SessionStore.create(tmp_path / "sessions") as store:
        simulate_mean(mean, updates(), terms=keeping(store), entropy=repeatable_entropy(b"session"))
    with SessionStore(tmp_path / "sessions") as store:
        with pytest.raises(SessionReused):
            simulate_mean(mean, updates(), terms=keeping(store), entropy=repeatable_entropy(b"session"))
        simulate_mean(mean, updates(), terms=keeping(store), entropy=repeatable_entropy(b"another session"))


def test_terms_train_as_plain_averaging_does() -> None:
    federation, test = devices(10), examples(100, 99)
    protocol, threshold = MALICIOUS[1]
    members = simulated_terms(federation.clients, **TERMS)
    mean = mean_for(federation, protocol=protocol, minimum_contributors=threshold, roster=members[0].roster)
    secure = SecureAveraging(
        engine=InMemory(federation, dropping=2, terms=members), model=federation.model, test=test, mean=mean
    )
    plain = PlainAveraging(devices=devices(10), test=test, clip_l2=0.5)
    for _ in range(4):
        record = secure.round()
        plain.round(secure.contributors)
        assert set(record.dropped) == {row.name for row in protocol.steps}
        assert record.withheld is None
        for found, right in zip(secure.state.weights, plain.state.weights, strict=True):
            np.testing.assert_allclose(found, right, atol=1e-3)


def test_terms_and_roster_of_a_training_belong_together() -> None:
    federation, test = devices(10), examples(100, 99)
    members = simulated_terms(federation.clients, **TERMS)
    mean = mean_for(federation, protocol=MALICIOUS[0][0], minimum_contributors=7, roster=members[0].roster)
    with pytest.raises(ConfigurationError, match="terms: expected those of every client of the cohort"):
        SecureAveraging(engine=InMemory(federation), model=federation.model, test=test, mean=mean)
    with pytest.raises(ConfigurationError, match="terms: expected those of every client of the cohort"):
        SecureAveraging(
            engine=InMemory(federation, terms=members), model=federation.model, test=test, mean=mean_for(federation)
        )


@pytest.mark.parametrize("terms", [{"minimum_contributors": 8}, {"adversarial": 0.5}])
def test_terms_that_would_not_take_part_are_known_before_training(terms: dict[str, Any]) -> None:
    federation, test = devices(10), examples(50, 99)
    members = simulated_terms(federation.clients, **TERMS)
    mean = mean_for(federation, protocol=MALICIOUS[0][0], minimum_contributors=7, roster=members[0].roster)
    strict = members | {4: dataclasses.replace(members[4], **terms)}
    with pytest.raises(UnsafeSession, match="party 4: "):
        SecureAveraging(engine=InMemory(federation, terms=strict), model=federation.model, test=test, mean=mean)
