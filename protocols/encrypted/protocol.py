"""Sums of encrypted vectors that a committee opens: the common part of `PaillierSum` and `OneShot`.

Each client sends one message, and may drop out at any time. The server multiplies ciphertexts as they arrive. Then it
sends all contributions to the committee. Each member computes the product itself, checks who sent what, and sends
partial decryptions of the product. The partial decryptions of any `threshold` members give the sum. Nobody has the
whole key, except the dealer who made it (`protocols.crypto.paillier.threshold`).

Sources: threshold decryption after Damgard and Jurik (PKC 2001) with Shoup's proofs; a committee that opens nothing but
the sum, as in Willow (Bell-Clark et al., ia.cr/2024/936).

Adversary: `Adversary.CURIOUS`, a server that follows the protocol, with any clients and with fewer committee members
than the threshold; or `Adversary.MALICIOUS`, a server that may do anything, with a fraction of the clients and of the
committee. Against the second, contributions are signed under the identities of a roster. Committee members check these
signatures, as they check everything else (`protocols.terms` has their rules). In both cases:

- Anyone can multiply ciphertexts and raise them to powers, so a client could send a function of another client's
  ciphertexts. Each contribution therefore has a proof that its sender knows the plaintexts, bound to session, sender
  and masked vector (`protocols.crypto.paillier.plaintext_proof`). So no client's input depends on another's, in any
  order of sending.
- A session's sum opens once: two sets of `threshold` members have an honest one in common if 2 * threshold exceeds the
  number of members plus that of corrupt members. `validate` requires this for no corrupt members, and a `ClientTerms`
  for its own fraction of corrupt members.
- The opened value is the sum over the integers of what entries represent (`protocols.values`). This tells
  more than the sum modulo m, unless the modulus has headroom for the sum, as encodings have.
- Nothing proves that an encrypted entry is in range. A client that sends one out of range spoils the sum.
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
from protocols.values import headroom_bits

STEPS: Final = (
    Step("encrypt_input", Invitation, EncryptedClient.encrypt_input,
          EncryptedInput, EncryptedServer.take_input, EncryptedServer.close_inputs,
          sends_vector=True),
    Step("open_sum", Contributions, EncryptedClient.open_sum,
          PartialOpening, EncryptedServer.take_opening, EncryptedServer.finish, Role.COMMITTEE,
          reveals=EncryptedClient.contributors),
)  # fmt: skip
"""The table of steps. A client reveals nothing: only the committee's step opens the sum."""

_ID_BYTES: Final = 5


@dataclass(frozen=True, kw_only=True)
class EncryptedSum(SecureSum):
    """The common part of the two protocols.

    Attributes:
        adversary: `CURIOUS` or `MALICIOUS`; the second needs a session with a roster.
        value_bits: b, if every client's entries represent only integers in [-2^(b-1), 2^(b-1)), a negative integer v
            being represented by modulus + v. None if entries may be anything below the modulus. Fewer bits make shorter
            messages.
        headroom: Whether the caller vouches that every sum of contributors' entries, as such integers, lies in [-m/2,
            m/2) for the modulus m, as encodings ensure. Sums then need no more bits than the modulus, and messages are
            shorter still. If a sum leaves this range, it is wrong, and so are sums next to it.
        exponents: The length of the random exponents of Paillier encryptions, which decides the security assumption.
    """

    adversary: Adversary = Adversary.CURIOUS
    value_bits: int | None = None
    headroom: bool = False
    exponents: Exponents = Exponents.SHORT

    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS, Adversary.MALICIOUS)
    accepts: ClassVar[frozenset[Extra]] = frozenset((Extra.ROSTER, Extra.COMMITTEE))
    needs_committee: ClassVar[bool] = True
    shards: ClassVar[bool] = True
    steps = STEPS

    def __post_init__(self) -> None:
        if self.adversary not in self.adversaries:
            raise ParameterError(f"adversary: expected CURIOUS or MALICIOUS, found {shown(self.adversary)}")
        object.__setattr__(self, "adversary", Adversary(self.adversary))  # Its name as a string is accepted too.
        if self.exponents not in tuple(Exponents):
            raise ParameterError(f"exponents: expected SHORT or STRICT, found {shown(self.exponents)}")
        object.__setattr__(self, "exponents", Exponents(self.exponents))
        if type(self.headroom) is not bool:
            raise ParameterError(f"headroom: expected a bool, found {shown(self.headroom)}")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple[Self, int]:
        """See `SecureSum.suggest`. The threshold is the number of clients left after the largest dropout.

        At least two of them must be honest.
        """
        check_cohort(clients, adversarial, dropout)
        if adversary not in cls.adversaries:
            known = ", ".join(cls.adversaries)
            raise ParameterError(f"adversary: expected one of {known} for {cls.name}, found {shown(adversary)}")
        corrupt, dropped = (
            whole_clients(clients, fraction, name)
            for fraction, name in ((adversarial, "adversarial"), (dropout, "dropout"))
        )
        if clients - dropped < corrupt + 2:
            raise ParameterError(
                f"clients that stay: expected at least {corrupt + 2} with {corrupt} colluding of {clients}, found "
                f"{clients - dropped}. A sum needs at least 2 honest contributors to hide their inputs. Lower the "
                "dropout."
            )
        return cls(adversary=adversary), clients - dropped

    def with_headroom(self) -> Self:
        """See `SecureSum.with_headroom`. A bound on single entries has no further effect, so it is removed."""
        return replace(self, headroom=True, value_bits=None)

    def sum_bits(self, session: Session, bound: int) -> int | None:
        """Return the bits of a signed sum of stored values below a bound, if headroom saves bits; otherwise None."""
        if not self.headroom:
            return None
        return headroom_bits(modulus=session.modulus, bound=bound, clients=len(session.clients))

    @abstractmethod
    def payload(self, session: Session) -> Payload:
        """Return the encoding of vectors as messages, or raise `ParameterError` if they do not fit."""

    def message_limit(self, session: Session) -> int:
        """See `SecureSum.message_limit`: a client's message, all contributions, or a partial opening."""
        derived = self._derived(session)
        contributions = len(session.clients) * (derived.contribution_bytes + _ID_BYTES)
        return max(derived.payload.padded_bytes + derived.sealed_bytes, contributions, derived.opening_bytes) + 1024

    def _validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        key = threshold_key(session)
        if 2 * key.threshold <= key.members:
            raise ParameterError(
                f"threshold of the committee: expected at least {key.members // 2 + 1} for {key.members} members, "
                f"found {key.threshold}. Two groups without a common member could open two sums of one session."
            )
        if self.adversary is Adversary.MALICIOUS and session.roster is None:
            raise ParameterError("roster: expected the clients' identities against a MALICIOUS server, found none")
        if self.adversary is Adversary.CURIOUS and session.roster is not None:
            raise ParameterError("roster: expected none, since a roster applies only to a MALICIOUS server, found one")
        self.payload(session)

    def check_safety(self, session: Session, corrupt: int) -> None:
        """See `SecureSum.check_safety`. At least two contributors must be honest."""
        if session.threshold < corrupt + 2:
            raise UnsafeSession(
                f"threshold: expected at least {corrupt + 2} with {corrupt} corrupt clients, found "
                f"{session.threshold}. A sum needs at least 2 honest contributors to hide their inputs."
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
