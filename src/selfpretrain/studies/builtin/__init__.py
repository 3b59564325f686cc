"""The built-in studies, a file each, in the order in which they are listed. Imports no torch."""

from selfpretrain.registry import register
from selfpretrain.studies.builtin.augment import AUGMENT
from selfpretrain.studies.builtin.budget import BUDGET
from selfpretrain.studies.builtin.data_size import DATA_SIZE
from selfpretrain.studies.builtin.depth import DEPTH
from selfpretrain.studies.builtin.domains import DOMAINS
from selfpretrain.studies.builtin.joint import JOINT
from selfpretrain.studies.builtin.masking import MASKING
from selfpretrain.studies.builtin.online import ONLINE
from selfpretrain.studies.builtin.paper import PAPER
from selfpretrain.studies.builtin.pooling import POOLING
from selfpretrain.studies.builtin.positions import POSITIONS
from selfpretrain.studies.builtin.replicate import REPLICATE
from selfpretrain.studies.builtin.rivals import RIVALS
from selfpretrain.studies.builtin.scaling_length import SCALING_LENGTH
from selfpretrain.studies.builtin.transfer import TRANSFER
from selfpretrain.studies.builtin.tuning import TUNING
from selfpretrain.studies.builtin.why_scratch_fails import WHY_SCRATCH_FAILS
from selfpretrain.studies.builtin.width import WIDTH

for _study in (
    REPLICATE,
    DEPTH,
    WIDTH,
    DATA_SIZE,
    ONLINE,
    TUNING,
    TRANSFER,
    MASKING,
    BUDGET,
    POSITIONS,
    RIVALS,
    JOINT,
    POOLING,
    AUGMENT,
    SCALING_LENGTH,
    WHY_SCRATCH_FAILS,
    DOMAINS,
    PAPER,
):
    register(_study)
