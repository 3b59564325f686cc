"""How a model is looked at: dropout off, explicit scores, and no trace left."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from selfpretrain.model.attention import Attention, Scores


@contextlib.contextmanager
def observed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and eager attention inside; modes and kernels as before outside.

    Fused attention has no scores to read and no second derivative.

    >>> model = nn.Dropout()
    >>> with observed(model):
    ...     inside = model.training
    >>> inside, model.training
    (False, True)
    """
    modes = [(module, module.training) for module in model.modules()]
    kernels = [(module, module.kernel) for module in model.modules() if isinstance(module, Attention)]
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
    """The places where scores are made, a layer each; none is a ValueError.

    >>> len(score_modules(nn.ModuleList([Scores(), nn.Dropout(), Scores()])))
    2
    """
    modules = [module for module in model.modules() if isinstance(module, Scores)]
    if not modules:
        raise ValueError("the model makes no scores; diagnostics need the attention of selfpretrain.model")
    return modules


@contextlib.contextmanager
def hooked(
    modules: Sequence[nn.Module], see: Callable[[int, tuple[Any, ...], Tensor], Tensor | None]
) -> Iterator[None]:
    """Call ``see(layer, inputs, output)`` whenever one of these modules, of a layer each, has run.

    What it returns replaces the output. The inputs of ``score_modules`` are (q, k, bias), and their outputs scores.

    >>> import torch
    >>> scores, q = Scores(), torch.eye(4)[None, None]
    >>> with hooked([scores], lambda layer, inputs, made: made + 1):
    ...     seen = scores(q, q, None)
    >>> seen[0, 0, 0].tolist(), scores(q, q, None)[0, 0, 0].tolist()  # 1 / sqrt(4) on the diagonal
    ([1.5, 1.0, 1.0, 1.0], [0.5, 0.0, 0.0, 0.0])
    """
    handles = [
        module.register_forward_hook(lambda _, args, output, layer=layer: see(layer, args, output))
        for layer, module in enumerate(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
