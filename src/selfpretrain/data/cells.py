"""From the cells of one column to sequences: what kind of data they hold, and the data themselves.

A column is a list of cells (texts, lists, arrays), an array with a row a cell, or an Arrow column. Columns that
are regular are parsed as a whole, without a Python object for every number; any other is parsed cell by cell, so that a
refusal names the row. Rows are counted from 1, without the header.

One entry has one spelling, whoever wrote it: 3, 3.0 and "3." are the symbol 3; None, NaN and null are missing.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Union

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import KindName
from selfpretrain.data.reading import AS_USUAL, Reading
from selfpretrain.data.sequences import Sequences
from selfpretrain.errors import RequestError

if TYPE_CHECKING:
    import pyarrow

Cells = Union[Sequence[Any], NDArray[Any], "pyarrow.ChunkedArray", Sequences]

SAMPLE_ROWS = 1000
"""The kind of data is guessed from this many rows (ours)."""
MAX_SYMBOLS = 64
"""Whole numbers or short words with at most this many distinct values are read as symbols (ours)."""
MAX_LETTERS = 8
"""Words of one length over at most this many letters are k-mers, and symbols however many they are (ours)."""
LONG_WORD = 20
"""Texts of so many letters on average, without blanks, are chains such as DNA, and no words (ours)."""
RECURRENCE = 4
"""Symbols recur at least this often on average, which the words of a text do not (ours)."""
NUMERIC_SHARE = 0.9
"""From this share of numbers on, a word among them is taken for an error and not for a symbol (ours)."""
DEEPEST = 3
"""Lists within lists that are read: a row, its positions, their channels."""
EMPTY = "the sequence is empty; fill it in or remove the row"
"""What is wrong with a row without a sequence, or with one of no positions."""
MISSING = ""
"""The name of a missing symbol; no symbol is spelt so."""
BLOCK = 2**20
"""Symbols of an array that are coded at a time, to save memory."""
WHITE = r"\p{Z}\t-\r\x1c-\x1f\x{85}"
"""What Python takes for white space, as Arrow spells it."""
UNEVEN = r"^ | $|  |[^\PZ ]|[\t-\r\x1c-\x1f\x{85}]"
"""In a text whose tokens are not separated by single blanks."""
LIST = r"^\s*(?:(?:np\.|numpy\.)?(?:array|tensor|deque|list|c)\(|[\[({])"
"""In a text that begins as a list does in Python, NumPy, JSON, R or a database."""
LEFT_OUT = r"\.\.\.|…"
"""What stands for entries that were not written."""
TWO_WAYS = r"^\s*[+-]?\d+,\d+(,?\s+|[;|])\S|[\s;|][+-]?\d+,\d+\s*($|[\s;|]|,\s)|\d,\d{3}\.\d"
"""In a text where a comma stands within a number, or between two, beside other separators."""
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_NUMBER = re.compile(NUMBER, re.ASCII)
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.0*([eE][+-]?\d{1,2})?)?", re.ASCII)
"""A whole number that may be written with a sign, with a point, or as 1.0e+00; codes such as 01 and 0e10 are none."""
ONE_COMMA = r"\s*[+-]?\d+,\d+\s*"
"""A text that is a number with a decimal comma, or two numbers."""
NAN = ("nan", "NaN")
"""How pandas and NumPy write a missing value."""
_INFINITE = {"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
NO_NUMBER = {"", "nan", "na", "<na>", "nat", "n/a", "null", "none", "?", "--"}
"""Words that stand for a missing value among numbers."""


def refuse(where: Path | str, row: int | None, problem: str) -> NoReturn:
    """Raise a ``RequestError`` about a file, or about a zero-based row of it."""
    raise RequestError(f"{where}: {problem}" if row is None else f"{where}: row {row + 1}: {problem}")


def first_line(error: Exception) -> str:
    """The message of a library's error, on one line."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


# One entry.


