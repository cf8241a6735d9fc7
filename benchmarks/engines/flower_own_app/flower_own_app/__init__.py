"""Flower's own SecAgg+ as it ships: the legacy workflow and mod, on the smallest model."""
