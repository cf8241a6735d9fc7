import uuid
from dataclasses import replace

import pytest

from protocols import LightSecAgg, PaillierSum, Participant, PlainSum, SecAgg, SecureSum, Session
from protocols.crypto.entropy import Entropy
from protocols.crypto.paillier import plaintext_proof
from protocols.pairwise.client import PairwiseClient
from secagg.audit.attack import Level, Plan
from secagg.audit.finding import Verdict
from secagg.audit.planted.parties import with_clients
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums.replay import SameTape, Sample, TapeBytes
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, PaillierSum])
def test_same_tape_gives_the_same_replies_everywhere(kind: type[SecureSum]) -> None:
    found = finding(SumSubject.suggested(kind), SameTape(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_REJECTED
    assert found.statistic == "different replies at another time and in another process"


@pytest.mark.parametrize(("kind", "bytes_tried"), [(SecAgg, 384), (LightSecAgg, 192), (PaillierSum, 74)])
def test_bytes_of_tapes_are_all_alive(kind: type[SecureSum], bytes_tried: int) -> None:
    found = finding(SumSubject.suggested(kind), TapeBytes(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.statistic) == (
        Verdict.NOT_REJECTED,
        f"dead bytes among {bytes_tried} of the tapes",
    )


def test_verification_with_fixed_weights_is_rejected() -> None:
    check_all = plaintext_proof.check_all

    def fixed(verifier: object, claims: object, *, entropy: Entropy) -> None:
        entropy(20)
        check_all(verifier, claims, entropy=bytes)  # type: ignore[arg-type]  # As they are.

    class FixedWeights(PaillierSum):
        steps = with_clients(  # type: ignore[assignment]  # The same rows.
            PaillierSum.steps, lambda: replaced(plaintext_proof, "check_all", fixed), "open_sum"
        )

    plan = Plan(trials=1, details=Sample(whole=0, clients=1, members=1, of_member=3))
    found = TapeBytes().run(SumSubject.suggested(FixedWeights), plan, b"seed")
    assert found.rejects
    assert "party 1000000" in found.evidence


def test_protocol_that_reads_no_tape_is_rejected() -> None:
    found = finding(SumSubject.suggested(PlainSum), TapeBytes(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (Verdict.REJECTED, "no party reads any randomness")


def test_identifiers_drawn_beside_the_tape_are_rejected() -> None:
    class Identified(SecAgg):
        def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
            uuid.uuid4()
            return super().client_party(session, participant)

    found = finding(SumSubject.suggested(Identified), SameTape(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (
        Verdict.REJECTED,
        "randomness from another source was used: urandom (3 calls)",
    )


def test_order_of_a_set_that_differs_between_processes_is_rejected() -> None:
    found = finding(SumSubject.suggested(HashOrder), SameTape(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.REJECTED
    assert "party 1 sends another reply" in found.evidence


class HashOrder(SecAgg):
    """Everything that is drawn depends on the hashes of texts, which are different in each process."""

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        draw = participant.entropy
        shift = hash("a text") % 251

        def shifted(size: int) -> bytes:
            return bytes((each + shift) % 256 for each in draw(size))

        return super().client_party(session, replace(participant, entropy=shifted))


def test_class_that_another_process_cannot_import_is_tested_here_only() -> None:
    class Local(SecAgg):
        """A class without a name in a module."""

    found = finding(SumSubject.suggested(Local), SameTape(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_REJECTED
    assert "not tried in another one, since the subject cannot be sent to another process" in found.statistic
