"""LightSecAgg: one mask for each client, coded so that any U clients together remove the sum of all masks at once.

Source: So et al., LightSecAgg: a Lightweight and Versatile Design for Secure Aggregation in Federated Learning, MLSys
2022 (arXiv 2109.14236), with its three phases: offline encoding and sharing of local masks (here after a step that
agrees on keys), masking and uploading, one-shot recovery of the aggregate.  With N clients of whom D may vanish, T
collude with the server and U answer in the last step, N - D >= U > T >= 1; N - D is the session's threshold.

Adversary: an honest-but-curious server together with at most T clients.  A server that lies about keys or about who
dropped, or asks different clients for different sums, is not defended against; what a client can check for itself
without identities, it checks.  Clients are taken to follow the protocol: of m > U answers in the last step all that
do not fit are found, and up to (m - U) / 2 of them named, but with exactly U answers a wrong one goes unnoticed.

Departures from the paper:
- Shares travel through the server, sealed end to end.
- T of a client's shares are drawn instead of computed (see `protocols.lightsecagg.coding`), and travel as seeds: those
  of the T clients that follow it in the directory, in a circle.  So the number of share elements that a client sends
  falls from (N - 1) / (U - T) to (N - T - 1) / (U - T) times the vector's length, and it encodes less.
- Masks and drawn shares are expanded from seeds, so privacy rests on AES and X25519, not on information theory.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from protocols.codec import Invitation
from protocols.cohort import Adversary, check_cohort, whole_clients
from protocols.crypto.field import MAX_COLUMNS, MAX_PRIME, Field, largest_prime
from protocols.crypto.integers import shown
from protocols.errors import ParameterError
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
          MaskedInput, LightSecAggServer.take_masked_input, LightSecAggServer.close_masked_inputs),
    Step("aggregate_shares", Survivors, LightSecAggClient.aggregate_shares,
          AggregatedShares, LightSecAggServer.take_aggregated_shares, LightSecAggServer.finish),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LightSecAgg(SecureSum):
    """Secure sums with coded masks (So et al. 2022), over a prime field.

    Choose its parameters with `suggest`.  The session's threshold is how many clients the dropout leaves, N - D: at
    least as many as have to respond.

    Attributes:
        privacy: T, how many clients may collude with the server, at least 1.
        responders: U, how many clients' answers decode the sum of the masks, above `privacy`.
    """

    privacy: int
    responders: int

    name: ClassVar[str] = "lightsecagg"
    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS,)
    steps = STEPS

    def __post_init__(self) -> None:
        for name, value in (("privacy", self.privacy), ("responders", self.responders)):
            if type(value) is not int:
                raise ParameterError(f"{name} must be an int, not {type(value).__name__}")

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["LightSecAgg", int]:
        """See `SecureSum.suggest`: all that the dropout leaves have to respond, which makes the shares smallest.

        Shares can be checked against each other only where fewer vanish than may; fewer `responders` than suggested
        leave room for checks, at the price of larger shares.
        """
        if adversary != Adversary.CURIOUS:
            raise ParameterError(f"{cls.name} stands against a curious server only, not against {shown(adversary)}")
        check_cohort(clients, adversarial, dropout)
        privacy = max(1, whole_clients(clients, adversarial, "adversarial"))
        left = clients - whole_clients(clients, dropout, "dropout")
        if left <= privacy:
            raise ParameterError(
                f"with {clients} clients, {left} that stay and {privacy} that collude, the colluding ones could remove "
                "masks by themselves: more must stay than collude"
            )
        return cls(privacy=privacy, responders=left), left

    @classmethod
    def modulus(cls, bits: int) -> int:
        """See `SecureSum.modulus`: the largest prime of at most so many bits, at least 2, and at most 2^61 - 1."""
        if bits < 2:
            raise ParameterError(f"{cls.name} needs an odd prime as its modulus, of at least 2 bits, not {shown(bits)}")
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
                f"{self.name} needs 1 <= privacy < responders <= threshold, not privacy {shown(self.privacy)}, "
                f"responders {shown(self.responders)} and threshold {session.threshold}"
            )
        if self.responders > MAX_COLUMNS:
            raise ParameterError(f"at most {MAX_COLUMNS} responders are supported, not {self.responders}")
        try:
            Field(modulus)
        except ValueError as error:
            raise ParameterError(f"the modulus of {self.name}: {error}; see `modulus`") from None
        points = clients + self.responders - self.privacy
        if modulus < points:
            raise ParameterError(
                f"{clients} clients and {self.responders - self.privacy} pieces of a mask need a modulus of at least "
                f"{points}, not {modulus}"
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
