"""Which arms there are."""

from collections.abc import Sequence

from selfpretrain.arms.arm import Arm, Versus
from selfpretrain.arms.augment import AUGMENT
from selfpretrain.arms.bias import BIAS
from selfpretrain.arms.classical import CLASSICAL
from selfpretrain.arms.cutmix import CUTMIX
from selfpretrain.arms.impulse import IMPULSE
from selfpretrain.arms.joint import JOINT
from selfpretrain.arms.joint_corrupted import JOINT_CORRUPTED
from selfpretrain.arms.mimetic import MIMETIC
from selfpretrain.arms.mimetic_qk import MIMETIC_QK
from selfpretrain.arms.quant import QUANT
from selfpretrain.arms.rocket import ROCKET
from selfpretrain.arms.rotary import ROTARY
from selfpretrain.arms.scratch import SCRATCH
from selfpretrain.arms.scratch_long import SCRATCH_LONG
from selfpretrain.arms.smoothing import SMOOTHING
from selfpretrain.arms.spt import SPT
from selfpretrain.config import CompareConfig
from selfpretrain.errors import SettingError

_STARTS = (MIMETIC, MIMETIC_QK, IMPULSE, BIAS, ROTARY)
_TRICKS = (CUTMIX, SMOOTHING, AUGMENT)
_BUILT_IN = (SCRATCH, SPT, SCRATCH_LONG, JOINT, JOINT_CORRUPTED, *_STARTS, *_TRICKS, CLASSICAL, QUANT, ROCKET)
_ARMS = {arm.name: arm for arm in _BUILT_IN}
RIVALS = "rivals"
"""Stands for the arms that are compared by default, and every arm that is free."""


def register(arm: Arm) -> Arm:
    """Make an arm known by its name."""
    _ARMS[arm.name] = arm
    return arm


def known_arms() -> dict[str, Arm]:
    """Every known arm by name, in the order in which they were registered."""
    return dict(_ARMS)


def arm_named(name: str) -> Arm:
    """The arm of that name.

    Raises:
        SettingError: there is none; the message lists the arms.
    """
    if name not in _ARMS:
        raise SettingError("arms", name, f"names an unknown arm; the arms are {', '.join(_ARMS)}")
    return _ARMS[name]


def contrasts_of(name: str) -> tuple[Versus, ...]:
    """The contrasts of an arm: those that it declares, and for self-pretraining one with every arm that is free."""
    free = [Versus(each, "label compute") for each, arm in _ARMS.items() if arm.is_free and name == SPT.name]
    return (*arm_named(name).contrasts, *free)


def expanded(names: Sequence[str]) -> tuple[str, ...]:
    """Names of arms, with those for which ``rivals`` stands; each once.

    >>> expanded(("joint", "rivals"))[:6]
    ('joint', 'scratch', 'spt', 'scratch-long', 'classical', 'mimetic')
    """
    free = [name for name, arm in _ARMS.items() if arm.is_free]
    named = [each for name in names for each in ((*CompareConfig().arms, *free) if name == RIVALS else (name,))]
    return tuple(dict.fromkeys(named))


def reported_seeds(name: str, n_seeds: int) -> range:
    """Seeds with which an arm is reported; a classical model has none, and one run of it stands for all."""
    return range(n_seeds if arm_named(name).fit is None else 1)
