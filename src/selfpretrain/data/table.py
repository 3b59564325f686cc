"""From a file to a table: named columns of cells, each as it stands there. What they mean is decided in ``read``.

| file               | a row                                                        | its columns                 |
|--------------------|--------------------------------------------------------------|-----------------------------|
| .csv .tsv          | one line; separated by , ; tab or |, with or without a header | texts, whatever they hold   |
| .parquet           | one record                                                   | typed                       |
| .jsonl .ndjson     | one JSON object                                              | texts, numbers, lists       |
| .npz               | first axis of its arrays, or of x_train, y_train, x_test ... | arrays of up to three axes  |
| .ts .arff                                              see ``data.archive``                                     |
| .fasta .fastq, folders                                 see ``data.formats``                                     |

Texts may be compressed with gzip or zstd, begin with a byte-order mark or a line such as ``sep=;``, and be in another
encoding than UTF-8 where ``--encoding`` names it.
"""

import codecs
import csv
import io
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from selfpretrain.config import TaskConfig
from selfpretrain.data.archive import attributes, other_half, series
from selfpretrain.data.formats import RECORDS, folder, records
from selfpretrain.data.memory import Frame, column, plain
from selfpretrain.data.packed import PACKED, Unpacked, extension
from selfpretrain.data.spelling import as_number, first_line, refuse
from selfpretrain.files import reading
from selfpretrain.machine import require_memory

TEXTS = (".csv", ".tsv", ".jsonl", ".ndjson")
EXTENSIONS = (*TEXTS, ".parquet", ".npz", ".ts", ".arff", *RECORDS)
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Accepted entries of a split column, and what they mean."""
HEAD_BYTES, HEAD_ROWS = 2**22, 50
"""So much of a text is looked at to see its separator and its header (ours)."""
BLOCK_BYTES, LONGEST_ROW = 2**22, 2**30
"""So much of a text is parsed at a time, and no row is longer (ours)."""
ROWS = 2048
"""Records of a piece of a file that counts them (ours)."""
MAGIC = {
    b"\x1f\x8b": "compressed with gzip; let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; let its name end in .zst",
    b"PK\x03\x04": "a ZIP archive, as Excel writes it; save it as CSV",
}
"""How files begin that are no text, whatever their name says, and what to do with them."""
CELL_BYTES = 32
"""That a cell of Parquet takes at least on its way to a task (ours)."""
NOT_UTF8 = "not UTF-8 text; name its encoding, such as --encoding latin-1 or --encoding utf-16"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of N cells.

    Attributes:
        columns: by name: lists, arrays or Arrow columns.
        typed: whether texts are told from numbers; in a CSV they are not.
        headless: whether the names are ours, column1, column2 and so on.
        numbers: (N,) where each row stands in its file; None: 0 to N - 1.
        notes: how the file is spelt, where a reader should know.
        raw: what a table of predictions repeats, where that is not ``columns``; None: it is.
        grid: height and width of images that are read row by row.
        source: what the files of a folder are, such as recordings of a rate; empty for tables.
    """

    columns: dict[str, Any]
    typed: bool = True
    headless: bool = False
    numbers: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    raw: dict[str, Any] | None = None
    grid: tuple[int, int] | None = None
    source: str = ""

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    @property
    def unreadable(self) -> dict[str, str]:
        """The columns that cannot be read, with the reason."""
        return getattr(self.columns, "unreadable", {})

    def __len__(self) -> int:
        return max(map(len, self.columns.values()), default=0)


def read_table(path: Path, config: TaskConfig) -> Table:
    """The table in a file.

    Raises:
        RequestError: it cannot be read, or can be read two ways; the message names the option that decides.
    """
    return next(tables(path, config, whole=True))


