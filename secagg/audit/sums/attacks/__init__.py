"""Attacks on protocols: each is an adversary that runs against the real machines, and whose success rejects a claim."""
