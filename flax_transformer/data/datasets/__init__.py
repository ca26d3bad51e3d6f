"""The data sets, one in each file."""
