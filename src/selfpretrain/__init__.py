"""Does self-pretraining help on your sequences, by how much, at what cost, and why?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfpretrain.comparison import Comparison, compare
    from selfpretrain.diagnosis import Diagnosis, diagnose
    from selfpretrain.tasks import Task, load_task

__version__ = "0.1.0"
__all__ = ["Comparison", "Diagnosis", "Task", "compare", "diagnose", "load_task"]
_HOMES = {"Comparison": "comparison", "compare": "comparison", "Diagnosis": "diagnosis", "diagnose": "diagnosis"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: the command line must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'selfpretrain' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"selfpretrain.{_HOMES.get(name, 'tasks')}"), name)
