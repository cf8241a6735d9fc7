"""What rounds will cost, before anything is run."""
