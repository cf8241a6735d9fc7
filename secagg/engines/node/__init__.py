"""A node's side: its home, its policy, and the station that answers."""
