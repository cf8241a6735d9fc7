"""A session on the wire: what the coordinator offers to a node, and the node's own computation of all that follows.

An offer has no field that follows from others, so that no field can be a lie. The sensitivity, the number of
coordinates, the number of noise shares that count and the rules of attached secrets are computed by each party. It has
no roster and no key that a dealer has shared out: each party uses its own. And it has no epsilon, since a party
computes what a release costs from the noise, the encoding and the number of contributors that it takes to be honest.

A committee by replicated seeds is the one exception, since its members have new keys in each epoch. The offer carries
the certificates of the epoch, which are public and signed. A party accepts them if the committee has the pin that the
party has pinned. The time at which the session expires follows from the certificates, so it is no field either.

`Offer.build` makes the mean and the session that the coordinator has, or refuses the offer. It accepts only what
`SecureMean.plan` can have made, as far as that can be told without the target of the noise. Whether a node wants to
take part is for its policy.

Adversary: a coordinator that may offer anything.
"""

from collections.abc import Mapping
from typing import Annotated, Final, NoReturn

import msgspec
from msgspec import Meta

from dp.events import Trust
from protocols import Committee, Roster, SecureSum, Session
from protocols.committee import CommitteeKey
from protocols.crypto.entropy import Entropy, draw
from protocols.errors import MalformedMessage, ParameterError
from protocols.registry import (
    LONGEST_NAME,
    MOST_PARAMETERS,
    Parameter,
    describe_error,
    load,
    parameters_of,
    raise_interruption,
)
from protocols.seeds.committee import MOST_BYTES as MOST_COMMITTEE_BYTES
from protocols.seeds.committee import SeedCommittee
from protocols.session import MAX_CLIENT_ID
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.rotation import FAILURE
from secagg.aggregation.weighting import Weighting
from secagg.engines.wire.noise_law import Law, law_of, noise_of
from secagg.engines.wire.parcel import LARGEST_SERIAL
from secagg.engines.wire.work import DIGEST_BYTES
from secagg.errors import ConfigurationError
from secagg.privacy.noise import Noise, NoiseTerms

VERSION: Final = 1
MOST_BYTES: Final = 2**20
SESSION_ID_BYTES: Final = 32
_SERIAL_BYTES: Final = 8
_MOST_ARRAYS: Final = 2**16
_MOST_SIDES: Final = 64
_MOST_PARTIES: Final = 2**18  # A mebibyte has no room for more ids that are all different.
_ROUNDING: Final = 2.0**-30
"""How far a granularity may be from the computed one, relative to it: logarithms differ a little between systems."""

_Party = Annotated[int, Meta(ge=0, le=MAX_CLIENT_ID)]
_Parties = Annotated[tuple[_Party, ...], Meta(max_length=_MOST_PARTIES)]
_Shape = Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(max_length=_MOST_SIDES)]
_Unsigned = Annotated[int, Meta(ge=0)]


