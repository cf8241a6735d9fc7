"""Ways to reach the clients of a round."""