def spelling(entry: Any) -> str | None:
    """The name of a class or a symbol: without white space around it, whole numbers without a point; None if missing.

    >>> [spelling(entry) for entry in (" a ", 1, 1.0, "1.0", "+1", "1.50", "01", None, float("nan"), "NaN", "")]
    ['a', '1', '1', '1', '1', '1.50', '01', None, None, None, None]
    """
    if isinstance(entry, str):
        text = entry.strip()
        if not text or text in NAN:
            return None
        if not _WHOLE.fullmatch(text):
            return text
        entry = float(text)
    if isinstance(entry, float):
        if math.isnan(entry):
            return None
        return str(int(entry)) if entry.is_integer() else repr(float(entry))
    return None if entry is None else str(entry)


def as_number(entry: Any) -> float | None:
    """A number; NaN for a missing one, None for a word.

    >>> as_number("1e3"), as_number("48_5"), as_number("1,5")
    (1000.0, None, None)
    """
    if entry is None:
        return math.nan
    if isinstance(entry, str):
        text = entry.strip()
        if _NUMBER.fullmatch(text) or text.lower() in _INFINITE:
            return float(text)
        return math.nan if text.lower() in NO_NUMBER else None
    try:
        return float(entry)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def numbers_first(name: str) -> tuple[bool, float, str]:
    """Sort key for names: numbers by size, then words."""
    number = as_number(name)
    return (False, number, name) if number is not None and math.isfinite(number) else (True, 0.0, name)


# The text of a cell.


def is_list(text: str) -> bool:
    """Whether a text begins as Python, NumPy or JSON write a list."""
    return re.match(LIST, text) is not None


def tokens(text: str, decimal: str = ".") -> list[str]:
    """The entries of a text without brackets: separated by commas or white space, or else by ; or |.

    Between two commas, or two of ; or |, stands an empty entry.

    >>> tokens("1, 2 3"), tokens("1;2"), tokens("1,,2"), tokens("0,5 1,25", decimal=",")
    (['1', '2', '3'], ['1', '2'], ['1', '', '2'], ['0.5', '1.25'])
    """
    text = text.strip()
    if decimal == ",":
        return [token.replace(",", ".") for token in re.split(r"\s*[;|]\s*|\s+", text)] if text else []
    parts = re.split(r"\s*,\s*|\s+", text) if re.search(r"[,\s]", text) else re.split(r"[;|]", text)
    return parts if parts[-1] else parts[:-1]


_SCALAR = re.compile(r"\b(?:np|numpy)\.\w+\(([^()\[\]]*)\)")
_ARRAY = re.compile(r"\b(?:np\.|numpy\.)?(?:array|tensor|deque|list|c)\(([^()]*?)(?:,\s*\w+=[^()\[\]]*)?\s*\)")
_TOKEN = re.compile(
    r"""\s*(?:(?P<open>[\[({])|(?P<close>[\])}])|(?P<comma>[,;|])|(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<word>[^\s,;|\[\](){}'"]+))""",
    re.DOTALL,
)


def list_of_text(where: Path | str, row: int, text: str) -> list[Any]:
    """The list that a cell spells, in JSON or as Python and NumPy print lists, tuples and arrays.

    >>> list_of_text("f", 0, "[0.5 2. nan]"), list_of_text("f", 0, "('a', None)")
    ([0.5, 2.0, None], ['a', None])
    """
    text = text.strip()
    try:
        if text.startswith("[") and isinstance(listed := json.loads(text), list):
            return listed
    except (ValueError, RecursionError):
        pass
    plain = _ARRAY.sub(r"\1", _SCALAR.sub(r"\1", text)).strip()
    if not plain.startswith(("[", "(", "{")):
        plain = f"[{plain}]"  # c(1, 2) of R
    stack: list[list[Any]] = [[]]
    place, end, before = 0, len(plain), ""
    while place < end:
        match = _TOKEN.match(plain, place)
        if match is None:
            refuse(where, row, f"not a list: '{plain[place : place + 20]}' {_MEND_LIST}")
        place, group, token = match.end(), match.lastgroup, match.group().strip()
        if group == "open" and len(stack) <= DEEPEST and (len(stack) > 1 or not stack[0]):
            stack.append([])
        elif group == "close" and len(stack) > 1:
            inner = stack.pop()
            stack[-1].append(inner)
        elif token in ("...", "…"):
            refuse(where, row, _LEFT_OUT_CURE)
        elif group == "open" or group == "close" or len(stack) == 1:
            refuse(where, row, f"not a list: '{token[:20]}' stands outside its brackets, {_MEND_LIST}")
        elif group == "quoted":
            stack[-1].append(re.sub(r"\\(['\"\\])", r"\1", token[1:-1]))
        elif group == "word":
            stack[-1].append(_word(token))
        elif before in ("comma", "open"):
            stack[-1].append(None)  # nothing stands between two commas
        before = group or ""
    if len(stack) > 1:
        refuse(where, row, f"not a list: a bracket is not closed; {_MEND_LIST}")
    read: list[Any] = stack[0][0]
    return read


