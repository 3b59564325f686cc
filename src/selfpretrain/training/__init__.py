"""One training: one phase of one model, the unit of all work."""
