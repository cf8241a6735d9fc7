"""Secure sums by replicated seeds: a committee whose members make their own keys, without a dealer."""
