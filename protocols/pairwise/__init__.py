"""Pairwise masking: SecAgg on the complete graph, SecAgg+ on a regular one."""

from protocols.pairwise.protocol import PairwiseMasking, SecAgg, SecAggPlus

__all__ = ["PairwiseMasking", "SecAgg", "SecAggPlus"]
