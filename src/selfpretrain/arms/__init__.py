"""The ways to train that a comparison knows."""