_LEFT_OUT_CURE = "entries were left out of this cell ('...'); write whole lists, as x.tolist() gives them"
_MEND_LIST = "mend it, or give --kind bytes if the column holds text"


def _word(token: str) -> Any:
    """An entry without quotes: a number, None, or itself."""
    if token.lower() in ("true", "false"):
        return token.lower() == "true"
    if re.match(r"[+-]?0\d|[+-]?\d{16,}$", token):
        return token  # a code
    number = as_number(token)
    return token if number is None else None if math.isnan(number) else number


# The kind of a column.


class Guess(NamedTuple):
    """A kind of data, and what a reader should know about it."""

    kind: KindName
    hint: str = ""


def guess(where: Path | str, column: Cells, reading: Reading = AS_USUAL) -> Guess:
    """The kind of data in a column, from its first rows.

    Raises:
        RequestError: a comma could be a decimal sign; or what begins like a list is none.
    """
    sample = _listed(column[:SAMPLE_ROWS])  # type: ignore[index]
    if isinstance(sample, np.ndarray) and sample.dtype.kind in "iuf":
        return _guess_numbers(sample)
    texts = [cell for cell in sample if isinstance(cell, str)]
    if reading.decimal == "." and texts and all(re.fullmatch(ONE_COMMA, text) for text in texts):
        refuse(where, sample.index(texts[0]), two_ways(texts[0].strip()))
    if reading.decimal == ".":
        for row, cell in enumerate(sample):
            if isinstance(cell, str) and re.fullmatch(r"[\d\s.,;|+-]+", cell) and re.search(TWO_WAYS, cell):
                refuse(where, row, two_ways(cell))
    lists = [_list_or_nothing(cell, reading) for cell in sample if not isinstance(cell, str) or is_list(cell)]
    rows = [_flat(cell) for cell in lists] + [tokens(text, reading.decimal) for text in texts if not is_list(text)]
    nested = any(isinstance(entry, list | np.ndarray) for cell in lists for entry in cell[:1])
    words = sum(len(row) > 1 for row in rows) * 2 > len(rows)
    if words and not nested and _overlap(rows):
        return Guess("symbols", f"words of {len(rows[0][0])} letters that overlap, k-mers, are read as symbols")
    guessed = _guess(list(chain.from_iterable(rows)), nested=nested, texts=bool(texts), words=words)
    if guessed.kind == "symbols" and not texts and guessed.hint:
        refuse(where, None, guessed.hint)
    if guessed.kind != "bytes":
        return guessed
    for row, text in _lists_among_texts(column):
        list_of_text(where, row, text)  # says what is wrong with it
        refuse(where, row, "a list among texts; write every cell alike, or give --kind bytes, symbols or values")
    letters = set("".join(texts))
    folded = {letter.lower() for letter in letters}
    is_chain = "".join(letters).isalpha() and sum(map(len, texts)) >= LONG_WORD * len(texts)
    if len(folded) < len(letters) and is_chain and not reading.fold_case:
        return Guess("bytes", "upper and lower case are different letters here; --fold-case makes them one")
    return guessed


