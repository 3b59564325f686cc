"""The encoder and its two heads.

Shapes: B sequences of a batch, S sequences of a row (1, or the 2 of a pair), T positions, P tokens of N positions each
(P = T where patches are single positions), D model width, V symbols, C channels, M chosen positions, Y classes.
"""

import math
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from selfpretrain.config import ABSOLUTE, ModelConfig
from selfpretrain.data.kinds import KINDS, InputSpec
from selfpretrain.draws import bernoulli
from selfpretrain.model.attention import BLOCK, Attention, Places, sinusoidal
from selfpretrain.model.init import initialise
from selfpretrain.model.mask import Mask, alibi_slopes, distance_bias
from selfpretrain.model.patch import in_patches, whole_patches
from selfpretrain.streams import torch_stream


class RowDropout(nn.Module):
    """Dropout whose draws belong to each sequence, not to its neighbours or its padding.

    Args:
        site: number of this layer among the model's; each draws for itself.
    """

    def __init__(self, probability: float, site: int) -> None:
        super().__init__()
        self.probability, self.site = probability, site

    def forward(
        self, x: Tensor, keys: Tensor | None, places: Places | None = None, length: int | None = None
    ) -> Tensor:
        """``x`` with entries zeroed and the rest scaled up; unchanged in evaluation, or where nothing is dropped.

        Args:
            x: (B, T, D), or some of its positions as ``places.of`` gives them, which drop the same entries.
            keys: (B,) of ``Draws.keys``.
            length: T, where ``x`` has some positions alone.
        """
        if not self.training or self.probability == 0:
            return x
        if keys is None:
            raise ValueError("dropout in training needs the keys of the batch's rows")
        length, width = length or x.shape[-2], x.shape[-1]
        kept = bernoulli(keys + (self.site << 40), length * width, 1 - self.probability).view(-1, length, width)
        return x * (kept.view(x.shape) if places is None else places.of(kept)) / (1 - self.probability)


class Block(nn.Module):
    """Pre-norm residual block: ``x + attention(norm(x))``, then ``x + feedforward(norm(x))`` with GELU."""

    def __init__(self, config: ModelConfig, length: int, number: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config, length)
        self.attention_dropout = RowDropout(config.dropout, 2 * number + 1)
        self.feedforward_norm = nn.LayerNorm(config.width)
        self.feedforward_in = nn.Linear(config.width, config.hidden_width)
        self.feedforward_out = nn.Linear(config.hidden_width, config.width)
        self.feedforward_dropout = RowDropout(config.dropout, 2 * number + 2)

    def forward(self, x_BTD: Tensor, mask: Mask, keys: Tensor | None, places: Places | None = None) -> Tensor:
        """(B, T, D), or some of its positions as ``places.of`` gives them."""
        length = x_BTD.shape[-2]
        attended = self.attention(self.attention_norm(x_BTD), mask, places)
        x = x_BTD if places is None else places.of(x_BTD)
        x = x + self.attention_dropout(attended, keys, places, length)
        hidden = F.gelu(self.feedforward_in(self.feedforward_norm(x)))
        out: Tensor = x + self.feedforward_dropout(self.feedforward_out(hidden), keys, places, length)
        return out


