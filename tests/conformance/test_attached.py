"""Attached secrets are opened by the session's rule, for contributors alone; the server sees no share of others."""

from dataclasses import replace

import pytest

from protocols import (
    Adversary,
    Opening,
    Outcome,
    ParameterError,
    SecAgg,
    SecAggPlus,
    SecureSum,
    Server,
    available,
    load,
)
from protocols.session import MAX_ATTACHED
from protocols.testing import ProtocolRun, Scenario, attached_secrets, state_of
from tests.conformance.cohorts import IDS, setting

CARRIERS: tuple[SecureSum, ...] = (
    SecAgg(),
    SecAgg(adversary=Adversary.MALICIOUS),
    SecAggPlus(neighbours=4, share_threshold=3),
    SecAggPlus(neighbours=6, share_threshold=5, adversary=Adversary.MALICIOUS),
)
RULES = (
    Opening(least_dropped=0, most_dropped=0),
    Opening(least_dropped=1, most_dropped=1),
    Opening(least_dropped=1, most_dropped=3),
    Opening(least_dropped=0, most_dropped=100),
    Opening(least_dropped=50, most_dropped=100),
)


def carrying(protocol: SecureSum, rules: tuple[Opening, ...] = RULES) -> Scenario:
    """Eight clients of whom two may drop, wherever they are on the graph."""
    return setting(protocol, IDS, 5, length=5, attached=rules)


def opened(dropped: int) -> list[bool]:
    return [rule.least_dropped <= dropped <= rule.most_dropped for rule in RULES]


def check(setting: Scenario, outcome: Outcome, dropped: int) -> None:
    assert len(outcome.contributors) == len(IDS) - dropped
    assert tuple(sorted(outcome.attached)) == outcome.contributors
    for client, found in outcome.attached.items():
        attached = attached_secrets(client, setting.session)
        assert list(found) == [
            secret if opens else None for secret, opens in zip(attached, opened(dropped), strict=True)
        ]


def label(protocol: SecureSum) -> str:
    return f"{protocol.name}-{getattr(protocol, 'adversary', '')}"


@pytest.mark.parametrize("dropped", [0, 1, 2])
@pytest.mark.parametrize("protocol", CARRIERS, ids=label)
def test_secrets_whose_rule_opens_are_opened_whenever_clients_drop(protocol: SecureSum, dropped: int) -> None:
    carrier = carrying(protocol)
    names = [row.name for row in protocol.steps]
    for name in names[: names.index("mask_input") + 1]:
        check(carrier, carrier.simulate(carrier.inputs(), drops={name: IDS[:dropped]}), dropped)
    # Who drops after the masked inputs are in is in the sum, and does not count as dropped.
    for name in names[names.index("mask_input") + 1 :]:
        check(carrier, carrier.simulate(carrier.inputs(), drops={name: IDS[:dropped]}), 0)


@pytest.mark.parametrize("protocol", CARRIERS, ids=label)
def test_drops_before_and_after_the_masked_input_open_by_those_before_alone(protocol: SecureSum) -> None:
    carrier = carrying(protocol)
    last = protocol.steps[-1].name
    outcome = carrier.simulate(carrier.inputs(), drops={"mask_input": IDS[:1], last: IDS[1:2]})
    check(carrier, outcome, 1)
    assert IDS[1] in outcome.attached


def shares_held(run: ProtocolRun) -> dict[tuple[int, int], list[bytes]]:
    """All shares of attached secrets, by owner and index, as the clients hold them before they reveal any."""
    found: dict[tuple[int, int], list[bytes]] = {}
    for machine in run.clients.values():
        for owner, shares in state_of(machine).shares.items():
            for index, share in enumerate(shares[2:]):
                found.setdefault((owner, index), []).append(share.reveal())
    return found


@pytest.mark.parametrize("dropped", [0, 1, 2])
@pytest.mark.parametrize("protocol", CARRIERS, ids=label)
def test_server_sees_no_share_of_a_secret_that_stays_closed(protocol: SecureSum, dropped: int) -> None:
    carrier = carrying(protocol)
    run = ProtocolRun(carrier).to_step(2)
    view: list[bytes] = []
    held: dict[tuple[int, int], list[bytes]] = {}
    gone = set(IDS[:dropped])
    for number in range(2, len(protocol.steps)):
        replies = run.replies()
        if number == 2:
            held = shares_held(run)
            replies = {client: reply for client, reply in replies.items() if client not in gone}
        if number == len(protocol.steps) - 1:
            before = b"".join(view)
            assert not any(share in before for shares in held.values() for share in shares)
        view += replies.values()
        run.deliver(replies)
    seen = b"".join(view)
    assert len(held) == len(IDS) * len(RULES)
    needed = protocol.holders_needed(carrier.session)  # type: ignore[attr-defined]  # of pairwise masking
    for (owner, index), shares in held.items():
        assert len(set(shares)) >= needed
        shown = sum(share in seen for share in shares)
        if owner not in gone and opened(dropped)[index]:
            assert shown >= needed
        else:
            assert shown == 0


@pytest.mark.parametrize("protocol", CARRIERS[:2], ids=label)
def test_as_many_secrets_as_possible_are_opened(protocol: SecureSum) -> None:
    rules = tuple(Opening(least_dropped=index % 3, most_dropped=2) for index in range(MAX_ATTACHED))
    carrier = setting(protocol, IDS[:4], 3, length=2, attached=rules)
    outcome = carrier.simulate(carrier.inputs(), drops={"mask_input": IDS[:1]})
    for client in outcome.contributors:
        found = outcome.attached[client]
        attached = attached_secrets(client, carrier.session)
        assert list(found) == [secret if index % 3 < 2 else None for index, secret in enumerate(attached)]


@pytest.mark.parametrize("attached", [RULES[:1] * (MAX_ATTACHED + 1), RULES[0], list(RULES), (None,), (RULES,), 7])
def test_session_with_other_than_so_many_rules_is_refused(attached: object) -> None:
    with pytest.raises(ParameterError, match="attached"):
        replace(carrying(SecAgg()).session, attached=attached)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("least", "most"), [(-1, 0), (2, 1), (0, -1), (0.0, 1), (0, True), (False, 1), ("0", 1), (0, None)]
)
def test_rule_that_is_none_is_refused(least: object, most: object) -> None:
    with pytest.raises(ParameterError):
        Opening(least_dropped=least, most_dropped=most)  # type: ignore[arg-type]  # that is the test


def test_protocol_that_carries_no_secrets_refuses_the_session() -> None:
    carriers = {protocol.name for protocol in CARRIERS}
    others = set(available()) - carriers
    assert "plain" in others
    for name in others:
        protocol, threshold = load(name).suggest(clients=4, adversarial=0.0, dropout=0.0)
        plain = setting(protocol, IDS[:4], threshold).session
        with pytest.raises(ParameterError, match="attached"):
            Server(protocol, replace(plain, attached=RULES))
