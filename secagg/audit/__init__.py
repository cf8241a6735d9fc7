"""Audits: what a subject claims, tested by adversaries and by exact checks, with findings that a reviewer can read."""
