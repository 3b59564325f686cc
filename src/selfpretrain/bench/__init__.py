"""``selfpretrain bench``: how fast this package trains on this machine, beside other ways to do the same."""
