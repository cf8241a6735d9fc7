"""Exact discrete noise, from one party or from noise shares that many clients add."""
