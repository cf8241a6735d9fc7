"""What a round costs in steps, seconds, bytes, CPU time and memory, by formulas in its numbers: `secagg plan`."""
