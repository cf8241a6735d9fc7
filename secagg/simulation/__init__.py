"""A simulation: one process plays all parties of a run."""
