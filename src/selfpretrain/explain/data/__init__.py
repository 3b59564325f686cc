"""Whether the label could see the local structure."""
