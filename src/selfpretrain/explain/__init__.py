"""Why self-pretraining helps, or does not: a finished comparison looked at and experimented on."""
