"""From the results of runs to a verdict in words."""
