"""Does self-pretraining help on your sequences, by how much, at what cost, and why?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfpretrain.comparison import Comparison, compare
    from selfpretrain.tasks import Task, load_task

__version__ = "0.1.0"
__all__ = ["Comparison", "Task", "compare", "load_task"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: the command line must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'selfpretrain' has no attribute '{name}'")
    from importlib import import_module

    home = "selfpretrain.tasks" if name in ("Task", "load_task") else "selfpretrain.comparison"
    return getattr(import_module(home), name)
