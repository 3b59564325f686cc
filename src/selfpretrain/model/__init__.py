"""A pre-norm Transformer encoder with a label head and a reconstruction head; never knows which phase it is in."""