def tables(path: Path, config: TaskConfig, *, whole: bool = False) -> Iterator[Table]:
    """The same, a piece after the other unless it is to be ``whole``: a file may be larger than memory.

    An NPZ is always one piece.
    """
    kind = extension(path)
    with reading(path):
        if kind not in EXTENSIONS and path.is_dir():
            columns, notes, grid, source = folder(path, SPLIT_NAMES, config.encoding)
            named = {name: cells for name, cells in columns.items() if name in ("file", "label")}  # not the samples
            yield Table(columns=columns, notes=notes, grid=grid, raw=named, source=source)
            return
    if kind not in EXTENSIONS:
        known = f"{', '.join(EXTENSIONS)}; text files may also end in {' or '.join(PACKED)}"
        refuse(path, None, f"unknown extension '{path.suffix.lower()}'; use one of {known}")
    try:
        is_regular, size = path.is_file(), path.stat().st_size
        if is_regular:
            path.open("rb").close()  # refused where it may not be read
    except OSError as error:
        refuse(path, None, f"{(error.strerror or '').lower()}; check the path and its permissions")
    if not is_regular:
        refuse(path, None, f"is a {'directory' if path.is_dir() else 'device or a pipe'}; name a file")
    if not size:
        refuse(path, None, "the file is empty; it needs a header and rows")
    if kind not in TEXTS and Path(config.data) == path:  # a test file may be of another sort
        for name in ("header", "separator", "encoding"):
            if getattr(config, name) is not None:
                refuse(path, None, f"--{name} is for text files; leave it out")
    others = {".parquet": _parquet, ".npz": _arrays, ".jsonl": _json, ".ndjson": _json}
    read = {**others, **dict.fromkeys((".ts", ".arff", *RECORDS), _records)}.get(kind, _csv)
    is_empty = True
    with reading(path):
        for table in read(path, config, whole):
            is_empty = is_empty and not len(table) and not table.unreadable
            if not is_empty:
                yield table
    if is_empty:
        refuse(path, None, "there are no rows; it needs a header and rows")


def _records(path: Path, config: TaskConfig, whole: bool) -> Iterator[Table]:
    """Tables of a file of records: .ts, .arff, FASTA or FASTQ."""
    read = {".ts": series, ".arff": attributes}.get(extension(path), records)
    for columns in read(path, sys.maxsize if whole else ROWS):
        yield Table(columns=columns, notes=other_half(path, config.test))


# Text.


