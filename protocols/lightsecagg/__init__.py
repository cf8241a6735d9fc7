"""LightSecAgg: one coded mask for each client."""
