"""From bytes on disk, or a built-in rule, to a Task: read, parse, split, fit the codec, code."""
