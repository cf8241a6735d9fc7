"""Secure means: from arrays to integer vectors and back."""
