"""Python prints no integer of more than 4,300 digits: a repr and an error must not try to."""

import os
from collections.abc import Callable
from typing import Any, Final

import pytest

from protocols import (
    ClientTerms,
    Committee,
    Identity,
    Keyholder,
    LightSecAgg,
    MemoryOpenings,
    MemoryRecord,
    OneShot,
    Opening,
    PaillierSum,
    ParameterError,
    PlainSum,
    ProtocolError,
    Roster,
    SecAgg,
    SecAggPlus,
    SecureSum,
    Server,
    Session,
    load,
    simulate,
)
from protocols.crypto.paillier import plaintext_proof
from protocols.crypto.paillier.ciphertext_pairs import Pair
from protocols.crypto.paillier.decryption_proof import Proof
from protocols.crypto.paillier.digits import Digits
from protocols.crypto.paillier.partial_decryption import PartialDecryption
from protocols.crypto.paillier.plaintext_proof import Claim
from protocols.crypto.paillier.public import PublicKey
from protocols.crypto.paillier.slots import Slots
from protocols.replay import check_apart
from tests.support.committee_keys import SAFE_P, SAFE_Q, key_shares, threshold_key

LONG: Final = 10**5000
KINDS: Final = (SecAgg, SecAggPlus, LightSecAgg, PaillierSum, OneShot, PlainSum)
IDENTITY: Final = Identity.generate()


def session(**changes: Any) -> Session:
    given: dict[str, Any] = {"session_id": bytes(16), "clients": (0, 1, 2), "threshold": 2, "length": 3}
    return Session(**{**given, "modulus": 2**16, **changes})


def committee() -> Committee:
    return Committee(key=threshold_key(), members=(7, 8, 9))


def member(**changes: Any) -> ClientTerms:
    given: dict[str, Any] = {"identity": IDENTITY, "roster": Roster({0: IDENTITY.public}), "sessions": MemoryRecord()}
    return ClientTerms(**{**given, "adversarial": 0.1, "minimum_contributors": 2, **changes})


def keyholder(minimum: Any) -> Keyholder:
    return Keyholder(share=key_shares()[0], openings=MemoryOpenings(), minimum_contributors=minimum)


def received(sender: int) -> None:
    server = Server(PlainSum(), session())
    server.start()
    server.receive(sender, b"")


MISTAKES: Final[dict[str, Callable[[int], object]]] = {
    "threshold": lambda n: session(threshold=n),
    "length": lambda n: session(length=n),
    "modulus": lambda n: session(modulus=n),
    "clients": lambda n: session(clients=(0, 1, n)),
    "opening": lambda n: Opening(least_dropped=max(n, 2), most_dropped=min(n, 1)),
    "committee member": lambda n: session(committee=Committee(key=threshold_key(), members=(7, 8, n))),
    "no member": lambda n: committee().index(n),
    "keyholder": lambda n: keyholder(abs(n)).accept(member=7, committee=committee(), threshold=2, roster=None),
    "keyholder's minimum": lambda n: keyholder(-abs(n)),
    "member's minimum": lambda n: member(minimum_contributors=n).accept(
        client=0, threshold=2, roster=Roster({0: IDENTITY.public})
    ),
    "member's fraction": lambda n: member(adversarial=n),
    "roster": lambda n: Roster({0: bytes(32)}).of([n]),
    "sets apart": lambda n: check_apart((1,), (2,), abs(n)),
    "sender": received,
    "dropped": lambda n: simulate(PlainSum(), session(), dict.fromkeys(range(3), (1, 2, 3)), drops={"contribute": [n]}),
    "name": lambda n: load(n),  # type: ignore[arg-type]  # that is the test
    "neighbours": lambda n: Server(SecAggPlus(neighbours=n, share_threshold=2), session()),
    "share threshold": lambda n: Server(SecAggPlus(neighbours=2, share_threshold=n), session()),
    "privacy": lambda n: Server(LightSecAgg(privacy=n, responders=2), session()),
    "responders": lambda n: Server(LightSecAgg(privacy=1, responders=n), session()),
    "value bits": lambda n: Server(PaillierSum(value_bits=n), session(committee=committee())),
    "headroom": lambda n: PaillierSum(headroom=n),  # type: ignore[arg-type]  # that is the test
    "adversary": lambda n: SecAgg(adversary=n),  # type: ignore[arg-type]  # that is the test
}


@pytest.mark.parametrize("number", [LONG, -LONG], ids=["long", "long and negative"])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_number_of_thousands_of_digits_is_a_typed_error_like_any_other(
    mistake: Callable[[int], object], number: int
) -> None:
    with pytest.raises(ProtocolError) as caught:
        mistake(number)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("kind", KINDS)
def test_no_cohort_of_thousands_of_digits_has_parameters(kind: type[SecureSum]) -> None:
    right: dict[str, Any] = {"clients": 10, "adversarial": 0.1, "dropout": 0.1}
    for changed in ({"clients": -LONG}, {"adversarial": LONG}, {"dropout": -LONG}, {"adversary": LONG}):
        with pytest.raises(ParameterError) as caught:
            kind.suggest(**right | changed)
        assert len(str(caught.value)) < 500
    with pytest.raises(ParameterError):
        kind.modulus(-LONG)


def test_reprs_of_keys_ciphertexts_and_proofs_are_short_whatever_their_length() -> None:
    pair = Pair(LONG, LONG)
    key = PublicKey(SAFE_P * SAFE_Q, 3, arithmetic=None)
    shown = [
        Proof(1, LONG),
        pair,
        Claim([pair], b"proof", b"statement"),
        plaintext_proof._Proof([pair], [1], LONG, LONG),
        PartialDecryption((LONG,), Proof(1, LONG)),
        Digits(reach=5, message_modulus=LONG),
        Slots(value_bits=5, clients=3, message_modulus=LONG),
        key,
        threshold_key(3),
        committee(),
        key_shares(3)[0],
        keyholder(2),
        session(committee=committee()),
    ]
    for each in shown:
        assert len(repr(each)) < 1000, type(each)
        assert len(f"{each}") < 1000, type(each)
    assert repr(Proof(1, 2**5000)) == "Proof(128 bits, 5001 bits)"
    assert os.linesep not in repr(shown)
