"""What parties keep on the disk: records of sessions and openings, and key files."""
