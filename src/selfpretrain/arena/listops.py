"""ListOps of the Long Range Arena: nested lists of operators and digits, whose value is the label."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.arena.base import ArenaTask, in_order
from selfpretrain.errors import SettingError, require_at_least
from selfpretrain.registry import register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.data.rows import Rows

MIN, MAX, MED, SM, CLOSE = 10, 11, 12, 13, 14
TOKENS = (*"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")
"""By their numbers: digits, operators, and what closes a list."""
MAX_DEPTH, MAX_ARGUMENTS, LEAF = 10, 10, 0.75
MOST_ROUNDS = 5
"""Without a new tree, before the search ends (ours)."""
TREES = 100_000
"""Trees that are grown together; the data depend on it."""


@register
@dataclass(frozen=True, kw_only=True)
class ListOps(ArenaTask):
    """ListOps of the Long Range Arena: what a nested list of minima, maxima, medians and sums comes to.

    A tree grows from its root, at depth 1. Above depth 10 a node is a digit (uniform) with probability 0.75, else an
    operator (MIN, MAX, MED or SM, uniform) with 2 to 10 arguments (uniform); at depth 10 it is a digit. A median is cut
    to a whole number, and a sum is taken modulo 10. Trees with more than 500 and fewer than 2,000 tokens are kept, each
    once. For example, much shorter:

        [MAX 2 9 [MIN 4 7 ] 0 ]   is 9

    Source: Nangia and Bowman (2018); the rules as in google-research/long-range-arena at cd31e5c, which has no seed, so
    these are other sequences under the same law.
    """

    name = "lra-listops"
    size = "100,000 x 501-1,999"
    preset = "amos-listops"
    small: ClassVar[str | None] = "lra-listops-small"
    held_out: ClassVar[float] = 0.02
    """Share of the sequences for validation, and for the test: 2,000 each of 100,000."""
    sequences: int = 100_000
    """Number of sequences N, before the split: 96% for training, 2% for validation and 2% for the test."""
    min_tokens: int = 501
    """Fewest tokens of a sequence (LRA: 501)."""
    max_tokens: int = 1999
    """Most tokens of a sequence (LRA: 1999)."""

    def __post_init__(self) -> None:
        require_at_least(self, sequences=50, min_tokens=1, max_tokens=1)
        if self.max_tokens < self.min_tokens:
            raise SettingError("max_tokens", self.max_tokens, f"is below --min-tokens {self.min_tokens}")

    def build(self, generator: "np.random.Generator") -> "Rows":
        import numpy as np

        from selfpretrain.data.rows import made
        from selfpretrain.data.sequences import Sequences

        values: dict[bytes, int] = {}
        rounds = 0  # without a new tree
        while len(values) < self.sequences:
            before = len(values)
            for tokens, value in grown(generator, self.min_tokens, self.max_tokens):
                values.setdefault(tokens.tobytes(), value)
                if len(values) == self.sequences:
                    break
            rounds = rounds + 1 if len(values) == before else 0
            if rounds == MOST_ROUNDS:
                found = f"only {len(values)} different ones of {self.min_tokens} to {self.max_tokens} tokens were found"
                raise SettingError("sequences", self.sequences, f"cannot be made: {found}; ask for fewer or others")
        x = Sequences.of([np.frombuffer(row, dtype=np.uint8) for row in values], TOKENS)
        held_out = max(1, round(self.held_out * self.sequences))
        split = in_order(self.sequences - 2 * held_out, held_out, held_out)
        return made("symbols", tuple("0123456789"), x, np.array(list(values.values()), dtype=np.int64), split)


@register
@dataclass(frozen=True, kw_only=True)
class ListOpsSmall(ListOps):
    """ListOps with short and few sequences, for a look within minutes: no task of the Long Range Arena.

    Trees grow as in ``lra-listops``, and those with 20 to 100 tokens are kept (ours).
    """

    name = "lra-listops-small"
    size = "6,000 x 20-100"
    preset = "lra-listops-small"
    small = None
    held_out = 0.15
    sequences: int = 6000
    """Number of sequences N, before the split: 70% for training, 15% for validation and 15% for the test."""
    min_tokens: int = 20
    max_tokens: int = 100


def grown(generator: "np.random.Generator", least: int, most: int) -> "list[tuple[NDArray[np.uint8], int]]":
    """The trees, of ``TREES`` that are grown, that have so many tokens: their tokens and their values.

    All trees grow together, depth by depth. The nodes of a depth lie in the order of their parents, so that the
    children of a node are neighbours.
    """
    import numpy as np

    kinds: list[NDArray[Any]] = []  # of each depth: a digit, or an operator
    counts: list[NDArray[Any]] = []  # children
    width = TREES
    for depth in range(1, MAX_DEPTH + 1):
        operator = generator.random(width) >= LEAF if depth < MAX_DEPTH else np.zeros(width, dtype=bool)
        kind = generator.integers(10, size=width, dtype=np.int64)
        kind[operator] = generator.integers(MIN, SM + 1, size=int(operator.sum()))
        count = np.zeros(width, dtype=np.int64)
        count[operator] = generator.integers(2, MAX_ARGUMENTS + 1, size=int(operator.sum()))
        kinds.append(kind)
        counts.append(count)
        width = int(count.sum())

    # From the leaves: sizes of subtrees in tokens, and their values.
    sizes = [np.ones_like(kind) for kind in kinds]
    values = [kind.copy() for kind in kinds]
    for depth in range(MAX_DEPTH - 2, -1, -1):
        inner = counts[depth] > 0
        starts = _starts(counts[depth][inner])
        sizes[depth][inner] = 2 + np.add.reduceat(sizes[depth + 1], starts)
        values[depth][inner] = _values(kinds[depth][inner], values[depth + 1], counts[depth][inner], starts)

    # From the roots: whose tree is kept, and where each node's tokens begin.
    kept = roots = (sizes[0] >= least) & (sizes[0] <= most)
    begin = begins = _starts(np.where(roots, sizes[0], 0))
    text = np.empty(int(sizes[0][roots].sum()), dtype=np.uint8)
    for depth in range(MAX_DEPTH):
        if depth > 0:
            parents = np.repeat(np.arange(len(kept)), counts[depth - 1])
            before = _starts(sizes[depth])  # tokens of all nodes to the left, in this depth
            begin = begin[parents] + 1 + before - before[_starts(counts[depth - 1])[parents]]
            kept = kept[parents]
        text[begin[kept]] = kinds[depth][kept]
        inner = kept & (counts[depth] > 0)
        text[(begin + sizes[depth] - 1)[inner]] = CLOSE
    return list(zip(np.split(text, begins[roots])[1:], values[0][roots].tolist(), strict=True))


def _starts(lengths: "NDArray[Any]") -> "NDArray[Any]":
    """Where each of these pieces begins, if they lie end to end."""
    import numpy as np

    starts: NDArray[Any] = np.cumsum(lengths) - lengths
    return starts


def _values(
    operators: "NDArray[Any]", children: "NDArray[Any]", counts: "NDArray[Any]", starts: "NDArray[Any]"
) -> "NDArray[Any]":
    """What each operator makes of its children."""
    import numpy as np

    values: NDArray[Any] = np.where(
        operators == MIN,
        np.minimum.reduceat(children, starts),
        np.where(operators == MAX, np.maximum.reduceat(children, starts), np.add.reduceat(children, starts) % 10),
    )
    medians = np.flatnonzero(operators == MED)
    padded = np.full((len(medians), MAX_ARGUMENTS), 99)
    place = np.arange(MAX_ARGUMENTS)
    here = place < counts[medians][:, None]
    padded[here] = children[(starts[medians][:, None] + place)[here]]
    padded.sort(axis=1)
    row, middle = np.arange(len(medians)), counts[medians] // 2
    values[medians] = (padded[row, middle] + padded[row, (counts[medians] - 1) // 2]) // 2
    return values
