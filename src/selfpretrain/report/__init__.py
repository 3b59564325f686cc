"""The report of a finished comparison: read from its folder, and never training. Imports no torch."""
