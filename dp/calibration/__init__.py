"""Calibration: the least noise for a guarantee."""
