"""The real data sets at hand, and their partition over simulated clients."""
