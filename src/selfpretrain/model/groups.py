"""The groups of the model's weights: what is transferred, frozen and decayed together, and how they move."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Group = Literal["embedding", "positions", "query-key", "value-output", "feedforward", "norms", "head"]
GROUPS: tuple[Group, ...] = get_args(Group)
ENCODER: tuple[Group, ...] = tuple(group for group in GROUPS if group != "head")
"""What label training takes over from self-pretraining: everything but the heads (Amos et al. 2024)."""
DECAYING: tuple[Group, ...] = ("query-key", "value-output", "feedforward", "head")
"""Groups whose weights decay; their biases do not, nor do embeddings, positions and norms."""

ORTHOGONALISED: tuple[Group, ...] = ("query-key", "value-output", "feedforward")
"""Groups whose matrices Muon moves, where it is asked for: what lies inside the blocks."""

_GROUP_OF: dict[str, Group] = {
    "embedding": "embedding",
    "cls": "embedding",
    "positions": "positions",
    "query": "query-key",
    "key": "query-key",
    "value": "value-output",
    "output": "value-output",
    "feedforward_in": "feedforward",
    "feedforward_out": "feedforward",
    "attention_norm": "norms",
    "feedforward_norm": "norms",
    "final_norm": "norms",
    "label_head": "head",
    "reconstruction_head": "head",
}


def group_of(name: str) -> Group:
    """The group of a parameter, from its name, whatever wraps the model.

    Raises:
        KeyError: a parameter that no group claims; every new module must be given one.

    >>> group_of("blocks.0.attention.query.weight"), group_of("module.final_norm.bias")
    ('query-key', 'norms')
    """
    groups = [_GROUP_OF[part] for part in name.split(".") if part in _GROUP_OF]
    if not groups:
        raise KeyError(f"parameter '{name}' belongs to no group; name its module in groups._GROUP_OF")
    return groups[-1]


def decays(name: str) -> bool:
    """Whether a parameter has weight decay, from its name.

    >>> decays("label_head.weight"), decays("label_head.bias"), decays("embedding.weight")
    (True, False, False)
    """
    return name.endswith("weight") and group_of(name) in DECAYING


def present_groups(names: Iterable[str]) -> tuple[Group, ...]:
    """The groups of these parameters, in the order of ``GROUPS`` (a fixed position code has none)."""
    present = {group_of(name) for name in names}
    return tuple(group for group in GROUPS if group in present)


def freeze(model: "nn.Module", groups: Collection[str]) -> None:
    """Take the weights of ``groups`` out of training, in place: they get no gradient and no decay."""
    for name, parameter in model.named_parameters():
        if group_of(name) in groups:
            parameter.requires_grad_(False)


@dataclass(frozen=True)
class TransferReport:
    """What happened to every weight, by name.

    Attributes:
        loaded: in the target, now from the source.
        reset: in the target, left at its fresh start.
        left_out: in the source, not taken.
    """

    loaded: tuple[str, ...]
    reset: tuple[str, ...]
    left_out: tuple[str, ...]


def norm_matched_noise(source: "Mapping[str, Tensor]", generator: "torch.Generator") -> "dict[str, Tensor]":
    """Gaussian noise in the place of every weight, scaled to the Frobenius norm of what it replaces."""
    import torch

    noise = {name: torch.randn(weight.shape, generator=generator) for name, weight in source.items()}
    return {name: noise[name] * (weight.norm() / noise[name].norm()) for name, weight in source.items()}


def transfer(
    source: "Mapping[str, Tensor]",
    target: "nn.Module",
    groups: Collection[str] = ENCODER,
    noise: "torch.Generator | None" = None,
) -> TransferReport:
    """Copy the weights of ``groups`` from ``source`` into ``target``, in place; the rest of it keeps its values.

    Args:
        noise: copy ``norm_matched_noise`` from this generator instead; None copies the weights.

    Raises:
        ValueError: a weight that should have arrived is missing in the source, or of another shape there.
    """
    parameters = dict(target.named_parameters())
    loaded = tuple(name for name in parameters if group_of(name) in groups)
    for name in loaded:
        if name not in source or source[name].shape != (shape := parameters[name].shape):
            raise ValueError(f"'{name}' did not arrive: the source has no weight of this name and shape {tuple(shape)}")
    copied = source if noise is None else norm_matched_noise(source, noise)
    import torch  # here, so that reading a report does not wait for it

    with torch.no_grad():
        for name in loaded:
            parameters[name].copy_(copied[name])
    return TransferReport(
        loaded=loaded,
        reset=tuple(name for name in parameters if name not in loaded),
        left_out=tuple(name for name in source if name not in loaded),
    )
