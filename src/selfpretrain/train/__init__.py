"""One training: what is minimised, the loop, and the store that keeps the result."""
