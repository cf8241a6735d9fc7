"""The parts of a budget report: its content, the computation of it, and its forms as text, JSON and HTML."""
