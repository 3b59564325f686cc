"""The ways to train that a comparison knows, one file each, and how their learning rates are picked."""
