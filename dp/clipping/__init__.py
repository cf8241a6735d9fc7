"""Clipping, which bounds what one client can change."""
