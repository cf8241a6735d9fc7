"""The model of cost of each protocol."""

from typing import Any, Final

from protocols import LightSecAgg, OneShot, PaillierSum, PlainSum, SecAgg, SecAggPlus, SecureSum, SeedSum
from secagg.errors import ConfigurationError
from secagg.planning.cost import encrypted, lightsecagg, pairwise, plain, seeds
from secagg.planning.cost.sum_size import SumCost, SumSize

MODELLED: Final[tuple[type[SecureSum], ...]] = (
    SecAggPlus,
    SecAgg,
    LightSecAgg,
    OneShot,
    PaillierSum,
    SeedSum,
    PlainSum,
)
"""The classes of the protocols that have a model."""


def cost_of(protocol: SecureSum, size: SumSize) -> SumCost:
    """Return the cost of a sum with a protocol.

    Raises:
        ConfigurationError: There is no model of this protocol.
        protocols.errors.ParameterError: The sum does not fit the protocol.
    """
    chosen: Any = protocol
    if type(chosen) is SecAgg:
        return pairwise.cost(
            size, neighbours=size.clients - 1, share_threshold=size.threshold, headroom=chosen.headroom
        )
    if type(chosen) is SecAggPlus:
        return pairwise.cost(
            size,
            neighbours=chosen.neighbours,
            share_threshold=chosen.share_threshold,
            headroom=chosen.headroom,
        )
    if type(chosen) is LightSecAgg:
        return lightsecagg.cost(size, privacy=chosen.privacy, responders=chosen.responders)
    if type(chosen) is OneShot:
        return encrypted.one_shot(size)
    if type(chosen) is PaillierSum:
        return encrypted.paillier(size)
    if type(chosen) is SeedSum:
        return seeds.cost(size)
    if type(chosen) is PlainSum:
        return plain.cost(size)
    raise ConfigurationError(
        f"protocol: expected one whose cost is modelled ({', '.join(kind.name for kind in MODELLED)}), found "
        f"{protocol.name}. Name one of them with --protocol."
    )
