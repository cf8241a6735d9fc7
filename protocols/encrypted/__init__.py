"""Sums of encrypted vectors that a committee opens."""
