"""Does self-pretraining help on your sequences, by how much, at what cost, and why?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfpretrain.classifier import load_model
    from selfpretrain.comparison.compare import Comparison, compare
    from selfpretrain.data.load import load_task
    from selfpretrain.data.task import Task
    from selfpretrain.explain.diagnose import Diagnosis, diagnose
    from selfpretrain.use.estimator import SelfPretrainedClassifier

__version__ = "0.2.0"
_HOMES = {
    "Comparison": "comparison.compare",
    "Diagnosis": "explain.diagnose",
    "SelfPretrainedClassifier": "use.estimator",
    "Task": "data.task",
    "compare": "comparison.compare",
    "diagnose": "explain.diagnose",
    "load_model": "classifier",
    "load_task": "data.load",
}
__all__ = [
    "Comparison",
    "Diagnosis",
    "SelfPretrainedClassifier",
    "Task",
    "compare",
    "diagnose",
    "load_model",
    "load_task",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: the command line must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'selfpretrain' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"selfpretrain.{_HOMES[name]}"), name)
