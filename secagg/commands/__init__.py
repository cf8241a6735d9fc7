"""What the commands of `secagg` do."""
