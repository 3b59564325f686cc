"""The kind of data in a column, from its first rows."""

import math
import re
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import KindName
from selfpretrain.data.cells import Cells, unpacked
from selfpretrain.data.schema import AS_USUAL, Schema
from selfpretrain.data.spelling import (
    MAX_LETTERS,
    NUMERIC_SHARE,
    as_number,
    can_be_two,
    entries_of,
    is_list,
    list_of_text,
    one_comma,
    refuse,
    tokens,
    two_ways,
)
from selfpretrain.errors import RequestError

SAMPLE_ROWS = 1000
"""The kind of data is guessed from this many rows (ours)."""
MAX_SYMBOLS = 64
"""Whole numbers or short words with at most this many distinct values are read as symbols (ours)."""
LONG_WORD = 20
"""Texts of so many letters on average, without blanks, are chains such as DNA, and no words (ours)."""
RECURRENCE = 4
"""Symbols recur at least this often on average, which the words of a text do not (ours)."""


class Guess(NamedTuple):
    """A kind of data, and what a reader should know about it."""

    kind: KindName
    hint: str = ""


def guess(where: Path | str, column: Cells, schema: Schema = AS_USUAL) -> Guess:
    """The kind of data in a column, from its first rows.

    Raises:
        RequestError: a comma could be a decimal sign; or what begins like a list is none.
    """
    sample = unpacked(column[:SAMPLE_ROWS])  # type: ignore[index]
    if isinstance(sample, np.ndarray) and sample.dtype.kind in "iuf":
        return _guess_numbers(sample)
    texts = [cell for cell in sample if isinstance(cell, str)]
    if schema.decimal == ".":
        if texts and all(map(one_comma, texts)):
            refuse(where, sample.index(texts[0]), two_ways(texts[0].strip()))
        for row, cell in enumerate(sample):
            if isinstance(cell, str) and can_be_two(cell):
                refuse(where, row, two_ways(cell))
    lists = [_list_or_nothing(cell, schema) for cell in sample if not isinstance(cell, str) or is_list(cell)]
    rows = [_flat(cell) for cell in lists] + [tokens(text, schema.decimal) for text in texts if not is_list(text)]
    nested = any(isinstance(entry, list | np.ndarray) for cell in lists for entry in cell[:1])
    words = sum(len(row) > 1 for row in rows) * 2 > len(rows)
    if words and not nested and _overlap(rows):
        return Guess("symbols", f"words of {len(rows[0][0])} letters that overlap, k-mers, are read as symbols")
    guessed = _guess(where, list(chain.from_iterable(rows)), nested=nested, texts=bool(texts), words=words)
    if guessed.kind != "bytes":
        return guessed
    for row, cell in enumerate(unpacked(column)):
        if isinstance(cell, str) and is_list(cell):
            list_of_text(where, row, cell)  # says what is wrong with it
            refuse(where, row, "a list among texts; write every cell alike, or give --kind bytes, symbols or values")
    letters = set("".join(texts))
    folded = {letter.lower() for letter in letters}
    is_chain = "".join(letters).isalpha() and sum(map(len, texts)) >= LONG_WORD * len(texts)
    if len(folded) < len(letters) and is_chain and not schema.fold_case:
        return Guess("bytes", "upper and lower case are different letters here; --fold-case makes them one")
    return guessed


def _guess(where: Path | str, flat: list[Any], *, nested: bool, texts: bool, words: bool) -> Guess:
    """The kind of these entries: of nested lists; of texts or lists; of cells with more than one entry or not."""
    present = [(entry, number) for entry in flat if (number := as_number(entry)) is None or not math.isnan(number)]
    flat, numbers = [entry for entry, _ in present], [number for _, number in present if number is not None]
    if not flat or (texts and not words and not nested):
        return Guess("bytes" if texts else "values")
    if len(numbers) >= NUMERIC_SHARE * len(flat):
        whole = all(number.is_integer() for number in numbers if math.isfinite(number))
        return _whole_numbers(len(set(numbers))) if whole and not nested else Guess("values")
    names = {str(entry) for entry in flat}
    recurs = len(flat) >= RECURRENCE * len(names)
    one_length, letters = len(set(map(len, names))) == 1, set("".join(names))
    if not texts or (recurs and len(names) <= MAX_SYMBOLS):
        like_numbers = [name for name in sorted(names) if re.match(r"[+\-\u2212]?[.,]?\d", name)]
        odd = next((name for name in like_numbers if as_number(name) is None), None)
        if texts or recurs or odd is None or len(flat) >= 2 * len(names):
            return Guess("symbols")
        problem = f"'{odd}' is no number, and {len(names)} different words in {len(flat)} entries are no symbols"
        refuse(where, None, f"{problem}; write plain numbers, or give --kind symbols")
    if recurs and one_length and len(letters) <= MAX_LETTERS:
        return Guess("symbols", f"{len(names)} different words of {len(flat[0])} letters that repeat, as k-mers do")
    hint = f"{len(names)} different words that repeat; --kind symbols reads each word as one symbol"
    return Guess("bytes", hint if recurs else "")


def _guess_numbers(sample: NDArray[Any]) -> Guess:
    """The kind of an array of numbers."""
    known = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    whole = sample.ndim <= 2 and len(known) and (known == np.floor(known)).all()
    return _whole_numbers(len(np.unique(known))) if whole else Guess("values")


def _whole_numbers(distinct: int) -> Guess:
    if distinct <= MAX_SYMBOLS:
        return Guess("symbols")
    hint = f"{distinct} different whole numbers are read as amounts; if they are codes, give --kind symbols"
    return Guess("values", hint)


def _overlap(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether neighbouring entries are words of one length that share all but a letter at either end, as k-mers do."""
    pairs = [(a, b) for row in rows for a, b in pairwise(row) if isinstance(a, str) and isinstance(b, str)]
    if not pairs or len({len(a) for a, _ in pairs}) > 1 or len(pairs[0][0]) < 2:
        return False
    return not any(a.isdigit() for a, _ in pairs) and all(a[1:] == b[:-1] for a, b in pairs)


def _list_or_nothing(cell: Any, schema: Schema) -> Any:
    """The list in a cell; empty where it is damaged, which is refused later."""
    try:
        return entries_of("", 0, cell, schema)
    except RequestError:
        return []


def _flat(cell: Any) -> list[Any]:
    if isinstance(cell, list | tuple | np.ndarray):
        return list(chain.from_iterable(map(_flat, cell)))
    return [str(cell) if isinstance(cell, dict) else cell]
