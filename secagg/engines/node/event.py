"""The privacy cost of a release, computed by a node itself from what it can check.

The coordinator states the noise that each client adds, and the encoding. The node takes its sensitivity from the
encoding and counts on the noise of as many contributors as a sum has at least, less those that the node itself takes to
be corrupt. What a coordinator says of the noise's sensitivity, of the number of its contributors, or of an epsilon,
does not matter here.

Formal guarantees: the event is that of one client's vector replaced by zero (relation zero-out, unit client), against
everyone who sees the released sums, together with that number of corrupt contributors. Sampling of clients is not
counted as amplification, since a node cannot check it.

Adversary: a coordinator that names any noise and any number of colluding clients, and the nodes that the policy takes
to be corrupt. `dp.accounting.lattice` and `dp.accounting.renyi` say what a sum of noise shares costs.
"""

from fractions import Fraction
from typing import assert_never

from dp.events import DistributedDiscreteGaussianEvent, PrivacyEvent, SkellamEvent, Trust
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam, rounded_down
from dp.noise.removal import RemovableSkellam
from secagg.aggregation.encoding import Encoding
from secagg.privacy.contributors import shares_relied_on
from secagg.privacy.noise import Noise


def node_event(noise: Noise, encoding: Encoding, *, trust: Trust, contributors: int, corrupt: int) -> PrivacyEvent:
    """Return the cost of one release, whatever the coordinator says of it.

    Args:
        noise: The noise that one party adds; of its numbers, only those that determine what is drawn are used.
        encoding: The encoding of the vectors.
        trust: Who adds the noise. With `CENTRAL` the server adds it, which the node cannot check.
        contributors: The least number of contributors of a sum, above `corrupt`.
        corrupt: The number of contributors that may tell the server their noise, or add none.

    Raises:
        dp.errors.InvalidParameter: There is too little noise to be accounted for, or nobody's noise counts.
    """
    relied_on = shares_relied_on(contributors, colluding=corrupt, trust=trust)
    sensitivity, dimension = encoding.l2_sensitivity, encoding.length
    match noise:
        case DistributedDiscreteGaussian():
            return DistributedDiscreteGaussianEvent(
                local_sigma=noise.local_sigma,
                contributors=relied_on,
                l2_sensitivity=sensitivity,
                dimension=dimension,
            )
        case DistributedSkellam():
            variance = rounded_down(relied_on * Fraction(noise.local_variance)) if relied_on > 0 else 0.0
        case RemovableSkellam():
            # After the most dropouts, the noise of one contributor has 1 / contributors of this variance; after fewer,
            # a larger part of the noise is that of honest contributors.
            whole = Fraction(noise.target_variance) * contributors / (contributors - noise.colluding)
            variance = rounded_down(whole * relied_on / contributors) if relied_on > 0 else 0.0
        case _:
            assert_never(noise)
    return SkellamEvent(variance=variance, contributors=relied_on, l2_sensitivity=sensitivity, dimension=dimension)
