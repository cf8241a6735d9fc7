"""Transcripts: the server's view of secure sums in one file of chained records, which any engine can record."""
