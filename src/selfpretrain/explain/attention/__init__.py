"""What attention looks at."""
