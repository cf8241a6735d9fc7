"""Who adds which noise, how updates are clipped, and what several ledgers cost together."""
