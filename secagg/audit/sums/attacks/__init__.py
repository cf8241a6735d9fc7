"""Attacks on protocols: each is an adversary that is run against the real machines, and whose success is a rejection."""
