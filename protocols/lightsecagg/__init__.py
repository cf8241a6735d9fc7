"""LightSecAgg: one mask for each client, coded so that any U clients together remove the sum of all masks."""

from protocols.lightsecagg.protocol import LightSecAgg

__all__ = ["LightSecAgg"]
