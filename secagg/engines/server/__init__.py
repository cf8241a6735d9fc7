"""The server's side: the coordinator, and the engine over a channel."""
