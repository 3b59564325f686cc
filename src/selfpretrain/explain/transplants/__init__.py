"""Which group of weights carries the gain: moved one by one into a fresh start."""
