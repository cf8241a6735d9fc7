"""The parameters, sessions and moduli that LightSecAgg takes, and the parameters it suggests."""

from dataclasses import replace

import pytest

from protocols import Adversary, Opening, ParameterError, Roster, Server, UnsafeSession, simulate
from protocols.crypto.field import MAX_COLUMNS
from protocols.lightsecagg.protocol import LightSecAgg
from tests.support.lightsecagg_cohort import IDS, PRIME, exact_sum, session, vectors


@pytest.mark.parametrize(
    ("privacy", "responders", "threshold", "modulus"),
    [
        (0, 3, 4, PRIME),
        (-1, 3, 4, PRIME),
        (3, 3, 4, PRIME),
        (4, 3, 4, PRIME),
        (1, 5, 4, PRIME),
        (1, 7, 6, PRIME),
        (1, 3, 4, 2**31),
        (1, 3, 4, 2),
        (1, 3, 4, 15),
        (1, 3, 4, (2**15 - 19) ** 2),
        (1, 3, 4, 2**64),
        (1, 3, 4, 2**64 - 59),
        (1, 3, 4, 7),
    ],
)
def test_parameters_that_do_not_fit_are_refused(privacy: int, responders: int, threshold: int, modulus: int) -> None:
    each = session(IDS[:6], threshold, modulus=modulus)
    protocol = LightSecAgg(privacy=privacy, responders=responders)
    with pytest.raises(ParameterError):
        protocol.validate(each)
    with pytest.raises(ParameterError):
        Server(protocol, each)


def test_more_responders_than_the_arithmetic_takes_are_refused() -> None:
    each = session(range(MAX_COLUMNS + 1), MAX_COLUMNS + 1)
    LightSecAgg(privacy=1, responders=MAX_COLUMNS).validate(each)
    with pytest.raises(ParameterError, match="responders"):
        LightSecAgg(privacy=1, responders=MAX_COLUMNS + 1).validate(each)


def test_least_field_that_holds_the_code_will_do() -> None:
    each = session(IDS[:5], 3, modulus=7)
    inputs = vectors(each)
    outcome = simulate(LightSecAgg(privacy=1, responders=3), each, inputs, drops={"mask_input": IDS[:2]})
    assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, 7)


@pytest.mark.parametrize("fields", [{"privacy": True}, {"responders": 3.0}, {"privacy": None}, {"responders": "3"}])
def test_parameters_that_are_no_ints_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="int"):
        LightSecAgg(**({"privacy": 1, "responders": 3} | fields))  # type: ignore[arg-type]  # that is the test


def test_what_only_others_support_is_refused() -> None:
    protocol, plain = LightSecAgg(privacy=1, responders=3), session(IDS[:6], 4)
    roster = Roster(
        dict.fromkeys(plain.clients, bytes(32)) | {c: bytes([i + 1]) * 32 for i, c in enumerate(plain.clients)}
    )
    for each in (replace(plain, roster=roster), replace(plain, attached=(Opening(least_dropped=0, most_dropped=1),))):
        with pytest.raises(ParameterError):
            protocol.validate(each)
    with pytest.raises(UnsafeSession, match="does not protect"):
        protocol.check_safety(replace(plain, roster=roster), 1)
    for adversary in (Adversary.MALICIOUS, Adversary.SEMI_MALICIOUS):
        with pytest.raises(ParameterError, match="expected CURIOUS for lightsecagg"):
            LightSecAgg.suggest(clients=20, adversarial=0.1, dropout=0.1, adversary=adversary)


def test_privacy_must_withstand_the_clients_that_collude() -> None:
    protocol, plain = LightSecAgg(privacy=2, responders=3), session(IDS[:6], 4)
    protocol.check_safety(plain, 2)
    with pytest.raises(UnsafeSession, match="expected at least 3, the clients that may collude"):
        protocol.check_safety(plain, 3)


@pytest.mark.parametrize(
    ("clients", "adversarial", "dropout", "privacy", "threshold"),
    [
        (20, 0.5, 0.2, 10, 16),
        (8, 0.1, 0.125, 1, 7),
        (2, 0.0, 0.0, 1, 2),
        (100, 0.05, 0.1, 5, 90),
        (3, 0.34, 0.33, 1, 3),
    ],
)
def test_suggestion_is_what_the_fractions_leave(
    clients: int, adversarial: float, dropout: float, privacy: int, threshold: int
) -> None:
    protocol, suggested = LightSecAgg.suggest(clients=clients, adversarial=adversarial, dropout=dropout)
    assert (protocol, suggested) == (LightSecAgg(privacy=privacy, responders=threshold), threshold)
    protocol.validate(session(range(clients), threshold))


@pytest.mark.parametrize(
    ("clients", "adversarial", "dropout"), [(10, 0.5, 0.5), (10, 0.9, 0.1), (2, 0.5, 0.5), (2, 0.0, 0.5)]
)
def test_suggestion_where_the_colluding_could_decode_is_refused(
    clients: int, adversarial: float, dropout: float
) -> None:
    with pytest.raises(ParameterError, match="collude"):
        LightSecAgg.suggest(clients=clients, adversarial=adversarial, dropout=dropout)


def test_modulus_of_a_width_is_its_largest_prime() -> None:
    assert [LightSecAgg.modulus(bits) for bits in (2, 8, 16, 31, 32, 61, 62, 64)] == [
        3, 251, 65_521, 2**31 - 1, 2**32 - 5, 2**61 - 1, 2**61 - 1, 2**61 - 1
    ]  # fmt: skip
    with pytest.raises(ParameterError, match="prime"):
        LightSecAgg.modulus(1)
