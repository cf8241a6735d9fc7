"""Sums of encrypted vectors that a committee opens: what `PaillierSum` and `OneShot` have in common.

Each client sends one message and is done; it may vanish at any time.  The server multiplies ciphertexts as they come.
Then it shows all contributions to the committee, whose members multiply for themselves, check who sent what, and send
partial decryptions of the product; any `threshold` of them give the sum.  Nobody ever has a whole key, but for the
dealer who made it (`protocols.crypto.paillier.threshold`).

Sources: threshold decryption after Damgard and Jurik (PKC 2001) with Shoup's proofs; a committee that opens nothing but
the sum, as in Willow (Bell-Clark et al., ia.cr/2024/936).

Adversary: `Adversary.CURIOUS`, a server that follows the protocol, with any clients and with fewer committee members
than the threshold; or `Adversary.MALICIOUS`, a server that does anything, with a fraction of the clients and of the
committee.  Then contributions are signed by the identities of a roster, which members check as they check everything
else (`protocols.committee` has their rules).  In both cases:

- Ciphertexts can be multiplied and raised to powers by anyone, so a client could send a function of another's.  Each
  comes with a proof that its sender knows what is in it, bound to session, sender and padded vector
  (`protocols.crypto.paillier.plaintext_proof`).  So no client's input depends on another's, whoever sees ciphertexts
  first.
- A sum opens once a session: two sets of `threshold` members have an honest one in common where 2 * threshold exceeds
  the members and the corrupt ones together.  `validate` demands that for none, a `ClientTerms` for its own fraction.
- What is opened is the sum over the integers of what entries stand for (`protocols.encrypted.values`): more than the
  sum modulo m, unless the modulus has headroom for it, as encodings have.
- What a client encrypts is not proven to be in range; a client that sends what is not spoils the sum.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

from protocols.codec import Invitation
from protocols.cohort import Adversary, check_cohort, whole_clients
from protocols.crypto.integers import shown
from protocols.crypto.paillier.encryptor import Exponents
from protocols.encrypted.client import EncryptedClient
from protocols.encrypted.derived import Derived, Payload, threshold_key
from protocols.encrypted.messages import Contributions, EncryptedInput, PartialOpening
from protocols.encrypted.server import EncryptedServer
from protocols.errors import ParameterError, UnsafeSession
from protocols.secure_sum import Role, SecureSum, Step
from protocols.session import Extra, Participant, Session

STEPS: Final = (
    Step("encrypt_input", Invitation, EncryptedClient.encrypt_input,
          EncryptedInput, EncryptedServer.take_input, EncryptedServer.close_inputs),
    Step("open_sum", Contributions, EncryptedClient.open_sum,
          PartialOpening, EncryptedServer.take_opening, EncryptedServer.finish, Role.COMMITTEE),
)  # fmt: skip

_ID_BYTES: Final = 5


@dataclass(frozen=True, kw_only=True)
class EncryptedSum(SecureSum):
    """What the two protocols share.

    Attributes:
        adversary: `CURIOUS` or `MALICIOUS`; the second needs a session with a roster.
        value_bits: b, where every client's entries stand for integers in [-2^(b-1), 2^(b-1)) only, a negative one, v,
            as modulus + v; None where they may be anything below the modulus.  Fewer bits make shorter messages.
        headroom: Whether the caller vouches that every sum of contributors' entries, as such integers, lies in [-m/2,
            m/2) for the modulus m, as encodings see to: then sums take no more bits than the modulus, and messages are
            shorter still.  A sum beyond it comes out wrong, and so do others next to it.
        exponents: How long the random exponents of Paillier encryptions are, and so what they rest on.
    """

    adversary: Adversary = Adversary.CURIOUS
    value_bits: int | None = None
    headroom: bool = False
    exponents: Exponents = Exponents.SHORT

    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS, Adversary.MALICIOUS)
    accepts: ClassVar[frozenset[Extra]] = frozenset((Extra.ROSTER, Extra.COMMITTEE))
    needs_committee: ClassVar[bool] = True
    steps = STEPS

    def __post_init__(self) -> None:
        if self.adversary not in self.adversaries:
            raise ParameterError(f"the adversary must be CURIOUS or MALICIOUS, not {shown(self.adversary)}")
        object.__setattr__(self, "adversary", Adversary(self.adversary))  # its name as a string will do too
        if self.exponents not in tuple(Exponents):
            raise ParameterError(f"exponents must be SHORT or STRICT, not {shown(self.exponents)}")
        object.__setattr__(self, "exponents", Exponents(self.exponents))
        if type(self.headroom) is not bool:
            raise ParameterError(f"headroom must be a bool, not {shown(self.headroom)}")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple[Self, int]:
        """See `SecureSum.suggest`: the threshold is whom the dropout leaves; two of them at least must be honest."""
        check_cohort(clients, adversarial, dropout)
        if adversary not in cls.adversaries:
            known = ", ".join(cls.adversaries)
            raise ParameterError(f"{cls.name} stands against {known}, not against {shown(adversary)}")
        corrupt, dropped = (
            whole_clients(clients, fraction, name)
            for fraction, name in ((adversarial, "adversarial"), (dropout, "dropout"))
        )
        if clients - dropped < corrupt + 2:
            raise ParameterError(
                f"of {clients} clients {clients - dropped} stay and {corrupt} collude: at least 2 of those that stay "
                "must not collude, or the sum hides nothing"
            )
        return cls(adversary=adversary), clients - dropped

    def with_headroom(self) -> Self:
        """See `SecureSum.with_headroom`; a bound on single entries is of no use then, and is dropped."""
        return replace(self, headroom=True, value_bits=None)

    def sum_bits(self, session: Session, bound: int) -> int | None:
        """Bits of a signed sum of stored values below a bound, where headroom makes them fewer; otherwise None."""
        bits = (session.modulus - 1).bit_length()
        return bits if self.headroom and bits < (len(session.clients) * (bound - 1)).bit_length() else None

    @abstractmethod
    def payload(self, session: Session) -> Payload:
        """How vectors become messages; raises `ParameterError` where they do not fit."""

    def message_limit(self, session: Session) -> int:
        """See `SecureSum.message_limit`: what a client pads and seals, or what all clients sealed."""
        derived = self._derived(session)
        contributions = len(session.clients) * (derived.contribution_bytes + _ID_BYTES)
        return max(derived.payload.padded_bytes + derived.sealed_bytes, contributions, derived.opening_bytes) + 1024

    def _validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        key = threshold_key(session)
        if 2 * key.threshold <= key.members:
            raise ParameterError(
                f"any {key.threshold} of {key.members} committee members open a sum, so that disjoint ones could open "
                f"two of one session; the threshold must be at least {key.members // 2 + 1}"
            )
        if self.adversary is Adversary.MALICIOUS and session.roster is None:
            raise ParameterError("against a MALICIOUS server the session needs a roster of its clients' identities")
        if self.adversary is Adversary.CURIOUS and session.roster is not None:
            raise ParameterError("the session has a roster, which is of use against a MALICIOUS server only")
        self.payload(session)

    def check_safety(self, session: Session, corrupt: int) -> None:
        """See `SecureSum.check_safety`: two contributors must be honest."""
        if session.threshold < corrupt + 2:
            raise UnsafeSession(
                f"a sum of {session.threshold} clients, {corrupt} of them corrupt, hides nothing: that takes a "
                f"threshold of at least {corrupt + 2}"
            )

    def client_party(self, session: Session, participant: Participant) -> EncryptedClient:
        """See `SecureSum.client_party`."""
        return EncryptedClient(self._derived(session), participant)

    def server_party(self, session: Session) -> EncryptedServer:
        """See `SecureSum.server_party`."""
        return EncryptedServer(self._derived(session))

    def _derived(self, session: Session) -> Derived:
        return Derived(
            session=session, digest=self.digest(session), payload=self.payload(session), exponents=self.exponents
        )
