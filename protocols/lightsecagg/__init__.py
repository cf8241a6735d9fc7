"""LightSecAgg: one mask for each client, coded so that enough clients together remove the sum of all masks."""

from protocols.lightsecagg.protocol import LightSecAgg

__all__ = ["LightSecAgg"]
