"""The parts of a budget report: what is said, what it is worked out from, and its forms as text, JSON and HTML."""
