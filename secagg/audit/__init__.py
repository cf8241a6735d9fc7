"""Audits: attacks on claims, their error rates, and what they found."""
