"""The built-in studies, one file each."""
