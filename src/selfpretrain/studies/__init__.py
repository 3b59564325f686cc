"""Studies: many comparisons, and the claims that they decide. The built-in ones are in ``builtin``, a file each."""

from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead, Changes, Claim
from selfpretrain.studies.study import Profile, Study, along, ground

__all__ = ["Ahead", "Case", "Changes", "Claim", "Profile", "Study", "along", "ground"]
