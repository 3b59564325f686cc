"""What either loss teaches attention."""
