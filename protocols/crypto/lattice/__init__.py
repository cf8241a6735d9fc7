"""One-time encryption of long vectors under ring-LWE."""
