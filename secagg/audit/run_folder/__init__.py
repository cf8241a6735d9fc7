"""The audit of a finished run's folder: everything in it that follows from something else is computed again."""
