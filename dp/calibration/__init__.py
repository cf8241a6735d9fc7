"""The least noise for a guarantee."""
