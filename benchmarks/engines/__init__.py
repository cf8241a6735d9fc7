"""What rounds between processes take."""
