"""All parties of a run, played by one process."""
