"""Exact discrete noise, from one party or from shares that many clients add."""
