"""Audits of noise: draws against their law and an exact twin, samples of examples, and sums of clipped gradients."""
