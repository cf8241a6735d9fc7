"""Arithmetic and cryptographic primitives; protocols, messages and sessions are elsewhere."""
