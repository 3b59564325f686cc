"""How groups of weights move from one model to another."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from selfpretrain.model.groups import ENCODER, GROUPS, group_of


def freeze(model: nn.Module, groups: Collection[str]) -> None:
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


def norm_matched_noise(source: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Gaussian noise in the place of every weight, scaled to the Frobenius norm of what it replaces."""
    noise = {name: torch.randn(weight.shape, generator=generator) for name, weight in source.items()}
    return {name: noise[name] * (weight.norm() / noise[name].norm()) for name, weight in source.items()}


@torch.no_grad()
def transfer(
    source: Mapping[str, Tensor],
    target: nn.Module,
    groups: Collection[str] = ENCODER,
    noise: torch.Generator | None = None,
) -> TransferReport:
    """Copy the weights of ``groups`` from ``source`` into ``target``, in place.

    Args:
        source: weights by name, as from ``state_dict``.
        groups: what to copy; the rest of the target keeps its values.
        noise: copy ``norm_matched_noise`` from this generator instead; None copies the weights.

    Raises:
        ValueError: a group that is none, or a weight that should have arrived and did not: missing in the source,
            or of another shape there.
    """
    strangers = sorted(set(groups) - set(GROUPS))
    if strangers:
        raise ValueError(f"unknown group '{strangers[0]}'; the groups are {', '.join(GROUPS)}")
    parameters = dict(target.named_parameters())
    loaded = tuple(name for name in parameters if group_of(name) in groups)
    for name in loaded:
        if name not in source:
            raise ValueError(f"'{name}' did not arrive: the source has no weight of this name")
        if source[name].shape != parameters[name].shape:
            raise ValueError(
                f"'{name}' did not arrive: {tuple(source[name].shape)} in the source, "
                f"{tuple(parameters[name].shape)} in the target"
            )
    copied = source if noise is None else norm_matched_noise(source, noise)
    for name in loaded:
        parameters[name].copy_(copied[name])
    return TransferReport(
        loaded=loaded,
        reset=tuple(name for name in parameters if name not in loaded),
        left_out=tuple(name for name in source if name not in loaded),
    )
