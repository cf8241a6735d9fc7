"""Engines: ways to reach the clients of a round."""
