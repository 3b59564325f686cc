"""The encoder and its two heads.

Shapes: B batch, T positions, D model width, V symbols, C channels, M chosen positions, Y classes.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.config import Kind, ModelConfig
from selfpretrain.model.attention import Attention, attention_bias
from selfpretrain.model.init import initialise
from selfpretrain.model.positions import alibi_slopes, sinusoidal


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a model must know of a task, and no more."""

    kind: Kind
    symbols: int
    """Known symbols K (0 for values). Ids: 0..K-1 the symbols, K unknown, K+1 the mask."""
    channels: int
    """Channels of values (0 for symbols)."""
    length: int
    """The longest sequence."""
    classes: int

    @property
    def mask_id(self) -> int:
        """The id that stands for a masked symbol."""
        return self.symbols + 1

    @property
    def targets(self) -> int:
        """Width of the reconstruction head: symbols and the unknown one, or channels."""
        return self.channels if self.kind == "values" else self.symbols + 1


class Block(nn.Module):
    """Pre-norm residual block: ``x + attention(norm(x))``, then ``x + feedforward(norm(x))`` with GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.feedforward_norm = nn.LayerNorm(config.width)
        self.feedforward_in = nn.Linear(config.width, config.hidden_width)
        self.feedforward_out = nn.Linear(config.hidden_width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, bias: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), bias))
        hidden = F.gelu(self.feedforward_in(self.feedforward_norm(x_BTD)))
        out: Tensor = x_BTD + self.dropout(self.feedforward_out(hidden))
        return out


class SequenceModel(nn.Module):
    """A Transformer encoder with a label head and a reconstruction head.

    Both heads always exist, so that every arm of a comparison starts from the same weights.

    Args:
        causal: attention looks back only.
        generator: source of the initial weights.
    """

    def __init__(self, config: ModelConfig, inputs: InputSpec, *, causal: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.config, self.inputs, self.causal = config, inputs, causal
        width, self.cls = config.width, None
        if inputs.kind == "values":
            self.embedding: nn.Module = nn.Linear(inputs.channels + 1, width)  # the channels and the mask flag
        else:
            self.embedding = nn.Embedding(inputs.symbols + 2, width)
        if config.pooling == "cls":
            self.cls = nn.Parameter(torch.empty(width))
        n_positions = inputs.length + (config.pooling == "cls")
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(n_positions, width))
        elif config.positions == "sinusoidal":
            self.register_buffer("positions", sinusoidal(n_positions, width).float(), persistent=False)
        self.slopes: Tensor | None = None
        if config.proximity_bias:
            self.slopes = torch.full((config.heads,), config.proximity_bias, dtype=torch.float64)
        elif config.positions == "alibi":
            self.slopes = alibi_slopes(config.heads)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        if config.label_head == "mlp":
            self.label_head: nn.Module = nn.Sequential(
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, inputs.classes)
            )
        else:
            self.label_head = nn.Linear(width, inputs.classes)
        self.reconstruction_head = nn.Linear(width, inputs.targets)
        initialise(self, config.qk_init, generator)

    def encode(self, x: Tensor, keep_mask: Tensor | None) -> Tensor:
        """Hidden states (B, T, D), after the final norm; one position more, in front, with cls pooling.

        Args:
            x: symbol ids (B, T), or values with the mask flag as last channel (B, T, C+1).
            keep_mask: (B, T), True = a real position; None when all are.
        """
        h: Tensor = self.embedding(x)
        if self.cls is not None:
            h = torch.cat((self.cls.expand(len(h), 1, -1), h), dim=1)
            keep_mask = None if keep_mask is None else F.pad(keep_mask, (1, 0), value=True)
        if self.config.positions in ("learned", "sinusoidal"):
            h = h + self.positions[: h.shape[1]]
        bias = attention_bias(keep_mask, h.shape[1], self.slopes, causal=self.causal, like=h)
        h = self.dropout(h)
        for block in self.blocks:
            h = block(h, bias)
        normed: Tensor = self.final_norm(h)
        return normed

    def pool(self, h_BTD: Tensor, keep_mask: Tensor | None) -> Tensor:
        """One vector a sequence (B, D), from its real positions only."""
        if self.config.pooling == "cls":
            return h_BTD[:, 0]
        if self.config.pooling == "last":
            lengths = h_BTD.new_full((len(h_BTD),), h_BTD.shape[1]) if keep_mask is None else keep_mask.sum(1)
            return h_BTD[torch.arange(len(h_BTD), device=h_BTD.device), lengths.long() - 1]
        if self.config.pooling == "max":
            kept = h_BTD if keep_mask is None else h_BTD.masked_fill(~keep_mask[..., None], -math.inf)
            return kept.amax(1)
        if keep_mask is None:
            return h_BTD.mean(1)
        return h_BTD.masked_fill(~keep_mask[..., None], 0.0).sum(1) / keep_mask.sum(1, keepdim=True)

    def classify(self, x: Tensor, keep_mask: Tensor | None) -> Tensor:
        """Class logits (B, Y); arguments as ``encode``."""
        logits: Tensor = self.label_head(self.pool(self.encode(x, keep_mask), keep_mask))
        return logits

    def reconstruct(self, x: Tensor, keep_mask: Tensor | None, chosen: Tensor) -> Tensor:
        """Predictions at the chosen positions only: symbol logits (M, V) or values (M, C).

        Args:
            chosen: (B, T), True = predict here; M of them.
        """
        h = self.encode(x, keep_mask)[:, -x.shape[1] :]  # without cls
        out: Tensor = self.reconstruction_head(h[chosen])
        return out
