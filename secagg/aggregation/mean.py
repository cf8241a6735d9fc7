"""A mean through a secure sum: clip, encode, add noise, and decode the sum.

`SecureMean` joins two packages: `protocols` sums, and `dp` draws the noise and accounts for it. A client's part
(`contribution`) and the server's part (`decode`) are separate methods, which an engine (`secagg.engines`) runs in one
process or in several.

Adversary: the adversary of the protocol. The guarantee of the noise has two conditions. The protocol must hide
everything except the sum. If the noise is distributed, all contributors except at most `Target.colluding` must add
their noise shares and keep them secret. Then the guarantee holds for any one client against everyone who sees the
released means. With `Trust.CENTRAL` it does not hold against the server, which sees the exact sum; otherwise it does.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.clip import clip_l2
from dp.events import PrivacyEvent, Trust
from protocols import Committee, Roster, Secret, SecureSum, Session
from protocols.errors import ParameterError
from secagg.aggregation.cohort import cohort_of
from secagg.aggregation.contribution import Contribution
from secagg.aggregation.encoding import Decoded, Encoding
from secagg.aggregation.lattice import fit_with_noise
from secagg.aggregation.modulus_bits import AUTO, ModulusBits
from secagg.aggregation.residues import reduced
from secagg.aggregation.rotation import Rotation
from secagg.aggregation.rounding_factor import rounding_factor
from secagg.aggregation.weighting import Weighting
from secagg.checks import plain_integer
from secagg.client_errors import naming
from secagg.errors import EncodingError
from secagg.privacy.noise import Noise, NoiseTerms, Sample, Target, draw_noise, opening_rules, surplus

__all__ = ["SecureMean", "Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureMean:
    """The mean of each array over clients, entry by entry, through a secure sum alone; make one with `plan`.

    Attributes:
        protocol: The secure sum; `plan` has declared to it that sums have headroom. The encoding provides it unless the
            clients' noise exceeds its bound, which has probability at most 2^-40.
        clients: Ids of the cohort.
        minimum_contributors: With fewer contributors, nothing is released. The noise is sized for this number, minus
            the colluding clients.
        encoding: The encoding of updates as integers.
        noise: The noise that each client adds to its integers, or the server to their sum; None without noise.
        target: Who adds the noise, and how many may collude; where the mean was planned, the `Target` that the noise
            keeps. None if and only if there is no noise.
        roster: The identities of the cohort if the server may be malicious, else None.
        committee: The committee that opens the sum, in protocols that encrypt under its key; else None.
        sample: How the clients of a sum are drawn in secret; None if everybody may know them.
        padding: Clients of the session that were not drawn, and contribute zeros so that there are enough for a
            session; none without a sample.

    Formal guarantees (if `noise` is not None):
        Sensitivity: `encoding.l2_sensitivity`, in integer steps, of the sum to one client's contribution replaced by
        zero. Unit: client. Each release is one `event`; decoding is post-processing.

        Without a sample, relation: zero-out; who contributes is public. Observers: everybody who sees the released
        means and who contributes, the server included unless it adds the noise.

        With a sample, relation: add-or-remove-one. Observers: readers of the released means only. The server adds noise
        that does not depend on who was drawn, to a sum that always can be opened, and divides by the expected number.
        So a released mean depends on the draw of a client through the client's vector alone. This holds if the draw is
        independent for each client and release, and stays secret. All that depends on it must stay secret too: the
        session with its fresh id, from which the rotation follows, its size and its cost. Towards the server, and
        everybody who learns who was drawn, there is no statement of this relation.
    """

    protocol: SecureSum
    clients: tuple[int, ...]
    minimum_contributors: int
    encoding: Encoding
    noise: Noise | None
    target: NoiseTerms | None = None
    roster: Roster | None = None
    committee: Committee | None = None
    sample: Sample | None = None
    padding: tuple[int, ...] = ()

    @classmethod
    def plan(
        cls,
        *,
        protocol: SecureSum,
        clients: Iterable[int],
        minimum_contributors: int,
        shapes: Sequence[Sequence[int]],
        clip_l2: float,
        modulus_bits: ModulusBits = AUTO,
        weighting: Weighting | str = Weighting.UNIFORM,
        max_weight: float = 1.0,
        target: Target | None = None,
        roster: Roster | None = None,
        committee: Committee | None = None,
        sample: Sample | None = None,
        compression: float = 1.0,
    ) -> "SecureMean":
        """Choose granularity and noise, and check that everything fits, before anything runs.

        Args:
            protocol: The secure sum.
            clients: Distinct ids of the cohort, integers of Python or numpy.
            minimum_contributors: The least number of contributors of a release, in [2, len(clients)].
            shapes: The shapes of a client's arrays, in order.
            clip_l2: Bound on the l2 norm of all arrays of a client together.
            modulus_bits: Bits of a coordinate on the wire, in [2, 62]; "auto" for the least with which rounding makes
                the noise at most 1.005 times larger (`secagg.aggregation.modulus_bits`).
            weighting: Uniform, or by the clients' weights; a member or its value as a string.
            max_weight: The weight that counts as 1.
            target: The guarantee to keep; None for no noise, and so no differential privacy.
            roster: The identities of the whole cohort and of nobody else, for a protocol against a malicious server.
            committee: The committee that opens the sum, for a protocol that needs one.
            sample: How the clients of a sum are drawn in secret; that of the target, if there is one. The encoding has
                room for all clients of the population, since any number of them may be drawn.
            compression: The fraction of the rotated coordinates that a client sends, in (0, 1]; below 1 only for
                uniform means. The guarantee and the noise of the mean are the same, and its error is larger: see
                `Encoding.subsampling_error`.

        Raises:
            EncodingError: A parameter of the encoding is out of range, or "auto" finds no bits.
            ModulusTooSmall: The cohort does not fit the modulus; the error names the bits that are enough.
            ParameterError: Cohort, threshold, protocol, roster and committee do not fit together.
            dp.errors.InfeasibleTarget: No noise reaches the target.
        """
        cohort = cohort_of(clients)
        minimum_contributors = plain_integer(minimum_contributors)
        if type(minimum_contributors) is not int or not 2 <= minimum_contributors <= len(cohort):
            raise ParameterError(
                f"minimum_contributors: expected an int in [2, {len(cohort)}], found {minimum_contributors!r}"
            )
        if target is not None and target.sample != sample:
            raise ParameterError("sample: expected that of the target, found another. Give both the same.")
        colluding = 0 if target is None else target.colluding
        if type(colluding) is not int or not 0 <= colluding < minimum_contributors:
            raise ParameterError(f"colluding: expected an int in [0, {minimum_contributors - 1}], found {colluding!r}")
        fit = partial(
            Encoding.fit,
            shapes=shapes,
            clip_l2=clip_l2,
            clients=len(cohort) if sample is None else sample.population,
            weighting=weighting,
            max_weight=max_weight,
            compression=compression,
            modulus=protocol.modulus,
        )
        encoding, noise = fit_with_noise(
            fit, target, modulus_bits=modulus_bits, minimum_contributors=minimum_contributors
        )
        roomy = protocol.with_headroom()  # The encoding provides the headroom.
        if type(roomy) is not type(protocol) or roomy.protects is not protocol.protects:
            raise ParameterError(
                f"{protocol.name}.with_headroom: expected the same protocol, found {type(roomy).__name__}. Mend it."
            )
        planned = cls(
            protocol=roomy,
            clients=cohort,
            minimum_contributors=minimum_contributors,
            encoding=encoding,
            noise=noise,
            target=target,
            roster=roster,
            committee=committee,
            sample=sample,
        )
        planned.protocol.validate(planned.session(bytes(16)))
        return planned

    def for_clients(self, clients: Iterable[int], *, roster: Roster | None = None) -> "SecureMean":
        """Return the same mean for another cohort of as many clients, whose releases have the same event.

        Args:
            clients: Distinct ids, as many as the mean was planned for.
            roster: The identities of the cohort and of nobody else; needed if and only if the mean has a roster.

        Raises:
            ParameterError: It is another number of clients, or cohort and roster do not fit together.
        """
        cohort = cohort_of(clients)
        if len(cohort) != len(self.clients):
            raise ParameterError(
                f"clients: expected {len(self.clients)}, the number that the noise is planned for, found {len(cohort)}"
            )
        if (roster is None) != (self.roster is None):
            raise ParameterError(
                "roster: expected one of the cohort if and only if the mean was planned with one, found "
                + ("none" if roster is None else "one")
            )
        return self._checked(replace(self, clients=cohort, roster=roster))

    def for_sample(
        self, clients: Iterable[int], *, padding: Iterable[int], protocol: SecureSum, minimum_contributors: int
    ) -> "SecureMean":
        """Return the same mean for the clients that were drawn, any number of them; its event is the same.

        Args:
            clients: Distinct ids of the clients that were drawn.
            padding: Distinct ids of clients that were not drawn and contribute zeros, so that there are enough clients
                for a session.
            protocol: The protocol with its parameters for all of these clients.
            minimum_contributors: The least number of contributors of a release. If fewer may be left, readers learn
                from a missing release how many were drawn.

        Raises:
            ParameterError: The mean is not planned for a sample, or clients and protocol do not fit together.
        """
        if self.sample is None:
            raise ParameterError("sample: expected a mean that is planned for one, found one for a cohort")
        idle = cohort_of(padding)
        cohort = tuple(sorted((*cohort_of(clients), *idle)))
        return self._checked(
            replace(
                self,
                clients=cohort,
                padding=idle,
                protocol=protocol.with_headroom(),
                minimum_contributors=minimum_contributors,
            )
        )

    @staticmethod
    def _checked(mean: "SecureMean") -> "SecureMean":
        mean.protocol.validate(mean.session(bytes(16)))
        return mean

    @property
    def drawn(self) -> tuple[int, ...]:
        """Ids of the clients that are asked for their own contributions: all but the padding."""
        return tuple(client for client in self.clients if client not in self.padding)

    def is_like(self, other: "SecureMean") -> bool:
        """Return whether another mean differs at most in who its clients are, and not in how many."""
        alike = replace(self, clients=other.clients, roster=other.roster, padding=other.padding)
        return len(self.clients) == len(other.clients) and alike == other

    @property
    def event(self) -> PrivacyEvent | None:
        """The privacy cost of a release; None without noise."""
        return self._sampled(None if self.noise is None else self.noise.event)

    def _sampled(self, event: PrivacyEvent | None) -> PrivacyEvent | None:
        return event if event is None or self.sample is None else self.sample.event_of(event)

    @property
    def rounding_factor(self) -> float | None:
        """How many times larger rounding makes the noise (`secagg.aggregation.rounding_factor`); None without noise."""
        if self.noise is None or self.target is None:
            return None
        clients = len(self.clients) if self.sample is None else self.sample.expected
        return rounding_factor(self.encoding, self.noise, self.target, clients=clients)

    def session(self, session_id: bytes, *, context: bytes = b"") -> Session:
        """Return the protocol's session; its digest binds the encoding and the noise besides its own fields."""
        noise = None if self.noise is None or self.target is None else (self.noise.event, self.target.trust)
        return Session(
            session_id=session_id,
            clients=self.clients,
            threshold=self.minimum_contributors,
            length=self.encoding.length,
            modulus=self.encoding.modulus,
            context=context,
            parameters=hashlib.sha256(msgspec.json.encode((self.encoding, noise))).digest(),
            roster=self.roster,
            attached=opening_rules(self.noise),
            committee=self.committee,
            expires=None if self.committee is None else self.committee.key.expires,
        )

    def rotation(self, session: Session) -> Rotation:
        """Return the session's public rotation; it is a function of the session's digest, as are the rows it keeps."""
        return self.encoding.rotation(self.protocol.digest(session))

    def contribution(
        self,
        arrays: Sequence[ArrayLike],
        *,
        rotation: Rotation,
        weight: float | None = None,
        client: int | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Contribution:
        """Return a client's part: its clipped and encoded update, with its noise if clients add any, as residues.

        Args:
            arrays: The update, of the planned shapes, finite; clipped here to `clip_l2`.
            rotation: The rotation of the session.
            weight: A number in (0, max_weight] if the mean is weighted, else None.
            client: The client that errors name.
            entropy: Secret randomness for rounding and noise.

        Returns:
            The vector and the secrets for the client's machine.

        Raises:
            EncodingError: The shapes or the weight do not fit.
            dp.errors.InvalidParameter: An entry is NaN or infinite.
        """
        with naming(client):
            integers = self.encoding.encode(arrays, weight=weight, rotation=rotation, entropy=entropy)
        return self._noised(integers, entropy)

    def zero_contribution(self, *, entropy: Callable[[int], bytes] = os.urandom) -> Contribution:
        """Return the part of a client whose training has failed: zeros and, if clients add any, its noise.

        Its weight and an adaptive clip's count are zeros too. For the guarantee this is a neighbour of any other
        contribution of the client. So the sum reveals no more about the failure than about an update.

        Args:
            entropy: Secret randomness for the noise.
        """
        return self._noised(np.zeros(self.encoding.length, dtype=np.int64), entropy)

    def _noised(self, integers: NDArray[np.int64], entropy: Callable[[int], bytes]) -> Contribution:
        attached: tuple[Secret, ...] = ()
        if self.noise is not None and not self._central:
            noise, attached = draw_noise(self.noise, entropy)
            integers += noise
        return Contribution(vector=reduced(integers, self.encoding.modulus), attached=attached)

    def decode(
        self,
        total: NDArray[np.uint64],
        *,
        contributors: int,
        rotation: Rotation,
        attached: Mapping[int, Sequence[Secret | None]] | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        overwrite: bool = False,
    ) -> Decoded:
        """Return the server's part: the mean from the sum of the contributors' vectors modulo the modulus.

        A weighted mean is a quotient. Noise in a small divisor can make it far larger than any client's update. No mean
        of clipped updates has a norm above the clip, so a noisy mean above the clip is scaled back to it. This brings
        it closer to the exact mean and is post-processing. A uniform mean has a divisor without noise and is left
        unbiased.

        Args:
            total: See `Encoding.decode`.
            contributors: See `Encoding.decode`.
            rotation: The rotation of the session.
            attached: For each contributor, its opened secrets, if noise may be removed.
            entropy: Secret randomness for the noise, if the server adds it.
            overwrite: See `Encoding.decode`.

        Returns:
            The mean and its rounding bound. The bound is None for a weighted mean with noise, since it would reveal the
            exact total weight, for a sample, since it would reveal how many clients were drawn, and for a compressed
            encoding, which has none.

        Raises:
            EncodingError: The arguments do not fit, or `contributors` is below `minimum_contributors`.
            UnusableMean: Noise or rounding has left a total weight that is not positive.
            dp.errors.TooManyDropped: More clients have dropped out than the noise allows.
            dp.errors.InvalidParameter: Secrets are missing.
        """
        if type(contributors) is int and contributors < self.minimum_contributors:
            raise EncodingError(
                f"contributors: expected at least {self.minimum_contributors}, the least number of a release, found "
                f"{contributors}. Do not release this sum."
            )
        excess = surplus(self.noise, attached or {}, dropped=len(self.clients) - contributors)
        if excess is not None:
            self.encoding.check_sum(total)
            np.subtract(total.view(np.int64), excess, out=excess)
            total = reduced(excess, self.encoding.modulus, out=excess.view(np.uint64))
            overwrite = True
        noise = draw_noise(self.noise, entropy)[0] if self.noise is not None and self._central else None
        divisor = contributors if self.sample is None else self.sample.expected
        decoded = self.encoding.decode(total, contributors=divisor, rotation=rotation, noise=noise, overwrite=overwrite)
        if self.sample is not None:  # The bound would reveal how many clients were drawn.
            decoded = replace(decoded, rounding_bound=None)
        if self.noise is None or self.encoding.weighting is Weighting.UNIFORM:
            return decoded
        within = list(clip_l2(decoded.mean, bound=self.encoding.clip_l2).arrays)
        return replace(decoded, mean=within, rounding_bound=None)

    def realised(self, contributors: int) -> PrivacyEvent | None:
        """Return the release of a mean over this number of clients, with the noise then in it; None without noise."""
        if self.noise is None or self.target is None:
            return None
        found = self.target.realised(self.noise, clients=len(self.clients), contributors=contributors)
        return self._sampled(found)

    @property
    def _central(self) -> bool:
        return self.target is not None and self.target.trust is Trust.CENTRAL
