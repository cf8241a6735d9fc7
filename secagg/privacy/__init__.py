"""Noise and who adds it, clipping of updates, and the joint cost of several ledgers."""
