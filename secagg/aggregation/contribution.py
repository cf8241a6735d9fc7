"""What a client gives to a secure sum."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protocols import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A client's input to the protocol.

    Attributes:
        vector: Shape `(length,)`, uint64, entries in [0, modulus).
        attached: The secrets that the session asks for; none unless noise may be removed.
    """

    vector: NDArray[np.uint64] = field(repr=False)
    attached: tuple[Secret, ...] = ()
