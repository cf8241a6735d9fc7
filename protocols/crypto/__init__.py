"""Arithmetic and primitives: no protocol, no message, no session."""
