"""What travels between server and nodes: the work, the offer of a session, and parcels."""
