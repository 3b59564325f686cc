"""Named settings, on which single options stand. The presets of the arena's tasks are in ``arena.presets``."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.registry import TASKS, register


@dataclass(frozen=True)
class Preset:
    """Named settings; what they do not set keeps its default."""

    sort: ClassVar[str] = "preset"
    name: str
    config: CompareConfig = field(default_factory=CompareConfig)
    task: TaskConfig = field(default_factory=TaskConfig)


def preset_of(data: str) -> str:
    """The name of the preset for a built-in task, or for a file, frame or arrays of one's own, if none is named."""
    return TASKS[data].preset if data in TASKS else "standard"


register(Preset("minimal"))  # the smallest model that shows the effect (ours)
register(  # half as many steps of self-pretraining, which still are twice what it needs there (see docs/results.md)
    Preset("demo", CompareConfig(pretrain=PhaseConfig(duration="400steps")))
)
SMALL = CompareConfig(  # a first model for real data (ours)
    model=ModelConfig(depth=2, width=64, heads=4),
    pretrain=PhaseConfig(duration="3000steps"),
    label=PhaseConfig(duration="2000steps"),
    train=TrainConfig(lr=(3e-4, 1e-3, 3e-3)),
)
register(Preset("small", SMALL))
register(  # what did best on the validation rows of twelve real data sets (ours; see docs/results.md)
    Preset("standard", replace(SMALL, model=replace(SMALL.model, patch=0, pooling="max")))
)
