"""Audits: checks of a protocol, a mechanism, a training configuration or a finished run, and what they cannot show."""
