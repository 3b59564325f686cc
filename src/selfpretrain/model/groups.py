"""The groups of the model's weights: what moves, freezes and decays together."""

from collections.abc import Iterable
from typing import Literal, get_args

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
    there = {group_of(name) for name in names}
    return tuple(group for group in GROUPS if group in there)