class Outputs(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: (B/S, Y) of the classes; None where none were asked for.
        predictions: (M, V) or (M, C) at the chosen positions; None where none were asked for.
    """

    logits: Tensor | None
    predictions: Tensor | None


class SequenceModel(nn.Module):
    """A Transformer encoder with a label head and a reconstruction head.

    Both heads always exist, so that every arm of a comparison starts from the same weights. Everything that training
    calls goes through ``forward``, so that the model can be compiled or wrapped.

    Args:
        generator: source of the initial weights.

    Attributes:
        recompute: whether a block's activations are computed again in the backward pass, and not kept: the same
            numbers with less memory.
    """

    blank: Tensor
    slopes: Tensor | None
    distance_table: Tensor | None

    def __init__(self, config: ModelConfig, inputs: InputSpec, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config, self.inputs = config, (inputs := replace(inputs, patch=config.patch))
        self.recompute = False
        width, self.cls = config.width, None
        kind = KINDS[inputs.kind]
        self.register_buffer("blank", kind.blank(inputs), persistent=False)
        self.embedding = kind.embedding(inputs, width)
        if config.pooling == "cls":
            self.cls = nn.Parameter(torch.empty(width))
        n_positions = inputs.tokens + (config.pooling == "cls")
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(n_positions, width))
        elif config.positions == "sinusoidal":
            code = config.position_scale * sinusoidal(n_positions, width)
            self.register_buffer("positions", code.float(), persistent=False)
        slopes = alibi_slopes(config.heads).float() if config.positions == "alibi" else None
        if config.proximity_bias:
            slopes = torch.full((config.heads,), config.proximity_bias)
        self.register_buffer("slopes", slopes, persistent=False)
        t = torch.arange(n_positions)
        table = distance_bias(t, t, slopes) if slopes is not None and n_positions <= BLOCK else None
        self.register_buffer("distance_table", table, persistent=False)
        self.embedding_dropout = RowDropout(config.dropout, 0)
        self.blocks = nn.ModuleList(Block(config, n_positions, number) for number in range(config.depth))
        self.final_norm = nn.LayerNorm(width)
        features = width * inputs.head_vectors
        if config.label_head == "mlp":
            self.label_head: nn.Module = nn.Sequential(
                nn.Linear(features, width), nn.ReLU(), nn.Linear(width, inputs.classes)
            )
        else:
            self.label_head = nn.Linear(features, inputs.classes)
        self.reconstruction_head = nn.Linear(width, kind.targets(inputs) * config.patch)
        initialise(self, config, generator)

    @property
    def label_layer(self) -> nn.Linear:
        """The last layer of the label head, whose bias is that of the logits."""
        last = self.label_head[-1] if isinstance(self.label_head, nn.Sequential) else self.label_head
        assert isinstance(last, nn.Linear)
        return last

    def forward(
        self,
        x: Tensor,
        keep_mask: Tensor | None = None,
        chosen: Tensor | None = None,
        keys: Tensor | None = None,
        *,
        labels: bool = True,
    ) -> Outputs:
        """Class logits; and with ``chosen``, predictions at the chosen positions only.

        The last block is computed where something is asked for.

        Args:
            x: symbol ids (B, T), or values with the mask flag as last channel (B, T, C+1).
            keep_mask: (B, T), True = a real position; None when all are.
            chosen: (B, T), True = predict here; M of them.
            keys: (B,) of the batch's rows, for dropout in training.
            labels: whether logits are asked for.
        """
        if not labels:
            assert chosen is not None, "something is asked for"
            return Outputs(None, self.predict(self.encode(x, keep_mask, keys, read=chosen), chosen))
        predictions = None
        if chosen is None and self.config.pooling in ("cls", "last"):
            vectors_BD = self.encode(x, keep_mask, keys, read="pooled").squeeze(-2)
        else:
            h_BPD = self.encode(x, keep_mask, keys)
            vectors_BD = self.pool(h_BPD, None if keep_mask is None else self.tokens(keep_mask))
            if chosen is not None:
                of_tokens = self.tokens(chosen)
                predictions = self.predict(h_BPD[..., -of_tokens.shape[-1] :, :][of_tokens], chosen)
        if self.inputs.per_row == 2:  # of a pair a, b the head sees [a, b, a - b, a * b], as in the Long Range Arena
            a, b = vectors_BD[..., 0::2, :], vectors_BD[..., 1::2, :]
            vectors_BD = torch.cat((a, b, a - b, a * b), dim=-1)
        return Outputs(self.label_head(vectors_BD), predictions)

    def encode(
        self,
        x: Tensor,
        keep_mask: Tensor | None,
        keys: Tensor | None = None,
        read: Tensor | Literal["pooled"] | None = None,
    ) -> Tensor:
        """Hidden states (B, P, D), after the final norm; one token more, in front, with cls pooling.

        Args:
            read: positions (B, T) that are asked for, to give their tokens alone, in order; or the one that the
                poolings cls and last read (B, 1, D). None: all.
        """
        h: Tensor = self.embedding(whole_patches(x, keep_mask, self.config.patch, self.blank))
        keep_mask = None if keep_mask is None else self.tokens(keep_mask)
        if self.cls is not None:
            h = torch.cat((self.cls.expand(*h.shape[:-2], 1, -1), h), dim=-2)
            keep_mask = None if keep_mask is None else F.pad(keep_mask, (1, 0), value=True)
        mask = Mask(keep_mask, self.config.causal, self.slopes, self.distance_table, self.config.attention_block)
        if self.config.positions in ABSOLUTE:
            h = h + self.positions[: h.shape[-2]]
        h = self.embedding_dropout(h, keys)
        places = None if read is None else self._places(h, keep_mask, read)
        for number, block in enumerate(self.blocks, start=1):
            here = places if number == len(self.blocks) else None
            if self.recompute and torch.is_grad_enabled():
                h = checkpoint(block, h, mask, keys, here, use_reentrant=False)
            else:
                h = block(h, mask, keys, here)
        normed: Tensor = self.final_norm(h)
        return normed

    def _places(self, h: Tensor, keep_mask: Tensor | None, read: Tensor | Literal["pooled"]) -> Places:
        """The positions of ``encode``, cls included."""
        if not isinstance(read, str):
            tokens = self.tokens(read)
            return Places.chosen(tokens if self.cls is None else F.pad(tokens, (1, 0)))
        index = torch.zeros((*h.shape[:-2], 1), dtype=torch.int64, device=h.device)
        if self.config.pooling == "last":
            index = index + (h.shape[-2] if keep_mask is None else keep_mask.sum(-1, keepdim=True)) - 1
        return Places(index)

    def tokens(self, mask: Tensor) -> Tensor:
        """(B, T) of positions as (B, P): whether any position of a token is in the mask."""
        return mask if self.config.patch == 1 else in_patches(mask, self.config.patch).any(-1)

    def predict(self, h_tokens: Tensor, chosen: Tensor) -> Tensor:
        """Predictions at the chosen positions (M, V) or (M, C), from the states of the tokens that hold any of them."""
        predictions: Tensor = self.reconstruction_head(h_tokens)
        if self.config.patch == 1:
            return predictions
        wanted = in_patches(chosen, self.config.patch)
        return torch.unflatten(predictions, -1, (self.config.patch, -1))[wanted[wanted.any(-1)]]

    def pool(self, h_BTD: Tensor, keep_mask: Tensor | None) -> Tensor:
        """One vector a sequence (B, D), from its real positions only."""
        if self.config.pooling in ("cls", "last"):
            return self._places(h_BTD, keep_mask, "pooled").gather(h_BTD).squeeze(-2)
        if self.config.pooling == "max":
            kept = h_BTD if keep_mask is None else h_BTD.masked_fill(~keep_mask[..., None], -math.inf)
            return kept.amax(-2)
        if keep_mask is None:
            return h_BTD.mean(-2)
        return h_BTD.masked_fill(~keep_mask[..., None], 0.0).sum(-2) / keep_mask.sum(-1, keepdim=True)


def fresh_model(config: ModelConfig, inputs: InputSpec, seed: int) -> SequenceModel:
    """A model at its initialisation; models of one seed share all weights that their settings share."""
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own first
        return SequenceModel(config, inputs, generator=torch_stream(seed, "init"))
