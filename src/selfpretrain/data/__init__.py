"""From bytes on disk, or a built-in rule, to a task and its batches: read, parse, split, fit the codec, encode."""
