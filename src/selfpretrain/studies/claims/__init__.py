"""What studies claim, a file for each kind, and how comparisons decide it. Imports no torch."""

from selfpretrain.studies.claims.ahead import Ahead
from selfpretrain.studies.claims.blind import Blind
from selfpretrain.studies.claims.changes import Changes
from selfpretrain.studies.claims.claim import Claim, Found
from selfpretrain.studies.claims.fits import Fits
from selfpretrain.studies.claims.generalises import Generalises
from selfpretrain.studies.claims.looks_near import LooksNear
from selfpretrain.studies.claims.recovers import Recovers

__all__ = ["Ahead", "Blind", "Changes", "Claim", "Fits", "Found", "Generalises", "LooksNear", "Recovers"]
