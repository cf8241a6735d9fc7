"""The noise and the cost of rounds, before anything is run: what `secagg budget plan` computes."""
