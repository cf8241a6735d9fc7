"""Planted bugs that a server's view shows: masks that are too short, biased, or never take a value."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocols import LightSecAgg, SecAgg, Secret, Session
from protocols.crypto import keystream
from protocols.crypto.field import Field
from protocols.crypto.keystream import Keystream, SignedMask, Words
from protocols.lightsecagg.client import LightSecAggClient
from protocols.lightsecagg.coding import MaskCode
from protocols.lightsecagg.derived import Derived as LightDerived
from protocols.lightsecagg.server import LightSecAggServer
from protocols.pairwise.client import PairwiseClient
from protocols.pairwise.derived import Derived
from protocols.pairwise.messages import DeliveredShares, MaskedInput
from protocols.pairwise.server import PairwiseServer
from protocols.secure_sum import Finish, SecureSum
from protocols.session import Participant
from secagg.audit.planted.base import Planted
from secagg.audit.planted.patch import replaced
from secagg.audit.planted.steps import Steps, with_answers, with_closes
from secagg.audit.sums.subject import SumSubject

Dtype = np.dtype[np.unsignedinteger[Any]]


@dataclass(frozen=True, kw_only=True)
class OtherMasks(SecAgg):
    """SecAgg whose masks are expanded from their seeds in another way, by clients and server alike."""

    @abstractmethod
    def expanded(self, seed: Secret, size: int, dtype: Dtype, modulus: int) -> Words:
        """Return the mask that a seed expands to, shape `(size,)`."""

    @contextmanager
    def in_place(self, modulus: int) -> Iterator[None]:
        """Expand all masks in this way until the end of the context."""

        def applied(total: Words, masks: Sequence[SignedMask]) -> None:
            for operation, seed in masks:
                operation(total, self.expanded(seed, total.size, total.dtype, modulus), out=total)

        with replaced(keystream, "apply_masks", applied):
            yield

    @property
    def steps(self) -> Steps:
        """See `SecureSum.steps`."""
        rows = with_answers(super().steps, {"mask_input": _Client.mask_input})
        return with_closes(rows, {"reveal_shares": _Server.finish})

    def client_party(self, session: Session, participant: Participant) -> PairwiseClient:
        """See `SecureSum.client_party`."""
        return _Client(self, self._derived(session), participant)

    def server_party(self, session: Session) -> PairwiseServer:
        """See `SecureSum.server_party`."""
        return _Server(self, self._derived(session))


class _Client(PairwiseClient):
    def __init__(self, protocol: OtherMasks, derived: Derived, participant: Participant) -> None:
        super().__init__(derived, participant)
        self._protocol = protocol

    def mask_input(self, delivered: DeliveredShares) -> MaskedInput:
        with self._protocol.in_place(self._session.modulus):
            return super().mask_input(delivered)


class _Server(PairwiseServer):
    def __init__(self, protocol: OtherMasks, derived: Derived) -> None:
        super().__init__(derived)
        self._protocol = protocol

    def finish(self) -> Finish:
        with self._protocol.in_place(self._session.modulus):
            return super().finish()


@dataclass(frozen=True, kw_only=True)
class ShortMasks(OtherMasks):
    """Masks without the highest bit of their word."""

    def expanded(self, seed: Secret, size: int, dtype: Dtype, modulus: int) -> Words:  # Any modulus.
        """See `OtherMasks.expanded`."""
        words: Words = _words(Keystream(seed), size, dtype) >> dtype.type(1)
        return words


@dataclass(frozen=True, kw_only=True)
class IncompleteMasks(OtherMasks):
    """Masks that never take the largest value, m - 1."""

    def expanded(self, seed: Secret, size: int, dtype: Dtype, modulus: int) -> Words:
        """See `OtherMasks.expanded`."""
        stream, kept = Keystream(seed), np.empty(0, dtype=dtype)
        while kept.size < size:
            words = _words(stream, 2 * size, dtype) & dtype.type(modulus - 1)
            kept = np.concatenate((kept, words[words != modulus - 1]))
        return kept[:size]


@dataclass(frozen=True, slots=True)
class ReducedField(Field):
    """A field whose uniform elements are words of the prime's bits, reduced modulo the prime."""

    def uniform(self, seed: Secret, length: int) -> Words:
        """See `Field.uniform`."""
        words = _words(Keystream(seed), length, self.dtype) & self.dtype.type(2 ** self.prime.bit_length() - 1)
        reduced: Words = words % self.dtype.type(self.prime)
        return reduced


@dataclass(frozen=True, kw_only=True)
class ReducedMasks(LightSecAgg):
    """LightSecAgg over such a field."""

    def client_party(self, session: Session, participant: Participant) -> LightSecAggClient:
        """See `SecureSum.client_party`."""
        return LightSecAggClient(self._reduced(session), participant)

    def server_party(self, session: Session) -> LightSecAggServer:
        """See `SecureSum.server_party`."""
        return LightSecAggServer(self._reduced(session))

    def _reduced(self, session: Session) -> LightDerived:
        code = MaskCode(field=ReducedField(session.modulus), privacy=self.privacy, responders=self.responders)
        return LightDerived(session=session, digest=self.digest(session), code=code)


def _words(stream: Keystream, size: int, dtype: Dtype) -> Words:
    """Return the next words of a stream."""
    return np.frombuffer(stream.read(size * dtype.itemsize), dtype=dtype)


def _planted(number: int, bug: str, caught_by: str, kind: type[SecureSum]) -> Planted:
    return Planted(
        number=number, bug=bug, claim="C-03", caught_by=caught_by, subject=lambda: SumSubject.suggested(kind)
    )


PLANTED: Final[tuple[Planted, ...]] = (
    _planted(41, "masks of 31 bits in a ring of 32 bits", "view.uniform.words", ShortMasks),
    _planted(42, "masks that are words modulo m", "view.uniform.residues", ReducedMasks),
    _planted(43, "a mask generator that never yields m - 1", "view.uniform.residues", IncompleteMasks),
)
