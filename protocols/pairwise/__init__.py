"""Pairwise masking: SecAgg and SecAgg+."""
