"""LightSecAgg: one mask for each client, coded so that any U clients together remove the sum of all masks at once.

Source: So et al., LightSecAgg: a Lightweight and Versatile Design for Secure Aggregation in Federated Learning, MLSys
2022 (arXiv 2109.14236), with its three phases: offline encoding and sharing of local masks (here after a step that
agrees on keys), masking and uploading, one-shot recovery of the aggregate. There are N
clients. At most D of them drop out, at most T collude with the server, and at least U answer in the last step. The
parameters satisfy N - D >= U > T >= 1, and N - D is the session's threshold.

Adversary: an honest-but-curious server together with at most T clients. The protocol does not protect from a server
that lies about keys or dropouts, or that asks different clients for different sums. A client checks what it can check
by itself without identities. Clients are assumed to follow the protocol. If m > U clients answer in the last step,
answers that do not fit together are detected, and up to (m - U) / 2 of them are named. With exactly U answers, a wrong
one is not noticed.

Departures from the paper:
- Shares are sent through the server, sealed end to end.
- T of a client's shares are drawn instead of computed (see `protocols.lightsecagg.coding`), and sent as seeds: those
  of the T clients that follow it in the directory, in a circle. So the number of share elements that a client sends
  falls from (N - 1) / (U - T) to (N - T - 1) / (U - T) times the vector's length, and it encodes less.
- Masks and drawn shares are expanded from seeds, so privacy rests on AES and X25519, not on information theory.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.codec import Invitation
from protocols.cohort import Adversary, check_cohort, whole_clients
from protocols.crypto.field import MAX_COLUMNS, MAX_PRIME, Field, largest_prime
from protocols.crypto.integers import shown
from protocols.errors import ParameterError, UnsafeSession
from protocols.lightsecagg.client import LightSecAggClient
from protocols.lightsecagg.coding import MaskCode
from protocols.lightsecagg.derived import Derived
from protocols.lightsecagg.messages import (
    AdvertisedKey,
    AggregatedShares,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    SealedShares,
    Survivors,
)
from protocols.lightsecagg.server import LightSecAggServer
from protocols.secure_sum import SecureSum, Step
from protocols.session import Participant, Session

STEPS: Final = (
    Step("advertise_keys", Invitation, LightSecAggClient.advertise_keys,
          AdvertisedKey, LightSecAggServer.take_key, LightSecAggServer.close_keys),
    Step("share_masks", KeyDirectory, LightSecAggClient.share_masks,
          SealedShares, LightSecAggServer.take_shares, LightSecAggServer.close_shares),
    Step("mask_input", DeliveredShares, LightSecAggClient.mask_input,
          MaskedInput, LightSecAggServer.take_masked_input, LightSecAggServer.close_masked_inputs,
          sends_vector=True),
    Step("aggregate_shares", Survivors, LightSecAggClient.aggregate_shares,
          AggregatedShares, LightSecAggServer.take_aggregated_shares, LightSecAggServer.finish,
          reveals=LightSecAggClient.contributors),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LightSecAgg(SecureSum):
    """Secure sums with coded masks (So et al. 2022), over a prime field.

    Choose its parameters with `suggest`. The session's threshold is N - D, the number of clients that remain after the
    largest dropout. It is at least `responders`.

    Attributes:
        privacy: T, the number of clients that may collude with the server, at least 1.
        responders: U, the number of answers that decode the sum of the masks, above `privacy`.
    """

    privacy: int
    responders: int

    name: ClassVar[str] = "lightsecagg"
    wire: ClassVar[int] = 1
    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS,)
    steps = STEPS

    def __post_init__(self) -> None:
        for name, value in (("privacy", self.privacy), ("responders", self.responders)):
            if type(value) is not int:
                raise ParameterError(f"{name}: expected an int, found {type(value).__name__}")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["LightSecAgg", int]:
        """See `SecureSum.suggest`. All clients that remain after the largest dropout must respond.

        That makes the shares smallest.

        Shares can be checked against each other only if fewer clients drop out than allowed. Use fewer `responders`
        than suggested to allow more checks, at the cost of larger shares.
        """
        if adversary != Adversary.CURIOUS:
            raise ParameterError(f"adversary: expected CURIOUS for {cls.name}, found {shown(adversary)}")
        check_cohort(clients, adversarial, dropout)
        privacy = max(1, whole_clients(clients, adversarial, "adversarial"))
        left = clients - whole_clients(clients, dropout, "dropout")
        if left <= privacy:
            raise ParameterError(
                f"clients that stay: expected more than the {privacy} that collude, found {left} of {clients}. "
                "Otherwise colluding clients could remove masks by themselves. Lower the dropout."
            )
        return cls(privacy=privacy, responders=left), left

    @classmethod
    def modulus(cls, bits: int) -> int:
        """See `SecureSum.modulus`: the largest prime of at most `bits` bits, at least 2, and at most 2^61 - 1."""
        if bits < 2:
            raise ParameterError(
                f"bits: expected at least 2, for an odd prime modulus of {cls.name}, found {shown(bits)}"
            )
        return largest_prime(min(bits, MAX_PRIME.bit_length()))

    def message_limit(self, session: Session) -> int:
        """See `SecureSum.message_limit`: a vector or all sealed shares, and each client's id, key and framing."""
        derived = self._derived(session)
        return max(derived.vector_bytes, derived.sealed_bytes) + 64 * len(session.clients) + 1024

    def _validate(self, session: Session) -> None:
        """See `SecureSum.validate`."""
        clients, modulus = len(session.clients), session.modulus
        if not 1 <= self.privacy < self.responders <= session.threshold:
            raise ParameterError(
                f"{self.name}: expected 1 <= privacy < responders <= threshold, found privacy {shown(self.privacy)}, "
                f"responders {shown(self.responders)} and threshold {session.threshold}"
            )
        if self.responders > MAX_COLUMNS:
            raise ParameterError(f"responders: expected at most {MAX_COLUMNS}, found {self.responders}")
        try:
            Field(modulus)
        except ValueError as error:
            raise ParameterError(f"modulus of {self.name}: {error}. Use `LightSecAgg.modulus`.") from None
        points = clients + self.responders - self.privacy
        if modulus < points:
            raise ParameterError(
                f"modulus: expected at least {points} for {clients} clients and {self.responders - self.privacy} "
                f"pieces of a mask, found {modulus}"
            )

    def check_safety(self, session: Session, corrupt: int) -> None:
        """See `SecureSum.check_safety`. The masks hide what at most `privacy` clients and the server see."""
        if session.roster is not None:  # With one, the server may be malicious.
            super().check_safety(session, corrupt)
        if corrupt > self.privacy:
            raise UnsafeSession(
                f"privacy: expected at least {corrupt}, the clients that may collude with the server, found "
                f"{self.privacy}. Together they could remove masks."
            )

    def client_party(self, session: Session, participant: Participant) -> LightSecAggClient:
        """See `SecureSum.client_party`."""
        return LightSecAggClient(self._derived(session), participant)

    def server_party(self, session: Session) -> LightSecAggServer:
        """See `SecureSum.server_party`."""
        return LightSecAggServer(self._derived(session))

    def _derived(self, session: Session) -> Derived:
        code = MaskCode(field=Field(session.modulus), privacy=self.privacy, responders=self.responders)
        return Derived(session=session, digest=self.digest(session), code=code)
