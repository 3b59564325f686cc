"""Whether a training is stuck or on its way, while its loss does not move."""