class Offer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=VERSION):
    """A session, as the coordinator offers it.

    Attributes:
        session_id: 32 bytes: the serial in 8 bytes, and 24 random ones; see `fresh_session_id`.
        protocol: The registered name of the protocol.
        parameters: All of its parameters, by name.
        clients: The ids of the cohort.
        threshold: The least number of contributors of a release.
        shapes: The shapes of the arrays, in order.
        clip_l2: Bound on the l2 norm of all arrays of a client together, in the update's units.
        granularity: The size of one integer step, in the update's units.
        kept: The number of rotated coordinates that a client sends of each block; None for all of them.
        highest: The modulus less 1.
        weighting: How clients count in the mean.
        max_weight: The weight that counts as 1.
        law: The distribution of the noise; None without noise, like `scale` and `trust`.
        scale: The parameter of the noise, in integer steps or in their squares; see `Law`.
        trust: Who adds the noise.
        colluding: The number of contributors whose noise is not counted; 0 without noise.
        signed: Whether the session has a roster of the cohort's identities.
        inputs: The digest of what the inputs are made for, 32 bytes; see `Work.digest`.
        members: The ids of the committee's members; the first holds key share 1. Empty without a committee.
        epoch: The bytes of a committee by replicated seeds in one epoch; empty for any other committee and without one.
    """

    session_id: Annotated[bytes, Meta(min_length=SESSION_ID_BYTES, max_length=SESSION_ID_BYTES)]
    protocol: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    parameters: Annotated[dict[str, Parameter], Meta(max_length=MOST_PARAMETERS)]
    clients: _Parties
    threshold: _Unsigned
    shapes: Annotated[tuple[_Shape, ...], Meta(max_length=_MOST_ARRAYS)]
    clip_l2: float
    granularity: float
    kept: _Unsigned | None
    highest: _Unsigned
    weighting: Weighting
    max_weight: float
    law: Law | None
    scale: float | None
    trust: Trust | None
    colluding: _Unsigned
    signed: bool
    inputs: Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
    members: _Parties
    epoch: Annotated[bytes, Meta(max_length=MOST_COMMITTEE_BYTES)]

    @property
    def serial(self) -> int:
        """The number of the attempt, which the session's id begins with."""
        return serial_of(self.session_id)

    @classmethod
    def of(cls, mean: SecureMean, session: Session, serial: int, inputs: bytes) -> "Offer":
        """Return the offer of a session, from which each party makes the same session again.

        Args:
            mean: The planned mean.
            session: Its session, with an id from `fresh_session_id` and a context from `session_context`.
            serial: The number of the attempt.
            inputs: The digest of what the inputs are made for, 32 bytes.

        Raises:
            ConfigurationError: No party can make this session again from an offer.
        """
        encoding, terms = mean.encoding, mean.target
        key = None if session.committee is None else session.committee.key
        law, scale = (None, None) if mean.noise is None else law_of(mean.noise)
        try:
            offer = cls(
                session_id=session.session_id,
                protocol=mean.protocol.name,
                parameters=parameters_of(mean.protocol),
                clients=mean.clients,
                threshold=mean.minimum_contributors,
                shapes=encoding.shapes,
                clip_l2=encoding.clip_l2,
                granularity=encoding.granularity,
                kept=encoding.kept,
                highest=encoding.modulus - 1,
                weighting=encoding.weighting,
                max_weight=encoding.max_weight,
                law=law,
                scale=scale,
                trust=None if terms is None else terms.trust,
                colluding=0 if terms is None else terms.colluding,
                signed=session.roster is not None,
                inputs=inputs,
                members=session.committee_members,
                epoch=key.to_bytes() if isinstance(key, SeedCommittee) else b"",
            )
            read = cls.from_bytes(offer.to_bytes())
            again, its_session = read.build(session.roster, key)
            same = again.protocol.digest(its_session) == mean.protocol.digest(session)
        except (ParameterError, MalformedMessage) as error:
            raise ConfigurationError(f"offer: expected a session that a node can make again, found: {error}") from None
        if offer.serial != serial or not same:
            raise ConfigurationError(
                "offer: expected a session that a node can make again, found that another one would be made. Use "
                "`fresh_session_id` and `session_context`, and a registered protocol."
            )
        return offer

    def to_bytes(self) -> bytes:
        """Return the canonical bytes of the offer."""
        return msgspec.msgpack.encode(self, order="deterministic")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Offer":
        """Return the offer that these bytes are; whether it can be built is not checked.

        Raises:
            MalformedMessage: They are not the canonical bytes of an offer, or too many.
        """
        if type(data) is not bytes:
            raise MalformedMessage(f"offer: expected bytes, found {type(data).__name__}")
        if len(data) > MOST_BYTES:
            raise MalformedMessage(f"offer: expected at most {MOST_BYTES} bytes, found {len(data)}")
        try:
            offer = _DECODER.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise MalformedMessage(f"offer: expected one of version {VERSION}, found {len(data)} other bytes") from None
        if offer.to_bytes() != data:
            raise MalformedMessage("offer: expected its canonical encoding, found another")
        return offer

    def context(self) -> bytes:
        """Return the context of the session; see `session_context`."""
        return session_context(self.inputs, serial=self.serial, trust=self.trust)

    def build(self, roster: Roster | None, committee_key: CommitteeKey | None) -> tuple[SecureMean, Session]:
        """Return the mean and the session that the coordinator has, computed from the offer and from the party's keys.

        Args:
            roster: All identities that the party has pinned, at least those of the cohort; None if it has none.
            committee_key: The key of the committee that the party has pinned, of any epoch; None if it has none.

        Raises:
            MalformedMessage: No `SecureMean.plan` can have made such a session, or the party lacks a key for it.
        """
        try:
            return self._built(roster, committee_key)
        except MalformedMessage:
            raise
        except BaseException as error:  # noqa: BLE001  # Other people's code, given any parameters, may raise anything.
            raise_interruption(error)
            raise MalformedMessage(
                f"offer: expected a session that can be run, found {describe_error(error)}"
            ) from None

    def _built(self, roster: Roster | None, committee_key: CommitteeKey | None) -> tuple[SecureMean, Session]:
        protocol = self._protocol()
        if not 2 <= self.threshold <= len(self.clients):
            _refuse("threshold", f"a number in [2, {len(self.clients)}]")
        if not 0 <= self.colluding < self.threshold:
            _refuse("colluding", f"a number in [0, {self.threshold - 1}]")
        encoding, terms = self._encoding(protocol), self._terms()
        mean = SecureMean(
            protocol=protocol,
            clients=self.clients,
            minimum_contributors=self.threshold,
            encoding=encoding,
            noise=self._noise(encoding, terms),
            target=terms,
            roster=self._roster(roster),
            committee=self._committee(committee_key),
        )
        session = mean.session(self.session_id, context=self.context())
        protocol.validate(session)
        return mean, session

    def _protocol(self) -> SecureSum:
        """Return the protocol, for sums with headroom, as every encoding provides it."""
        protocol = load(self.protocol)(**self.parameters)
        for made in (protocol, protocol.with_headroom()):
            if type(made) is not type(protocol) or _canonical(parameters_of(made)) != _canonical(self.parameters):
                _refuse("parameters", "all parameters of the protocol for sums with headroom, each as it is kept")
        return protocol

    def _encoding(self, protocol: SecureSum) -> Encoding:
        """Return the encoding; its granularity must be one that `Encoding.fit` chooses for some reach of noise."""
        modulus = self.highest + 1
        encoding = Encoding(
            shapes=self.shapes,
            clip_l2=self.clip_l2,
            clients=len(self.clients),
            modulus=modulus,
            weighting=self.weighting,
            max_weight=self.max_weight,
            granularity=self.granularity,
            kept=self.kept,
        )
        if protocol.modulus(encoding.modulus_bits) != modulus:
            _refuse("highest", f"one less than a modulus that {self.protocol} chooses")
        finest = self._fitted(protocol, encoding, noise_reach=0.0)
        ratio = encoding.granularity / finest.granularity
        if ratio < 1 - _ROUNDING or (self.law is None and ratio > 1 + _ROUNDING):
            _refuse("granularity", f"{finest.granularity:g}{' or more' if self.law else ''} for this cohort")
        reach = max(0.0, ratio * (1 - _ROUNDING) - 1) * len(self.clients) * encoding.coordinate_bound
        self._fitted(protocol, encoding, noise_reach=reach)  # It is refused if it is too coarse to be of use.
        return encoding

    def _fitted(self, protocol: SecureSum, encoding: Encoding, *, noise_reach: float) -> Encoding:
        return Encoding.fit(
            shapes=self.shapes,
            clip_l2=self.clip_l2,
            clients=len(self.clients),
            modulus_bits=encoding.modulus_bits,
            weighting=self.weighting,
            max_weight=self.max_weight,
            noise_reach=noise_reach,
            compression=encoding.sent / encoding.block,
            modulus=protocol.modulus,
        )

    def _terms(self) -> NoiseTerms | None:
        """Return who adds the noise, and how many may collude; None without noise."""
        stated = [each is not None for each in (self.law, self.scale, self.trust)]
        if any(stated) is not all(stated) or (self.trust is None and self.colluding):
            _refuse("law, scale, trust and colluding", "all of them with noise, and none without")
        return None if self.trust is None else NoiseTerms(colluding=self.colluding, trust=self.trust)

    def _noise(self, encoding: Encoding, terms: NoiseTerms | None) -> Noise | None:
        """Return the noise, for which the encoding must have room."""
        if terms is None or self.law is None or self.scale is None:
            return None
        noise = noise_of(self.law, self.scale, terms, encoding=encoding, minimum_contributors=self.threshold)
        if terms.trust is not Trust.CENTRAL:  # With it, the server adds the noise to integers, after the sum.
            encoding.check_reach(noise.tail_bound(encoding.clients, FAILURE))
        return noise

    def _roster(self, roster: Roster | None) -> Roster | None:
        if not self.signed:
            return None
        if roster is None:
            _refuse("signed", "no signatures, since this party has no roster")
        return roster.of(self.clients)

    def _committee(self, pinned: CommitteeKey | None) -> Committee | None:
        if not self.members:
            if self.epoch:
                _refuse("epoch", "none without members of a committee")
            return None
        if pinned is None:
            _refuse("members", "no committee, since this party has no committee's key")
        key = self._in_epoch(pinned) if isinstance(pinned, SeedCommittee) else pinned
        if key is pinned and self.epoch:
            _refuse("epoch", "none, since this party has pinned the key of a committee with a dealer")
        return Committee(key=key, members=self.members)

    def _in_epoch(self, pinned: SeedCommittee) -> SeedCommittee:
        """Return the pinned committee in the epoch of the offer. Every signature is verified, and no date is."""
        try:
            found = SeedCommittee.from_bytes(self.epoch)
        except ParameterError as error:
            raise MalformedMessage(f"offer, epoch: {error}") from None
        if found.pin != pinned.pin:
            raise MalformedMessage(
                f"offer, epoch: expected the committee with the pin {pinned.pin.hex()}, which this party has pinned, "
                f"found one with the pin {found.pin.hex()}"
            )
        return found


