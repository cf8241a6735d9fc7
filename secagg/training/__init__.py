"""Federated averaging."""
