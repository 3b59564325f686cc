"""Studies: many comparisons, and the claims that they decide. The built-in ones are in ``builtin`` and ``paper``."""

from selfpretrain.studies.claims import (
    Ahead,
    Blind,
    Changes,
    Claim,
    Fits,
    Foretells,
    Generalises,
    LooksNear,
    Recovers,
    Sooner,
)
from selfpretrain.studies.study import Case, Ground, Study, ground

__all__ = [
    "Ahead",
    "Blind",
    "Case",
    "Changes",
    "Claim",
    "Fits",
    "Foretells",
    "Generalises",
    "Ground",
    "LooksNear",
    "Recovers",
    "Sooner",
    "Study",
    "ground",
]