_DECODER: Final = msgspec.msgpack.Decoder(Offer)


def session_context(inputs: bytes, *, serial: int, trust: Trust | None) -> bytes:
    """Return the context of a session: what its inputs are made for.

    Sums of one context are sums of updates for the same work. So it does not depend on the attempt, unless the clients
    add noise to what they send. Each attempt is then a release of its own, and the serial is appended. It does not
    depend on the encoding either: under another clip or weighting, the inputs of one context differ. Nothing keeps two
    such sums apart; NOT-36 in threat_model.md says what follows.

    Args:
        inputs: The digest of what the inputs are made for.
        serial: The number of the attempt.
        trust: Who adds the noise; None without noise.
    """
    return inputs if trust in (None, Trust.CENTRAL) else inputs + _serial_bytes(serial)


def fresh_session_id(serial: int, entropy: Entropy) -> bytes:
    """Return a new session's id: the serial, and 24 bytes of randomness.

    Raises:
        ParameterError: The serial is out of range, or `entropy` fails.
    """
    return _serial_bytes(serial) + draw(entropy, SESSION_ID_BYTES - _SERIAL_BYTES)


def serial_of(session_id: bytes) -> int:
    """Return the serial that a session's id from `fresh_session_id` begins with."""
    return int.from_bytes(session_id[:_SERIAL_BYTES], "big")


def _serial_bytes(serial: int) -> bytes:
    if type(serial) is not int or not 0 <= serial <= LARGEST_SERIAL:
        raise ParameterError(f"serial: expected an int in [0, {LARGEST_SERIAL}], found another value")
    return serial.to_bytes(_SERIAL_BYTES, "big")


def _canonical(parameters: Mapping[str, Parameter]) -> bytes:
    """Return bytes that tell parameters apart that are equal to Python, such as 1 and True."""
    return msgspec.msgpack.encode(parameters, order="deterministic")


def _refuse(what: str, expected: str) -> NoReturn:
    raise MalformedMessage(f"offer, {what}: expected {expected}, found other values")
