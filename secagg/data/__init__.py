"""The available real data sets, and their partition over simulated clients."""
