"""Studies: many comparisons, and the claims that they decide. A file each, and what they share."""

from selfpretrain.studies.claims import Ahead, Changes, Claim
from selfpretrain.studies.study import Case, Profile, Study, along, ground

__all__ = ["Ahead", "Case", "Changes", "Claim", "Profile", "Study", "along", "ground"]