def _raw(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a text, unpacked; the first ``limit`` only, if there is one."""
    try:
        with io.BufferedReader(Unpacked(path)) as file:
            return file.read(limit)
    except (OSError, EOFError, zlib.error) as error:
        refuse(path, None, f"cannot be read ({first_line(error)}); save it again")


def _encoding(raw: bytes, config: TaskConfig) -> str:
    """As told, or else by the byte-order mark."""
    if config.encoding is not None:
        return codecs.lookup(config.encoding).name
    return "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"


def _utf8(path: Path, config: TaskConfig, limit: int | None = None) -> bytes:
    """``_raw`` as UTF-8 without a byte-order mark."""
    raw = _raw(path, limit)
    encoding = _encoding(raw, config)
    if encoding == "utf-8":
        return raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode(encoding, "strict" if limit is None else "ignore").removeprefix("\ufeff").encode()
    except UnicodeError as error:
        refuse(path, None, f"not {encoding} text ({first_line(error)}); name its encoding with --encoding")


def _refuse_twice(path: Path, names: Iterable[str], cure: str = "; rename one") -> None:
    for name, count in Counter(names).items():
        if count > 1:
            refuse(path, None, f"column '{name}' occurs twice{cure}")


def _csv(path: Path, config: TaskConfig, whole: bool) -> Iterator[Table]:
    """Tables of texts, exactly as they are written: "01" is not 1."""
    raw_head = _utf8(path, config, HEAD_BYTES)
    for magic, what in MAGIC.items():
        if raw_head.startswith(magic):
            refuse(path, None, f"it is {what}")
    if b"\0" in raw_head:
        refuse(path, None, f"it holds zero bytes: {NOT_UTF8}")
    try:
        head = codecs.getincrementaldecoder("utf-8")().decode(raw_head)  # whose last character may be cut
    except UnicodeDecodeError:
        refuse(path, None, NOT_UTF8)
    told = re.match(r'"?sep=([^"\r\n])"?\r?\n', head)
    head = head[told.end() :] if told else head
    separator, notes = (told[1], []) if told and config.separator is None else _separator(path, head, config)
    first = head.split("\n", 1)[0].split() if separator == " " else next(iter(_rows(head, separator)), [])
    headless = config.header == "no" or (config.header is None and _is_data(path, first, config))
    names = [f"column{place}" for place in range(1, len(first) + 1)] if headless else [name.strip() for name in first]
    _refuse_twice(path, filter(None, names), "; rename one, or give --header no if there is no header")
    if headless:
        notes.append("the first row is data, not a header (--header yes overrides)")
    blank = [place for place, name in enumerate(names) if not name][1:]  # one may be the index of a frame
    names = [f"unnamed{place + 1}" if place in blank else name for place, name in enumerate(names)]
    pieces = _parsed(path, config, separator, names if headless else first, headless=headless, skipped=bool(told))
    parts = (piece.slice(start, ROWS) for piece in pieces for start in range(0, len(piece), ROWS))
    for piece in map(pyarrow.concat_tables, filter(None, [list(pieces)])) if whole else parts:
        columns = dict(zip(names, piece.columns, strict=True))
        yield Table(columns=columns, typed=False, headless=headless, notes=tuple(notes))


def _parsed(
    path: Path, config: TaskConfig, separator: str, names: Sequence[str], *, headless: bool, skipped: bool
) -> Iterator[pyarrow.Table]:
    """A text as Arrow tables of texts; ``names`` as they stand there, behind a line that is ``skipped`` or none."""
    wrong_rows: list[Any] = []

    def remember(row: Any) -> str:
        wrong_rows.append(row)
        return "error"

    layout = arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=remember)
    types = dict.fromkeys(names, pyarrow.string())
    as_written = arrow_csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    as_it_is = separator != " " and path.suffix.lower() not in PACKED and _encoding(_raw(path, 2), config) == "utf-8"
    raw = b"" if as_it_is else _utf8(path, config)
    if separator == " ":  # one or more
        raw = b"\n".join(b" ".join(line.split()) for line in raw.splitlines())

    def read(block_bytes: int, skip: int = 0) -> Iterator[pyarrow.Table]:
        """The rows behind the first ``skip``, in blocks of so many bytes; larger ones where a row is longer."""
        one_by_one = arrow_csv.ReadOptions(
            use_threads=False,  # with threads nobody knows the number of a wrong row
            skip_rows=int(skipped),
            column_names=names if headless else None,
            block_size=block_bytes,
        )
        try:
            source = str(path) if as_it_is else pyarrow.BufferReader(raw)
            seen = 0
            for batch in arrow_csv.open_csv(source, one_by_one, layout, as_written):
                rest = batch.slice(max(0, skip - seen))
                seen += len(batch)
                if len(rest):
                    yield pyarrow.Table.from_batches([rest])
        except pyarrow.ArrowInvalid as error:
            if str(error).startswith("Empty CSV"):
                return
            if "straddling" not in str(error) or block_bytes >= LONGEST_ROW:
                raise
            yield from read(8 * block_bytes, max(skip, seen))

    try:
        yield from read(BLOCK_BYTES)
    except UnicodeDecodeError:
        refuse(path, None, NOT_UTF8)
    except (pyarrow.ArrowException, OSError) as error:
        for row in wrong_rows:
            problem = f"{row.actual_columns} columns where the first row has {row.expected_columns}"
            number = None if row.number is None else row.number - (1 if headless else 2) - skipped
            refuse(path, number, f"{problem}; quote cells with separators, or name the separator with --separator")
        problem = NOT_UTF8 if "UTF8" in str(error) else f"not a readable table ({first_line(error)}); save it again"
        refuse(path, None, problem)


def _rows(head: str, separator: str) -> list[list[str]]:
    """The first rows of a text; where it was cut, without its last."""
    rows: list[list[str]] = []
    try:
        rows.extend(islice(filter(None, csv.reader(io.StringIO(head, newline=""), delimiter=separator)), HEAD_ROWS))
    except csv.Error:  # a cell that is longer than the module takes
        return rows
    cut = len(head) >= HEAD_BYTES // 4 and 1 < len(rows) < HEAD_ROWS
    return rows[:-1] if cut else rows


def _separator(path: Path, head: str, config: TaskConfig) -> tuple[str, list[str]]:
    """What separates the cells, and what a reader should know of it; where several fit, they are refused.

    A separator fits if it cuts all of the first rows into the same number of cells, two or more.
    """
    if config.separator is not None:
        return config.separator, []
    usual = "\t" if extension(path) == ".tsv" else ","
    candidates = [separator for separator in SEPARATORS if separator != config.decimal]
    widths = {separator: {len(row) for row in _rows(head, separator)} for separator in candidates}
    fitting = [separator for separator, seen in widths.items() if len(seen) == 1 and max(seen) > 1]
    if len(fitting) > 1:
        both = " and ".join(SEPARATORS[separator] for separator in fitting)
        refuse(path, None, f"cells can be separated by {both}; say which with --separator")
    if not fitting and _is_of_numbers(head):
        return " ", ["cells are separated by blanks"]
    if not fitting or fitting == [usual]:
        return usual, []
    return fitting[0], [f"cells are separated by a {SEPARATORS[fitting[0]]}"]


def _is_of_numbers(head: str) -> bool:
    """Whether the first lines are numbers between blanks, as many in each."""
    lines = [line.split() for line in head.splitlines()[: HEAD_ROWS - 1] if line.strip()]
    widths = {len(line) for line in lines}
    return len(widths) == 1 and max(widths) > 1 and all(as_number(cell) is not None for line in lines for cell in line)


def _is_data(path: Path, first: Sequence[str], config: TaskConfig) -> bool:
    """Whether the first row is one of data: a header of numbers is none.

    A row that counts 0, 1, 2 and so on is refused: it may be names that a library gave, or data.
    """
    numbers = [as_number(name.replace(config.decimal, ".")) for name in first]
    if not numbers or None in numbers or all(np.isnan(number) for number in numbers if number is not None):
        return False
    counted = [int(number) for number in numbers if number is not None and number == number // 1]
    if not first[0].strip() and counted == list(range(len(first) - 1)):
        return False  # the index and the columns of a pandas frame
    if len(first) > 1 and counted in (list(range(len(first))), list(range(1, len(first) + 1))):
        row = f"{first[0]}, {first[1]}, ... {first[-1]}"
        refuse(path, None, f"the first row ({row}) can be column names or data; give --header yes or --header no")
    return True


def _json(path: Path, config: TaskConfig, whole: bool) -> Iterator[Table]:
    encoding = _encoding(_raw(path, 2), config)
    names: dict[str, None] = {}  # of all pieces so far
    text = Unpacked(path)
    with io.TextIOWrapper(io.BufferedReader(text), encoding, newline="\n") as lines:
        objects = _objects(path, lines)
        while piece := list(objects if whole else islice(objects, ROWS)):
            names |= dict.fromkeys(chain.from_iterable(piece))
            _refuse_twice(path, map(str.strip, names), ", with and without blanks around it; rename one")
            yield Table(columns={name.strip(): [row.get(name) for row in piece] for name in names})
            text.start_anew()
    if not names:
        refuse(path, None, "there are no rows; write one JSON object a line")


def _objects(path: Path, lines: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
    """The objects of a text with one a line; empty lines are left out."""
    row = 0
    try:
        for number, line in enumerate(lines):
            text = line.removeprefix("\ufeff") if number == 0 else line
            if text.strip():
                yield _object(path, row, text)
                row += 1
    except UnicodeError as error:
        other = f"not {lines.encoding} text ({first_line(error)}); name its encoding with --encoding"
        refuse(path, None, NOT_UTF8 if lines.encoding == "utf-8" else other)
    except (OSError, EOFError, zlib.error) as error:
        refuse(path, None, f"cannot be read ({first_line(error)}); save it again")


def _object(path: Path, row: int, line: str) -> dict[str, Any]:
    try:
        read = loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        problem = error.msg if isinstance(error, JSONDecodeError) else first_line(error)
        refuse(path, row, f"not valid JSON ({problem}); write one object a line")
    if not isinstance(read, dict):
        refuse(path, row, 'not a JSON object; write one object like {"sequence": [1, 2], "label": "a"} a line')
    return read


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return named


# Parquet and arrays.


def _parquet(path: Path, config: TaskConfig, whole: bool) -> Iterator[Table]:
    try:
        with pyarrow.OSFile(str(path)) as file:
            opened = parquet.ParquetFile(file)
            if whole:  # what a column takes at least, however well it is packed
                about = opened.metadata
                packed = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
                require_memory(max(packed, CELL_BYTES * about.num_rows * about.num_columns), path)
            _refuse_twice(path, map(str.strip, opened.schema_arrow.names))
            batches = ([batch] for batch in opened.iter_batches(ROWS))
            for piece in [opened.read()] if whole else map(pyarrow.Table.from_batches, batches):
                columns = Frame()
                for name in piece.column_names:
                    columns.add(name.strip(), plain, path, piece.column(name))
                raw = dict(zip(map(str.strip, piece.column_names), piece.columns, strict=True))
                yield Table(columns=columns, raw=raw)
    except (pyarrow.ArrowException, OSError) as error:
        refuse(path, None, f"not a readable Parquet file ({first_line(error)}); save it again")


def _arrays(path: Path, config: TaskConfig, whole: bool) -> Iterator[Table]:
    """Arrays by name; x_train, y_train, x_test and so on become the columns x, y and split.

    So do any others that there are of every part, such as person_train and person_test.
    """
    cure = "; save it with numpy.savez, plain arrays alone"
    with reading(path, cure), zipfile.ZipFile(path) as archive:
        require_memory(sum(member.file_size for member in archive.infolist()), path)
    with reading(path, cure), np.load(path, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files}
        arrays = {name: array for name, array in members.items() if getattr(array, "ndim", 0)}  # others are no columns
    by_lower = {name.lower(): name for name in arrays}
    parts = [part for part in SPLIT_NAMES if f"x_{part}" in by_lower]
    if not parts or config.sequence is not None:
        columns = Frame()
        for name, array in arrays.items():
            columns.add(name, _checked, path, name, array)
        yield Table(columns=columns)
        return
    for part in parts:
        if f"y_{part}" not in by_lower:
            x_name = by_lower[f"x_{part}"]
            refuse(path, None, f"there is no array 'y_{part}' beside '{x_name}'; it has {', '.join(arrays)}")
    stems = [name.removesuffix(f"_{parts[0]}") for name in by_lower if name.endswith(f"_{parts[0]}")]
    joined: dict[str, Any] = {}
    taken: set[str] = set()
    for stem in (stem for stem in stems if all(f"{stem}_{part}" in by_lower for part in parts)):
        names = [by_lower[f"{stem}_{part}"] for part in parts]
        own = [_checked(path, name, arrays[name]) for name in names]
        for part, name, array in zip(parts, names, own, strict=True):
            x_name = by_lower[f"x_{part}"]
            if len(array) != len(arrays[x_name]):
                shapes = f"{x_name} {arrays[x_name].shape} and {name} {array.shape}"
                refuse(path, None, f"{shapes}; they need a row for each sequence in both")
        alike = len({(array.shape[1:], array.dtype.kind) for array in own}) == 1
        joined[stem] = np.concatenate(own) if alike else [row for array in own for row in array]
        taken.update(names)
    lengths = [len(arrays[by_lower[f"x_{part}"]]) for part in parts]
    joined["split"] = [part for part, length in zip(parts, lengths, strict=True) for _ in range(length)]
    joined |= {name: array for name, array in arrays.items() if name not in taken}
    yield Table(columns=joined, numbers=np.concatenate([np.arange(length) for length in lengths]))


def _checked(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array of numbers or texts with up to three axes."""
    if array.dtype.kind not in "biufSU":
        refuse(path, None, f"{name} is {array.dtype}; give numbers or text")
    if array.ndim not in (1, 2, 3):
        refuse(path, None, f"{name} {array.shape}; the shapes are (N, T) or (N, T, C), and (N,)")
    checked: NDArray[Any] = column(f"{path}: {name}", array)  # in the byte order of this machine, and bytes decoded
    return checked
