"""Forms of functions that a processor computes fastest, or with the least memory."""
