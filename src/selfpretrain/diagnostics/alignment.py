"""Undoing what leaves a Transformer's function alone before two of them are compared weight by weight.

A block computes the same after its heads change places, after a head's queries and keys are turned together, after a
head's values and the part of the output layer that reads them are turned together, and after hidden units of its
feed-forward layer change places. Residual streams are not aligned: two models from different starts keep theirs.
"""

import copy

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from selfpretrain.model.transformer import Block, SequenceModel


@torch.no_grad()
def align(model: SequenceModel, reference: SequenceModel) -> SequenceModel:
    """A copy of ``model``, the same function, its heads and hidden units as near to ``reference``'s as they come.

    Heads are matched by how alike they are once turned (Hungarian method); each is turned by the best rotation
    (orthogonal Procrustes), on ``[W_Q b_Q; W_K b_K]`` and on ``[W_V b_V; W_O]``. With rotary positions queries and
    keys stay as they are, because turning them would not commute with the code; where heads differ in the slope of a
    fixed bias they keep their places. Hidden units are matched on incoming weights, bias and outgoing weights.

    Source: after Theus et al. (2025), arXiv 2506.22712.

    Hidden units in another order are put back:

    >>> from selfpretrain.config import ModelConfig
    >>> from selfpretrain.data.kinds import InputSpec
    >>> from selfpretrain.model.transformer import fresh_model
    >>> inputs = InputSpec(kind="symbols", symbols=3, channels=0, length=5, classes=2)
    >>> first, second = (fresh_model(ModelConfig(width=4, depth=1), inputs, seed=0) for _ in range(2))
    >>> with torch.no_grad():
    ...     into, out = second.blocks[0].feedforward_in, second.blocks[0].feedforward_out
    ...     _ = into.weight.copy_(into.weight.flip(0)), into.bias.copy_(into.bias.flip(0))
    ...     _ = out.weight.copy_(out.weight.flip(1))
    >>> back = align(second, first)
    >>> all(torch.allclose(a, b, atol=1e-6) for a, b in zip(back.parameters(), first.parameters(), strict=True))
    True
    """
    aligned = copy.deepcopy(model)
    alike = model.slopes is None or bool((model.slopes == model.slopes[0]).all())
    for mine, other in zip(aligned.blocks, reference.blocks, strict=True):
        assert isinstance(mine, Block) and isinstance(other, Block)
        _align_heads(mine, other, turn_queries=model.config.positions != "rotary", permute=alike)
        _align_hidden_units(mine, other)
    return aligned


def _by_head(block: Block) -> tuple[Tensor, Tensor]:
    """Of every head queries and keys with their biases (H, K, 2(D+1)), and values with what reads them."""
    attention = block.attention

    def rows(layer: nn.Linear) -> Tensor:
        return torch.cat((layer.weight, layer.bias[:, None]), dim=1)

    ask = torch.cat((rows(attention.query), rows(attention.key)), dim=1)
    give = torch.cat((rows(attention.value), attention.output.weight.T), dim=1)
    return ask.reshape(attention.heads, -1, ask.shape[1]), give.reshape(attention.heads, -1, give.shape[1])


def _turned(mine: Tensor, other: Tensor) -> Tensor:
    """``R mine`` with the orthogonal R (K, K) that brings it nearest to ``other``; (K, ...) both."""
    u, _, vh = torch.linalg.svd(other @ mine.T)
    turned: Tensor = (u @ vh) @ mine
    return turned


def _align_heads(mine: Block, other: Block, *, turn_queries: bool, permute: bool) -> None:
    attention = mine.attention
    width, heads = attention.query.in_features + 1, range(attention.heads)
    (asks, gives), (to_asks, to_gives) = _by_head(mine), _by_head(other)

    def near(a: int, b: int) -> tuple[Tensor, Tensor]:
        return _turned(asks[a], to_asks[b]) if turn_queries else asks[a], _turned(gives[a], to_gives[b])

    cost = torch.zeros(len(heads), len(heads), dtype=torch.float64)
    for a in heads:
        for b in heads:
            ask, give = near(a, b)
            cost[a, b] = (ask - to_asks[b]).square().sum() + (give - to_gives[b]).square().sum()
    # For each place in the reference, the head that goes there.
    source = linear_sum_assignment(cost.T.numpy())[1] if permute else heads
    placed = [near(int(a), b) for b, a in enumerate(source)]
    ask, give = (torch.cat(parts) for parts in zip(*placed, strict=True))  # (D, 2(D+1)), (D, D+1+D)
    for layer, rows in (
        (attention.query, ask[:, :width]),
        (attention.key, ask[:, width:]),
        (attention.value, give[:, :width]),
    ):
        layer.weight.copy_(rows[:, :-1])
        layer.bias.copy_(rows[:, -1])
    attention.output.weight.copy_(give[:, width:].T)


def _align_hidden_units(mine: Block, other: Block) -> None:
    units = [
        torch.cat((b.feedforward_in.weight, b.feedforward_in.bias[:, None], b.feedforward_out.weight.T), dim=1)
        for b in (mine, other)
    ]
    alike = (units[1] @ units[0].T).double().numpy()
    source = torch.from_numpy(linear_sum_assignment(alike, maximize=True)[1])
    mine.feedforward_in.weight.copy_(mine.feedforward_in.weight[source])
    mine.feedforward_in.bias.copy_(mine.feedforward_in.bias[source])
    mine.feedforward_out.weight.copy_(mine.feedforward_out.weight[:, source])
