from protocols import loadable
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import findings
from secagg.audit.sums.suite import ATTACKS, plain, shipped


def test_every_protocol_of_the_package_is_a_subject_for_each_of_its_servers() -> None:
    own = [kind for kind in loadable().values() if kind.__module__.startswith("protocols.")]
    assert {subject.name for subject in shipped()} == {
        f"{kind.name}-{adversary}" for kind in own for adversary in kind.adversaries
    }
    assert "plain" not in {subject.name for subject in shipped()}


def test_checks_have_names_of_their_own_and_test_claims_that_protocols_make() -> None:
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS) == 15
    claims = {claim.id for subject in shipped() for claim in subject.claims}
    for attack in ATTACKS:
        assert attack.id.startswith(f"{attack.layer}.")
        assert set(attack.tests) <= claims
        assert not attack.statistical


def test_plain_sum_is_rejected_by_secrecy_and_replay_alone() -> None:
    found = list(findings([plain()], ATTACKS, level=Level.QUICK, master=b"m"))
    rejected = {each.attack for each in found if each.verdict is Verdict.REJECTED}
    assert rejected == {"invariant.secrets.canaries", "replay.tape.bytes"}
    assert Verdict.ERRORED not in {each.verdict for each in found}
