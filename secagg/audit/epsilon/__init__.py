"""Empirical epsilon: lower bounds from attacks on releases, beside the exact epsilon and the ledger's."""