def _guess_numbers(sample: NDArray[Any]) -> Guess:
    """The kind of an array of numbers."""
    known = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    distinct = len(np.unique(known))
    if sample.ndim > 2 or not distinct or not (known == np.floor(known)).all():
        return Guess("values")
    return _whole_numbers(distinct)


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


def _guess(flat: list[Any], *, nested: bool, texts: bool, words: bool) -> Guess:
    """The kind of these entries: of nested lists; of texts or lists; of cells with more than one entry or not."""
    with_numbers = [(entry, number) for entry in flat if (number := as_number(entry)) is None or not math.isnan(number)]
    flat = [entry for entry, _ in with_numbers]
    numbers = [number for _, number in with_numbers if number is not None]
    if not flat or (texts and not words and not nested):
        return Guess("bytes" if texts else "values")
    if len(numbers) >= NUMERIC_SHARE * len(flat):
        whole = all(number.is_integer() for number in numbers if math.isfinite(number))
        return _whole_numbers(len(set(numbers))) if whole and not nested else Guess("values")
    names = {str(entry) for entry in flat}
    recurs = len(flat) >= RECURRENCE * len(names)
    one_length, letters = len(set(map(len, names))) == 1, set("".join(names))
    if not texts or (recurs and len(names) <= MAX_SYMBOLS):
        odd = next((name for name in sorted(names) if re.search(r"\d", name) and as_number(name) is None), None)
        if texts or recurs or odd is None or len(flat) >= 2 * len(names):
            return Guess("symbols")
        problem = f"'{odd}' is no number, and {len(names)} different words in {len(flat)} entries are no symbols"
        return Guess("symbols", f"{problem}; write plain numbers, or give --kind symbols")
    if recurs and one_length and len(letters) <= MAX_LETTERS:
        return Guess("symbols", f"{len(names)} different words of {len(flat[0])} letters that repeat, as k-mers do")
    hint = f"{len(names)} different words that repeat; --kind symbols reads each word as one symbol"
    return Guess("bytes", hint if recurs else "")


def _lists_among_texts(column: Any) -> Iterator[tuple[int, str]]:
    """The cells that begin like lists, with their rows."""
    if not hasattr(column, "chunks"):
        yield from ((row, cell) for row, cell in enumerate(column) if isinstance(cell, str) and is_list(cell))
        return
    import pyarrow.compute as pc

    for row in pc.indices_nonzero(pc.match_substring_regex(column, LIST).fill_null(False)).to_pylist():
        yield row, column[row].as_py()


def two_ways(text: str) -> str:
    """What is wrong with a text whose comma could be a decimal sign."""
    joined = re.search(r"[+-]?\d+,\d+", text)
    number = text if joined is None else joined.group()
    whole, _, fraction = number.partition(",")
    return (
        f"'{number}' can be the number {whole}.{fraction} or two, {whole} and {fraction}; "
        "give --decimal , for the first, or separate all entries by blanks for the second"
    )


def _list_or_nothing(cell: Any, reading: Reading) -> Any:
    """The list in a cell; empty where it is damaged, which is refused later."""
    try:
        return _entries("", 0, cell, reading)
    except RequestError:
        return []


def _flat(cell: Any) -> list[Any]:
    if isinstance(cell, list | tuple | np.ndarray):
        return list(chain.from_iterable(map(_flat, cell)))
    return [str(cell) if isinstance(cell, dict) else cell]


# Sequences of a kind.


def symbols(where: Path | str, column: Cells, reading: Reading = AS_USUAL) -> Sequences:
    """Sequences of symbols, with codes in no particular order; a missing one has the name ``MISSING``."""
    if isinstance(column, Sequences):
        return column
    regular = _as_a_whole(where, column, reading, _coded)
    if regular is None:
        code: dict[str, int] = {}
        parts = [
            np.array([code.setdefault(name, len(code)) for name in _symbols_of(where, row, cell, reading)], np.int32)
            for row, cell in _numbered(where, column)
        ]
        regular = Sequences.of(parts, tuple(code))
    blanks = blanks_of(regular.names or ()) if reading.blanks is None else reading.blanks
    names = tuple(MISSING if name in blanks else name for name in regular.names or ())
    if reading.fold_case:
        names = tuple(name.lower() for name in names)
    return Sequences.joined([Sequences(regular.entries, regular.lengths, names)])


