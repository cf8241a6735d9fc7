"""Paillier's cryptosystem: keys, encryption, proofs and committees' keys."""
