"""Arms x seeds on one task, paired by seed: the main job."""
