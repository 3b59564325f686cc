"""What one entry, or the text of one cell, says.

One entry has one spelling, whoever wrote it: 3, 3.0 and "3." are the symbol 3; None, NaN and null are missing. What can
be read two ways is refused. Rows are counted from 1, without the header.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from selfpretrain.data.schema import Schema
from selfpretrain.errors import RequestError, RowError

NUMERIC_SHARE = 0.9
"""From this share of numbers on, a word among them is taken for an error and not for a symbol (ours)."""
DEEPEST = 3
"""Lists within lists that are read: a row, its positions, their channels."""
WHITE = r"\p{Z}\t-\r\x1c-\x1f\x{85}"
"""What Python takes for white space, as Arrow spells it."""
_HEAD = r"(?:np\.|numpy\.)?(?:array|tensor|deque|list|c)\("
LIST = rf"^\s*(?:{_HEAD}|[\[({{])"
"""In a text that begins as a list does in Python, NumPy, JSON, R or a database."""
LEFT_OUT = r"\.\.\.|…"
"""What stands for entries that were not written."""
OF_NUMBERS = r"[\d\s.,;|eE+-]+"
"""A text of numbers and what may separate them."""
TWO_WAYS = r"^\s*[+-]?\d+,\d+(,?\s+|[;|])\S|[\s;|][+-]?\d+,\d+\s*($|[\s;|]|,\s)|\d,\d{3}\.\d"
"""In a text where a comma stands within a number, or between two, beside other separators."""
NUMBER = r"[+-]?((\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|(?i:inf(inity)?))"
_NUMBER = re.compile(NUMBER, re.ASCII)
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,14})(\.0*([eE][+-]?\d{1,2})?)?", re.ASCII)
"""A whole number that may be written with a sign, with a point, or as 1.0e+00; codes such as 01 and 0e10 are none."""
CODE = r"[+-]?(0\d|\d{16,}$)"
"""Digits that are no number: 007, and whole numbers that lose digits as float64."""
MISSING = ""
"""The name of a missing symbol; no symbol is spelt so."""
NAN = ("nan", "NaN")
"""How pandas and NumPy write a missing value."""
NO_NUMBER = {"", "nan", "na", "<na>", "nat", "n/a", "null", "none", "?", "--"}
"""Words that stand for a missing value among numbers."""
MAX_LETTERS = 8
"""Words of one length over at most this many letters are k-mers, and symbols however many they are (ours)."""
_INNER = re.compile(rf"\b(?:{_HEAD}|(?:np|numpy)\.\w+\()([^()]*)\)")
_KEYWORDS = re.compile(r",\s*(?:dtype|device|requires_grad|grad_fn|maxlen)=[^,()\[\]]*")
_TOKEN = re.compile(
    r"""\s*(?:(?P<open>[\[({])|(?P<close>[\])}])|(?P<comma>[,;|])|(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<word>[^\s,;|\[\](){}'"]+))""",
    re.DOTALL,
)
_MEND_LIST = "mend it, or give --kind bytes if the column holds text"


IN_MEMORY = ("arrays", "frame", "rows")
"""What sequences in memory are called in messages, which then name arguments and no options of the command line."""
_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?: (nct|ntc|bytes|symbols|values)\b)?")


def for_reader(where: Path | str, text: str) -> str:
    """A message about ``where``, which names what its reader can give.

    >>> for_reader("frame", "a--b: give --max-length or --axes nct"), for_reader(Path("a.csv"), "give --max-length")
    ('a--b: give max_length or axes="nct"', 'give --max-length')
    """
    if where not in IN_MEMORY:
        return text
    return _OPTION.sub(_as_argument, text)


def _as_argument(option: re.Match[str]) -> str:
    return option[1].replace("-", "_") + (f'="{option[2]}"' if option[2] else "")


def refuse(where: Path | str, row: int | None, problem: str) -> NoReturn:
    """Raise a ``RequestError`` about a file, or about a zero-based row of it."""
    problem = for_reader(where, problem)
    raise RequestError(f"{where}: {problem}") if row is None else RowError(where, row, problem)


def first_line(error: Exception) -> str:
    """The message of a library's error, on one line."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


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
        if _NUMBER.fullmatch(text):
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


def one_comma(entry: Any) -> bool:
    """Whether an entry is a text that is a number with a decimal comma, or two numbers."""
    return isinstance(entry, str) and re.fullmatch(r"\s*[+-]?\d+,\d+\s*", entry) is not None


def entries_of(where: Path | str, row: int, cell: Any, schema: Schema) -> Any:
    """The list in a cell: itself, what a text spells, or tokens.

    Raises:
        RequestError: it is damaged, lacks entries, or has a comma that could be a decimal sign.
    """
    if isinstance(cell, str) and not is_list(cell):
        words = tokens(cell, schema.decimal)
        if schema.decimal == "." and can_be_two(cell):
            refuse(where, row, two_ways(cell))
        if re.search(LEFT_OUT, cell) and all(as_number(w) is not None or re.fullmatch(LEFT_OUT, w) for w in words):
            _refuse_left_out(where, row)
        return words
    if isinstance(cell, str):
        cell = list_of_text(where, row, cell)
    entries = cell if isinstance(cell, list | tuple | np.ndarray) else [cell]
    if isinstance(entries, np.ndarray) and entries.dtype.kind != "U":
        return entries
    comma = next(filter(one_comma, entries), None)
    if comma is None:
        return entries
    if schema.decimal == ".":
        refuse(where, row, two_ways(comma.strip()))
    return [entry.replace(",", ".") if isinstance(entry, str) else entry for entry in entries]


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
    plain = _unwrapped(text)
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
            _refuse_left_out(where, row)
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


def _unwrapped(text: str) -> str:
    """The text of a list without what Python and R write around lists and numbers."""
    if head := re.match(_HEAD, text):
        text = _KEYWORDS.sub("", text).rstrip()
        text = text[head.end() : -1] if text.endswith(")") else text[head.end() :]
    if "'" not in text and '"' not in text:
        text = _INNER.sub(r"\1", _KEYWORDS.sub("", text) if "(" in text else text)
    text = text.strip()
    return text if text.startswith(("[", "(", "{")) else f"[{text}]"  # of c(1, 2)


def _refuse_left_out(where: Path | str, row: int) -> NoReturn:
    """Refuse a cell that does not hold all of its entries."""
    cure = "write whole lists, as x.tolist() gives them"
    refuse(where, row, f"entries were left out of this cell ('...'); {cure}")


def _word(token: str) -> Any:
    """An entry without quotes: a number, None, or itself."""
    if token.lower() in ("true", "false"):
        return token.lower() == "true"
    if re.match(CODE, token):
        return token
    number = as_number(token)
    return token if number is None else None if math.isnan(number) else number


def can_be_two(text: str) -> bool:
    """Whether a text of numbers has a comma that stands within one, or between two."""
    return re.fullmatch(OF_NUMBERS, text) is not None and re.search(TWO_WAYS, text) is not None


def two_ways(text: str) -> str:
    """What is wrong with a text whose comma could be a decimal sign."""
    joined = re.search(r"[+-]?\d+,\d+", text)
    number = text if joined is None else joined.group()
    whole, _, fraction = number.partition(",")
    return (
        f"'{number}' can be the number {whole}.{fraction} or two, {whole} and {fraction}; "
        "give --decimal , for the first, or separate all entries by blanks for the second"
    )
