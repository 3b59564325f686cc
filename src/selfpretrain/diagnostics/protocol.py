"""How a model is looked at: dropout off, explicit scores, and no trace left."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from selfpretrain.model.attention import Attention, Scores


@contextlib.contextmanager
def observed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and eager attention inside; modes and kernels as before outside.

    Fused attention has no scores to read and no second derivative.
    """
    modes = [(module, module.training) for module in model.modules()]
    kernels = [(attention, attention.kernel) for attention in model.modules() if isinstance(attention, Attention)]
    model.eval()
    for attention, _ in kernels:
        attention.kernel = "eager"
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for attention, kernel in kernels:
            attention.kernel = kernel


def score_modules(model: nn.Module) -> list[Scores]:
    """The places where scores are made, a layer each.

    Raises:
        ValueError: the model has none.
    """
    found = [module for module in model.modules() if isinstance(module, Scores)]
    if not found:
        raise ValueError("the model makes no scores; diagnostics need the attention of selfpretrain.model")
    return found


@contextlib.contextmanager
def hooked(modules: list[Scores], see: Callable[[int, tuple[Any, ...], Tensor], Tensor | None]) -> Iterator[None]:
    """Call ``see(layer, (q, k, bias), scores)`` whenever scores are made; what it returns replaces them."""
    handles = [
        module.register_forward_hook(lambda _, args, scores, layer=layer: see(layer, args, scores))
        for layer, module in enumerate(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
