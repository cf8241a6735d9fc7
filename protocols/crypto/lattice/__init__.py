"""One-time encryption of long vectors, secure under ring-LWE."""