def _name(entry: Any) -> str:
    """The name of a symbol; a text "nan" keeps its own for now, since it may be a word of DNA."""
    return spelling(entry) or (entry.strip() if isinstance(entry, str) else MISSING)


def blanks_of(names: Sequence[str]) -> tuple[str, ...]:
    """Which texts beside these symbols only say that nothing is there.

    >>> blanks_of(["GAN", "nan"]), blanks_of(["walk", "nan"]), "NA" in blanks_of(["1", "NA"])
    ((), ('nan', 'NaN'), True)
    """
    others = [name for name in names if name.lower() not in NO_NUMBER]
    if all(as_number(name) is not None for name in others):
        return tuple(sorted({*NO_NUMBER, *map(str.upper, NO_NUMBER), *map(str.title, NO_NUMBER), *NAN}))
    words_of_dna = {len(name) for name in others} == {3} and len(set("".join(others).lower()) | {*"na"}) <= MAX_LETTERS
    return () if words_of_dna else NAN


def texts(where: Path | str, column: Cells, reading: Reading = AS_USUAL) -> Sequences:
    """The bytes of texts, uint8."""
    return Sequences.of([_bytes_of(where, row, cell, reading) for row, cell in _numbered(where, column)])


def values(where: Path | str, column: Cells, reading: Reading = AS_USUAL) -> Sequences:
    """Numbers (P, C), float64 with NaN where they are missing; or uint8 where all of them are."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and column.ndim in (2, 3):
        if not column.size:
            refuse(where, None, f"shape {column.shape} holds nothing; the shapes are (N, T) or (N, T, C)")
        if column.ndim == 3 and reading.axes == "nct":
            column = column.transpose(0, 2, 1)
        flat = column.reshape(-1, column.shape[2] if column.ndim == 3 else 1)
        entries = flat if column.dtype == np.uint8 else flat.astype(np.float64)  # images come by the gigabyte
        return Sequences(entries, np.full(len(column), column.shape[1]))
    if (regular := _as_a_whole(where, column, reading, _numbers)) is not None:
        return regular
    parts = [_values_of(where, row, cell, reading) for row, cell in _numbered(where, column)]
    for row, part in enumerate(parts):
        if part.shape[1] != parts[0].shape[1]:
            problem = f"{part.shape[1]} channels where row 1 has {parts[0].shape[1]}; give every row the same"
            refuse(where, row, problem)
    return Sequences.of(parts)


def check_channels(where: Path | str, sequences: Sequences, channels: int, of_what: str) -> None:
    """Refuse values with another number of channels than ``of_what`` had."""
    if sequences.entries.ndim == 2 and sequences.entries.shape[1] != channels:
        problem = f"{sequences.entries.shape[1]} channels where {of_what} had {channels}; give both the same"
        refuse(where, None, problem)


# Regular columns as a whole.


def _as_a_whole(
    where: Path | str,
    column: Any,
    reading: Reading,
    read: Callable[[Any], tuple[NDArray[Any], tuple[str, ...] | None] | None],
) -> Sequences | None:
    """Sequences of an Arrow column or an array; None where it is not regular enough.

    Args:
        where: for refusals.
        column: of cells.
        reading: how texts are spelt.
        read: gives what stands in ``Sequences`` for the flat entries of a piece of the column, or None.
    """
    import pyarrow
    import pyarrow.compute as pc

    chunks: Iterable[Any] = getattr(column, "chunks", ())
    if isinstance(column, np.ndarray) and column.ndim == 2 and column.dtype.kind in "biufU" and column.size:
        rows, length = max(1, BLOCK // column.shape[1]), column.shape[1]
        blocks = (column[start : start + rows].ravel() for start in range(0, len(column), rows))
        pieces = (pyarrow.array(block, from_pandas=True) for block in blocks)  # NaN is missing
        chunks = (pyarrow.FixedSizeListArray.from_arrays(piece, length) for piece in pieces)
    parts, row = [], 0
    for chunk in chunks:
        lists = _lists(where, row, chunk, reading)
        if lists is None or (entries := read(lists.flatten())) is None:
            return None
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append(Sequences(entries[0], lengths, entries[1]))
        row += len(chunk)
    return Sequences.joined(parts) if parts else None


def _lists(where: Path | str, first_row: int, chunk: Any, reading: Reading) -> Any:
    """A piece of an Arrow column as an Arrow array of lists; None where it is not of single texts or flat lists."""
    import pyarrow
    import pyarrow.compute as pc

    types = pyarrow.types
    if chunk.null_count:
        return None
    if types.is_list(chunk.type) or types.is_large_list(chunk.type) or types.is_fixed_size_list(chunk.type):
        return chunk.cast(pyarrow.list_(chunk.type.value_type))
    if not types.is_string(chunk.type) or reading.decimal != ".":
        return None
    unclear = pc.match_substring_regex(chunk, TWO_WAYS)
    if pc.any(unclear).as_py():
        row = pc.index(unclear, True).as_py()
        refuse(where, first_row + row, two_ways(chunk[row].as_py()))
    if pc.any(pc.match_substring_regex(chunk, LIST)).as_py():
        return None
    if not pc.all(pc.match_substring_regex(chunk, f"[,{WHITE}]|^[^;|]*$")).as_py():
        return None  # entries may be separated by ; or |
    if pc.any(pc.match_substring_regex(chunk, rf",\s*,|^\s*,|{LEFT_OUT}")).as_py():
        return None  # empty entries, or some that were left out
    chunk = pc.replace_substring(chunk, ",", " ")
    if pc.any(pc.match_substring_regex(chunk, UNEVEN)).as_py():
        chunk = pc.utf8_trim(pc.replace_substring_regex(chunk, f"[{WHITE}]+", " "), " ")
    return pc.split_pattern(chunk, " ")


def _coded(entries: Any) -> tuple[NDArray[Any], tuple[str, ...]] | None:
    """Codes of Arrow entries (P,), and the symbol of each code; None where entries are lists."""
    import pyarrow

    if pyarrow.types.is_nested(entries.type):
        return None
    coded = entries.dictionary_encode()
    distinct = coded.dictionary.to_pylist()
    if any(isinstance(entry, str) and "," in entry for entry in distinct):
        return None  # a decimal comma, perhaps
    names = (*map(_name, distinct), MISSING)
    codes = coded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    return codes.astype(np.min_scalar_type(len(names))), names


def _numbers(entries: Any) -> tuple[NDArray[np.float64], None] | None:
    """Arrow entries as numbers of one channel (P, 1), NaN where they are missing; None where one is no number."""
    import pyarrow

    try:
        return entries.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)[:, None], None
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return None


# One cell at a time.


def _listed(column: Any) -> Sequence[Any]:
    cells: Sequence[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column
    return cells


def _numbered(where: Path | str, column: Any) -> Iterator[tuple[int, Any]]:
    for row, cell in enumerate(_listed(column)):
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            refuse(where, row, EMPTY)
        yield row, cell


def _entries(where: Path | str, row: int, cell: Any, reading: Reading) -> Any:
    """The list in a cell: itself, what a text spells, or tokens."""
    if not isinstance(cell, str):
        listed = cell if isinstance(cell, list | tuple | np.ndarray) else [cell]
        return _with_decimals(where, row, listed, reading)
    if is_list(cell):
        return _with_decimals(where, row, list_of_text(where, row, cell), reading)
    if reading.decimal == "." and re.search(TWO_WAYS, cell):
        refuse(where, row, two_ways(cell))
    if re.search(LEFT_OUT, cell) and any(re.fullmatch(LEFT_OUT, token) for token in tokens(cell, reading.decimal)):
        refuse(where, row, _LEFT_OUT_CURE)
    return tokens(cell, reading.decimal)


def _with_decimals(where: Path | str, row: int, entries: Any, reading: Reading) -> Any:
    """Entries of a list, texts such as 0,5 as the numbers that they are if a comma is the decimal sign.

    Raises:
        RequestError: there is such a text, and nobody said so.
    """
    if isinstance(entries, np.ndarray) and entries.dtype.kind != "U":
        return entries
    if not any(isinstance(entry, str) and "," in entry and re.fullmatch(ONE_COMMA, entry) for entry in entries):
        return entries
    if reading.decimal == ".":
        text = next(entry for entry in entries if isinstance(entry, str) and re.fullmatch(ONE_COMMA, entry))
        refuse(where, row, two_ways(text.strip()))
    return [entry.replace(",", ".") if isinstance(entry, str) else entry for entry in entries]


def _bytes_of(where: Path | str, row: int, cell: Any, reading: Reading) -> NDArray[np.uint8]:
    if not isinstance(cell, str):
        refuse(where, row, "--kind bytes reads text, and this is a list; use symbols or values")
    try:
        return np.frombuffer((cell.lower() if reading.fold_case else cell).encode(), dtype=np.uint8)
    except UnicodeEncodeError as error:
        refuse(where, row, f"position {error.start + 1} is half a character ({error.reason}); mend the text")


def _symbols_of(where: Path | str, row: int, cell: Any, reading: Reading) -> Iterator[str]:
    entries = _entries(where, row, cell, reading)
    for position, entry in enumerate(entries.tolist() if isinstance(entries, np.ndarray) else entries, 1):
        if isinstance(entry, list | tuple | dict | np.ndarray):
            refuse(where, row, f"position {position} is a list, not a symbol; several channels need --kind values")
        yield _name(entry)


def _values_of(where: Path | str, row: int, cell: Any, reading: Reading) -> NDArray[Any]:
    entries = _entries(where, row, cell, reading)
    try:
        grey = isinstance(entries, np.ndarray) and entries.dtype == np.uint8
        numbers: NDArray[Any] = entries if grey else np.array(_numeric(entries), dtype=np.float64)
    except OverflowError:
        refuse(where, row, "a number is too large; mend it")
    except (TypeError, ValueError):
        _refuse_entry(where, row, entries)
    if numbers.ndim > 2:
        refuse(where, row, "lists within lists within a list; a position is a number or a list of channels")
    if numbers.ndim == 2 and reading.axes == "nct":
        numbers = numbers.T
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _numeric(entry: Any) -> Any:
    """Entries with their texts as numbers.

    Raises:
        ValueError: a word.
    """
    if isinstance(entry, np.ndarray) and entry.dtype.kind not in "USO":
        return entry
    if isinstance(entry, list | tuple | np.ndarray):
        return [_numeric(inner) for inner in entry]
    if isinstance(entry, str) and (number := as_number(entry)) is not None:
        return number
    if isinstance(entry, str):
        raise ValueError
    return entry


def _refuse_entry(where: Path | str, row: int, entries: Any) -> NoReturn:
    """Say which entry is not a number, or that the channels are ragged."""
    positions = [entry if isinstance(entry, list | tuple) else [entry] for entry in entries]
    for position, channels in enumerate(positions, 1):
        if len(channels) != len(positions[0]):
            problem = f"position {position} has {len(channels)}, position 1 has {len(positions[0])}; make them equal"
            refuse(where, row, f"ragged channels: {problem}")
        for entry in channels:
            if as_number(entry) is None:
                cure = "mend it, or give --kind symbols or bytes"
                refuse(where, row, f"'{entry}' at position {position} is not a number; {cure}")
    refuse(where, row, "not a list of numbers; mend it, or give --kind symbols or bytes")
