"""What a server of pairwise masking computes from shares and keys."""

import pytest

from protocols import Adversary, LightSecAgg, SecAgg
from protocols.pairwise.messages import RevealedShares, Survivors, encode_clients
from secagg.audit.attack import Inapplicable
from secagg.audit.sums.attacks.base import sum_of
from secagg.audit.sums.attacks.pairwise_server import SEED, ask, collect, derived_of, pairwise_cohort
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject

COHORT = SumSubject.suggested(SecAgg).cohort(4, length=8)
IN_LANES = SumSubject.of(SecAgg(headroom=True)).cohort(4, length=8, modulus=2**21)


@pytest.mark.parametrize("cohort", [COHORT, IN_LANES], ids=["alone", "in lanes"])
@pytest.mark.parametrize("survivors", [(1, 2, 3, 4), (1, 2, 4)])
def test_sum_of_the_survivors_follows_from_the_shares_that_they_reveal(
    survivors: tuple[int, ...], cohort: Cohort
) -> None:
    """The server unmasks from revealed shares; without them it must find no seed and no sum."""
    inputs = random_inputs(cohort, b"seed")
    run = Stepwise(cohort, inputs, b"seed")
    collected = collect(run)
    assert collected.secret(1, SEED) is None
    assert collected.sum_of(survivors) is None
    bitmap = encode_clients(survivors, cohort.session)
    for client, reply in ask(run, 3, dict.fromkeys(survivors, Survivors(bitmap))).items():
        assert isinstance(reply, RevealedShares)
        collected.add_revealed(client, cohort.session.clients, survivors, reply.shares)
    found = collected.sum_of(survivors)
    assert found is not None
    assert found.tolist() == sum_of(inputs, survivors, cohort.session.modulus).tolist()
    assert collected.sum_of(survivors[:2]) is None


def test_clients_that_refuse_are_not_among_the_answers() -> None:
    """The server sends survivors without the client itself; the client must refuse, and give no answer."""
    run = Stepwise(COHORT, random_inputs(COHORT, b"seed"), b"seed")
    collect(run)
    assert ask(run, 3, {1: Survivors(encode_clients((2, 3), COHORT.session))}) == {}


def test_other_protocols_have_no_such_server() -> None:
    """The attack meets another protocol; it must say that it does not apply."""
    found = pairwise_cohort(SumSubject.suggested(LightSecAgg), at_least=3, length=4)
    assert isinstance(found, Inapplicable)
    assert found.why == "This attack is written for the messages of pairwise masking."
    with pytest.raises(LookupError, match="expected pairwise masking, found lightsecagg"):
        derived_of(SumSubject.suggested(LightSecAgg).cohort(3, length=4))
    malicious = pairwise_cohort(SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS), at_least=3, length=4)
    assert not isinstance(malicious, Inapplicable)
