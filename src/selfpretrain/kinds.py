"""What differs between kinds of data, an object for each: how it is hidden, embedded, predicted, scored and counted.

| kind    | a position is      | masked position shows       | loss of a prediction            |
|---------|--------------------|-----------------------------|---------------------------------|
| symbols | an id              | an id of its own            | cross-entropy                   |
| bytes   | an id of 256       | an id of its own            | cross-entropy                   |
| values  | C numbers          | 0, the mean, and a flag     | absolute or squared error       |

Shapes: B batch, T positions, D width, V symbols, C channels, M masked positions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from selfpretrain.config import Kind, ObjectiveConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a model must know of a task, and no more."""

    kind: Kind
    symbols: int
    """Known symbols V (0 for values). Ids: 0..V-1 the symbols, V unknown, V+1 the mask."""
    channels: int
    """Channels of values (0 for symbols)."""
    length: int
    """The longest sequence."""
    classes: int
    per_row: int = 1
    """Sequences of a row: 1, or the 2 of a pair."""

    @property
    def mask_id(self) -> int:
        """The id that stands for a masked symbol."""
        return self.symbols + 1

    @property
    def head_vectors(self) -> int:
        """Vectors of a row that the label head sees: the pooled one; of a pair a, b the four a, b, a - b and a * b."""
        return 4 if self.per_row == 2 else 1


class KindOfData(Protocol):
    """Everything that depends on the kind."""

    def hide(self, x: "Tensor", mask: "Tensor | None", inputs: InputSpec) -> "Tensor":
        """What the model sees: ``x`` with the masked positions hidden; ``mask`` None hides nothing."""

    def embedding(self, inputs: InputSpec, width: int) -> "nn.Module":
        """The layer from what ``hide`` gives to (B, T, D)."""

    def targets(self, inputs: InputSpec) -> int:
        """Width of the reconstruction head."""

    def losses(self, predictions: "Tensor", truth: "Tensor", config: ObjectiveConfig) -> "Tensor":
        """Loss of every predicted entry: (M,) in nats for symbols, (M, C) for values."""

    def constant(self, truth: "Tensor", inputs: InputSpec, config: ObjectiveConfig, prior: "Tensor | None") -> "Tensor":
        """The prediction that is best for all of these entries alike: (V+1,) log frequencies, or (C,).

        Args:
            truth: (M,) ids, or (M, C).
            prior: such a prediction of more entries, which steadies frequencies from few; None is uniform.
        """

    def embedding_flops(self, inputs: InputSpec, width: int) -> int:
        """Operations of the embedding for one position, forward."""


class Symbols:
    """Ids from a vocabulary."""

    def hide(self, x: "Tensor", mask: "Tensor | None", inputs: InputSpec) -> "Tensor":
        """Masked positions get the mask's id."""
        return x if mask is None else x.masked_fill(mask, inputs.mask_id)

    def embedding(self, inputs: InputSpec, width: int) -> "nn.Module":
        """A table with a row for each symbol, the unknown one and the mask."""
        from torch import nn

        return nn.Embedding(inputs.symbols + 2, width)

    def targets(self, inputs: InputSpec) -> int:
        """The symbols and the unknown one."""
        return inputs.symbols + 1

    def losses(self, predictions: "Tensor", truth: "Tensor", config: ObjectiveConfig) -> "Tensor":
        """Cross-entropy of each, (M,)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(predictions, truth, reduction="none")

    def constant(self, truth: "Tensor", inputs: InputSpec, config: ObjectiveConfig, prior: "Tensor | None") -> "Tensor":
        """Log frequencies: every symbol counts once more than it is seen, or as often as the prior says."""
        size = self.targets(inputs)
        counts = truth.bincount(minlength=size).double()
        share = counts.new_full((size,), 1 / size) if prior is None else prior.exp()
        return ((counts + size * share) / (len(truth) + size)).log()

    def embedding_flops(self, inputs: InputSpec, width: int) -> int:
        """None: it is looked up."""
        return 0


class Values:
    """Numbers, standardised by channel."""

    def hide(self, x: "Tensor", mask: "Tensor | None", inputs: InputSpec) -> "Tensor":
        """A last channel carries the flag: (v, 0) where kept, (0, 1) where masked."""
        from torch import cat
        from torch.nn.functional import pad

        if mask is None:
            return pad(x, (0, 1))
        flag = mask[..., None].to(x.dtype)
        return cat((x * (1 - flag), flag), dim=-1)

    def embedding(self, inputs: InputSpec, width: int) -> "nn.Module":
        """A linear layer of the channels and the flag."""
        from torch import nn

        return nn.Linear(inputs.channels + 1, width)

    def targets(self, inputs: InputSpec) -> int:
        """The channels."""
        return inputs.channels

    def losses(self, predictions: "Tensor", truth: "Tensor", config: ObjectiveConfig) -> "Tensor":
        """Absolute (l1) or squared (l2) error of each channel, (M, C)."""
        error = predictions - truth
        return error.abs() if config.value_loss == "l1" else error.square()

    def constant(self, truth: "Tensor", inputs: InputSpec, config: ObjectiveConfig, prior: "Tensor | None") -> "Tensor":
        """Medians (l1) or means (l2)."""
        return truth.double().quantile(0.5, dim=0) if config.value_loss == "l1" else truth.double().mean(0)

    def embedding_flops(self, inputs: InputSpec, width: int) -> int:
        """One matrix product."""
        return 2 * (inputs.channels + 1) * width


KINDS: dict[Kind, KindOfData] = {"symbols": Symbols(), "bytes": Symbols(), "values": Values()}
