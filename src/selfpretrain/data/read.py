"""From a file of labelled sequences to rows: which columns hold what, and the cells in them.

| file               | a row                            | a sequence                                                |
|--------------------|----------------------------------|-----------------------------------------------------------|
| .csv .tsv .parquet | one line or record               | one column: text, symbols or numbers separated by commas  |
| .jsonl             | one JSON object                  | or spaces, or a list; or one column a step                |
| .npz               | first axis of x and y; or        | x (N, T), or (N, T, C) with C channels                    |
|                    | x_train, y_train, x_test, ...    |                                                           |

In a list of lists each inner list is one position, its entries the channels. What is not said is guessed, and the guess
is the first note of the task.
"""

import csv
import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.cells import NUMERIC_SHARE, Cells, as_number, first_line, label_text, refuse
from selfpretrain.data.rows import SPLIT_NAMES, Origin, Rows, assemble, first_note, parsed, some, with_test_rows
from selfpretrain.data.task import Task
from selfpretrain.errors import RequestError
from selfpretrain.files import DAMAGED_NPZ

EXTENSIONS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".npz")
SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
INDEX_NAMES = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Columns that pandas writes for its index; never taken for a step unless asked for."""
LONG_RECURRENCE = 3
"""In a table with a row for each time step, a series has at least so many rows on average (ours)."""


def load_file(path: Path, config: TaskConfig) -> Task:
    """Read a file, and a second one with the test rows where ``config.test`` names it.

    Raises:
        RequestError: something in the file or the options cannot be used.
    """
    rows = parsed(path, read_rows(path, config), config)
    if config.test is not None:
        rows = with_test_rows(path, rows, config.test, read_rows(config.test, config), config)
    rows = replace(rows, notes=[first_note(rows, config), *rows.notes])
    return replace(assemble(path, rows, config), name=path.stem)


def task_of_arrays(x: Any, y: Any, config: TaskConfig, split: Sequence[str] | None = None) -> Task:
    """A task from sequences and labels in memory, with the checks that a file gets.

    Args:
        x: (N, T) or (N, T, C), or a list of sequences of any lengths: strings, lists, arrays. Of pairs a list of tuples
            (first, second).
        y: (N,) classes; None, and -1 among whole numbers, are rows without a label.
        config: how to read them.
        split: train, val or test of each row; None cuts.
    """
    cells, labels = x if isinstance(x, np.ndarray) else list(x), list(y)
    if len(cells) != len(labels) or (split is not None and len(split) != len(cells)):
        raise RequestError(f"{len(cells)} sequences, {len(labels)} labels; give one label, and one split, a sequence")
    if not len(cells):
        raise RequestError("there are no sequences; give some")
    columns: list[Cells] = [cells]
    if any(isinstance(cell, tuple) for cell in cells):
        for row, cell in enumerate(cells):
            if not isinstance(cell, tuple) or len(cell) != 2:
                refuse("arrays", row, "is not a pair; where one row is a tuple (first, second), all have to be")
        columns = [list(column) for column in zip(*cells, strict=True)]
    rows = Rows(
        columns=columns,
        labels=[label_text(label) for label in labels] if None in labels else _labels_of(np.asarray(labels)),
        split=None if split is None else list(split),
    )
    rows.origin = Origin(f"{len(labels)} rows in memory, {rows.words}")
    rows = parsed("arrays", rows, config)
    rows = replace(rows, notes=[first_note(rows, config), *rows.notes])
    return replace(assemble("arrays", rows, config), name="arrays", source=None)


def read_rows(path: Path, config: TaskConfig) -> Rows:
    """The rows of a file, their cells as they stand there.

    Raises:
        RequestError: the file, or the columns asked for, cannot be used.
    """
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        refuse(path, None, f"unknown extension '{extension}'; use one of {', '.join(EXTENSIONS)}")
    _check_readable(path)
    rows = _read_npz(path, config) if extension == ".npz" else _read_table(path, config)
    if not rows.labels:
        refuse(path, None, "there are no rows; it needs a header and rows")
    return rows


def _check_readable(path: Path) -> None:
    try:
        if not path.exists():
            refuse(path, None, "no such file; check the path")
        if not path.is_file():
            refuse(path, None, "not a file; DATA is one file of sequences")
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        refuse(path, None, f"cannot be read ({error.strerror}); check its permissions")
    if not first:
        refuse(path, None, "the file is empty; it needs a header and rows")


class Chosen(NamedTuple):
    """The columns of a table by their roles."""

    sequence: list[str]
    label: str
    split: str | None
    series: str | None
    time: str | None
    pair: str | None

    @property
    def others(self) -> list[str]:
        """Columns with one plain cell a row."""
        return [name for name in (self.series, self.time, self.label, self.split) if name is not None]

    @property
    def whole(self) -> list[str]:
        """Columns whose cells are whole sequences; none where each column is a step or a channel."""
        if self.series is not None or len(self.sequence) > 1:
            return []
        return [*self.sequence, *([] if self.pair is None else [self.pair])]


def _read_table(path: Path, config: TaskConfig) -> Rows:
    objects = _read_jsonl(path) if path.suffix.lower() in (".jsonl", ".ndjson") else []
    names = list(dict.fromkeys(chain.from_iterable(objects))) if objects else _header(path)
    chosen = _choose_columns(path, names, config)
    table: dict[str, Any]
    if objects:
        table = {name: [row.get(name) for row in objects] for name in names}
    else:
        table = _read_arrow(path, chosen)
    for name in chosen.others:
        _check_plain(path, name, table[name])
    notes: list[str] = []
    columns: list[Cells]
    sequence = chosen.sequence
    if chosen.series is not None:
        table, cells = _series(path, table, chosen)
        columns = [cells]
        notes.append(f"a row is a time step; {len(cells)} sequences by column {config.series}")
    elif chosen.whole:
        for name in chosen.whole:
            if (empty := _first_null(table[name])) is not None:
                refuse(path, empty, f"column '{name}' is empty; fill it in or remove the row")
        columns = [table[name] for name in chosen.whole]
    elif chosen.pair is not None:
        asked = f"there are {len(sequence)} columns for the first"
        refuse(path, None, f"--pair names one column for the second sequence, and {asked}; name it with --sequence")
    else:
        if config.sequence is None:
            steps = {name: table[name] for name in sequence}
            _refuse_long_table(path, steps, table[chosen.label])
            sequence = _without_identifier(steps, notes)
            _refuse_mixture(path, {name: table[name] for name in sequence})
        columns = [[_trimmed(row) for row in zip(*(table[name] for name in sequence), strict=True)]]
    kind_of = "channels" if chosen.series else "steps"
    many = f"{sequence[0]} .. {sequence[-1]}, {len(sequence)} {kind_of}"
    labels = [label_text(cell) for cell in table[chosen.label]]
    rows = Rows(
        columns=columns,
        labels=labels,
        split=[str(cell or "") for cell in table[chosen.split]] if chosen.split else None,
        notes=notes,
    )
    where = f"column {' and '.join(chosen.whole) or many}"
    ignored = [name for name in names if name not in (*sequence, *chosen.others, chosen.pair)]
    return _with_origin(path, rows, where, chosen.label, ignored)


def _with_origin(path: Path, rows: Rows, where: str, label: str, ignored: Sequence[str]) -> Rows:
    what = "sequence" if rows.per_row == 1 else "pairs"
    source = f"{path.name}: {len(rows.labels)} rows, {what} from {where}"
    return replace(rows, origin=Origin(source, label, ignored))


def _first_null(column: Any) -> int | None:
    """The first row without a cell."""
    if hasattr(column, "null_count"):
        return None if not column.null_count else column.to_pylist().index(None)
    return column.index(None) if None in column else None


def _check_plain(path: Path, name: str, column: Sequence[Any]) -> None:
    """A class, a split, the name of a series and a time are plain cells."""
    for row, cell in enumerate(column):
        if isinstance(cell, list | dict):
            refuse(path, row, f"column '{name}' holds a list; it needs one word or number a row")


def _series(path: Path, table: Mapping[str, list[Any]], chosen: Chosen) -> tuple[dict[str, list[Any]], list[Any]]:
    """One row a series, from one row a time step: the table of plain columns, and the sequences."""
    rows_of: dict[Any, list[int]] = {}
    for row, name in enumerate(table[chosen.series or ""]):
        if name is None:
            refuse(path, row, f"column '{chosen.series}' is empty, so nobody knows whose time step this is; fill it in")
        rows_of.setdefault(name, []).append(row)
    if chosen.time is not None:
        when = table[chosen.time]
        if None in when:
            refuse(path, when.index(None), f"column '{chosen.time}' is empty; fill it in or remove the row")
        try:
            rows_of = {name: sorted(rows, key=lambda row: when[row]) for name, rows in rows_of.items()}
        except TypeError:
            refuse(path, None, f"column '{chosen.time}' holds numbers and words, so it has no order; mend it")
    for name in chosen.others:
        if name == chosen.time:
            continue
        for series, rows in rows_of.items():
            values = {table[name][row] for row in rows}
            if len(values) > 1:
                both = " and ".join(sorted(map(str, values))[:2])
                refuse(path, rows[0], f"series '{series}' has {both} in column '{name}'; give each series one")
    first = {name: [table[name][rows[0]] for rows in rows_of.values()] for name in chosen.others}
    channels = chosen.sequence
    one = len(channels) == 1
    cells = [
        [table[channels[0]][row] if one else [table[name][row] for name in channels] for row in rows]
        for rows in rows_of.values()
    ]
    return first, cells


def _refuse_long_table(path: Path, steps: Mapping[str, list[Any]], labels: list[Any]) -> None:
    """A table with a row for each time step is no table of step columns; say which options read it.

    It is recognised by a column whose every value stands in several rows of a single class, while another column rises
    within those rows.
    """
    for name, column in steps.items():
        if any(isinstance(value, list | dict) for value in column):
            continue
        rows_of: dict[Any, list[int]] = {}
        for row, value in enumerate(column):
            rows_of.setdefault(value, []).append(row)
        if not 2 <= len(rows_of) <= len(column) / LONG_RECURRENCE:
            continue
        if any(len({labels[row] for row in rows}) > 1 for rows in rows_of.values()):
            continue
        for time, when in steps.items():
            if time != name and all(_rises([when[row] for row in rows]) for rows in rows_of.values()):
                read = f"--series {name} --time {time}"
                refuse(path, None, f"it looks like a table with a row for each time step; read it with {read}")


def _rises(entries: list[Any]) -> bool:
    """Whether every entry is larger than the one before."""
    try:
        return all(a < b for a, b in pairwise(entries))
    except TypeError:
        return False


def _names_a_row(entry: Any) -> bool:
    """Whether it is a word or a whole number, as identifiers are."""
    number = as_number(entry)
    return isinstance(entry, str) if number is None else number.is_integer()


def _without_identifier(steps: Mapping[str, list[Any]], notes: list[str]) -> list[str]:
    """The names of the step columns but for one that only numbers or names the rows, which is noted."""
    unique = [
        name
        for name, column in steps.items()
        if len(column) > 2 and all(_names_a_row(entry) for entry in column) and len(set(column)) == len(column)
    ]
    if len(unique) != 1 or len(steps) < 3:
        return list(steps)
    notes.append(f"column {unique[0]} has another value in every row: taken for an identifier and left out")
    return [name for name in steps if name != unique[0]]


def _refuse_mixture(path: Path, steps: Mapping[str, list[Any]]) -> None:
    """Columns that were guessed to be steps are all numbers or all words, but for a few wrong cells."""
    numeric = {}
    for name, column in steps.items():
        cells = [cell for cell in column if cell is not None]
        numeric[name] = sum(as_number(cell) is not None for cell in cells) >= NUMERIC_SHARE * len(cells)
    words = [name for name, is_numeric in numeric.items() if not is_numeric]
    if 0 < len(words) < len(numeric):
        number = next(name for name in numeric if name not in words)
        problem = f"column '{words[0]}' holds words and '{number}' numbers, so they are no steps of one sequence"
        refuse(path, None, f"{problem}; name the sequence with --sequence")


def _header(path: Path) -> list[str]:
    """Column names of a CSV, TSV or Parquet file."""
    import pyarrow
    import pyarrow.parquet as parquet

    if path.suffix.lower() == ".parquet":
        try:
            return list(parquet.read_schema(path).names)
        except (pyarrow.ArrowException, OSError) as error:
            refuse(path, None, f"not a readable Parquet file ({first_line(error)})")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = next(csv.reader(file, delimiter=_delimiter(path)), [])
    except (UnicodeDecodeError, csv.Error) as error:
        refuse(path, None, f"not UTF-8 text ({error}); save it as UTF-8")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        refuse(path, None, f"column '{twice[0]}' occurs twice; rename one")
    return names


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _read_arrow(path: Path, chosen: Chosen) -> dict[str, Any]:
    """Columns of a CSV, TSV or Parquet file; whole sequences stay in Arrow, other columns become lists.

    Labels, splits, series and whole sequences are read exactly as they are written: "01" is not 1.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    wrong: list[tuple[int | None, int, int]] = []
    names = list(dict.fromkeys((*chosen.sequence, *chosen.others, *chosen.whole)))
    text = {chosen.label, chosen.split, chosen.series, *chosen.whole} - {None}

    def remember(row: Any) -> str:
        wrong.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    try:
        if path.suffix.lower() == ".parquet":
            table = parquet.read_table(path, columns=names)
        else:
            table = arrow_csv.read_csv(
                path,
                read_options=arrow_csv.ReadOptions(use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=_delimiter(path), newlines_in_values=True, invalid_row_handler=remember
                ),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=names,
                    column_types={name: pyarrow.string() for name in text},
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except (pyarrow.ArrowException, OSError) as error:
        for number, expected, there in wrong:
            problem = f"{there} columns where the header has {expected}; quote cells with commas"
            refuse(path, None if number is None else number - 2, problem)
        refuse(path, None, f"cannot be read ({first_line(error)})")
    return {name: c if name in chosen.whole else c.to_pylist() for name in names for c in (table.column(name),)}


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    objects = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        refuse(path, None, f"not UTF-8 text ({error}); save it as UTF-8")
    for row, line in enumerate(line for line in lines if line.strip()):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            message = getattr(error, "msg", first_line(error))
            refuse(path, row, f"not valid JSON ({message}); write one object a line")
        if not isinstance(content, dict):
            refuse(path, row, 'not a JSON object; write one object like {"sequence": [1, 2], "label": "a"} a line')
        objects.append(content)
    if not objects:
        refuse(path, None, "there are no rows; write one JSON object a line")
    return objects


def _read_npz(path: Path, config: TaskConfig) -> Rows:
    if config.pair is not None:
        refuse(path, None, "--pair names a column of a table; write pairs as JSON lines, a list for each sequence")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except DAMAGED_NPZ as error:
        refuse(path, None, f"not a readable NPZ file of plain arrays ({first_line(error)})")
    parts = [part for part in SPLIT_NAMES if f"x_{part}" in arrays]
    given: str | None = None
    if parts and config.sequence is None:
        pairs: list[tuple[str, str, str | None]] = [(f"x_{part}", f"y_{part}", part) for part in parts]
    else:
        chosen = _choose_columns(path, list(arrays), config)
        pairs, given = [(chosen.sequence[0], chosen.label, None)], chosen.split
    xs: list[NDArray[Any]] = []
    labels: list[str | None] = []
    split: list[str] = []
    for x_name, y_name, part in pairs:
        if y_name not in arrays:
            refuse(path, None, f"there is no array '{y_name}' beside '{x_name}'; it has {', '.join(arrays)}")
        x, y = arrays[x_name], arrays[y_name]
        if x.ndim not in (2, 3) or y.ndim != 1 or len(x) != len(y):
            shapes = f"{x_name} {x.shape} and {y_name} {y.shape}"
            refuse(path, None, f"{shapes}; the shapes are (N, T) or (N, T, C), and (N,)")
        if x.dtype.kind not in "biufSU" or y.dtype.kind not in "biufSU":
            refuse(path, None, f"{x_name} is {x.dtype} and {y_name} is {y.dtype}; give numbers or text")
        x, y = (a.astype(np.str_) if a.dtype.kind == "S" else a for a in (x, y))
        xs.append(x)
        labels += _labels_of(y)
        split += [part] * len(y) if part else []
    if given is not None and arrays[given].shape != (len(labels),):
        refuse(path, None, f"{given} {arrays[given].shape} and {len(labels)} rows; give one split a row")
    alike = len({(x.shape[1:], x.dtype) for x in xs}) == 1
    rows = Rows(
        columns=[np.concatenate(xs) if alike else [row for x in xs for row in x]],
        labels=labels,
        split=split or (None if given is None else arrays[given].astype(np.str_).tolist()),
        numbers=np.concatenate([np.arange(len(x)) for x in xs]),
    )
    used = {*chain.from_iterable(pairs), given}
    return _with_origin(path, rows, f"array {pairs[0][0]}", pairs[0][1], [name for name in arrays if name not in used])


def _labels_of(y: NDArray[Any]) -> list[str | None]:
    """Class names of an array; -1 among whole numbers means "no label", as in scikit-learn, beside two classes."""
    names = [label_text(label) for label in y.tolist()]
    if y.dtype.kind in "iu" and len(set(names) - {"-1"}) > 1:
        return [None if name == "-1" else name for name in names]
    return names


def _choose_columns(path: Path, names: list[str], config: TaskConfig) -> Chosen:
    """Columns by their roles, as told or guessed from the names."""

    def named(asked: str, option: str) -> str:
        if asked not in names:
            refuse(path, None, f"no column '{asked}' ({option}); the columns are {some(names)}")
        return asked

    by_lower = {name.strip().lower(): name for name in reversed(names)}
    split = named(config.split, "--split") if config.split else by_lower.get("split")
    if config.label:
        label = named(config.label, "--label")
    else:
        known = [by_lower[name] for name in LABEL_NAMES if name in by_lower]
        if not known:
            refuse(path, None, f"no column is called label; name it with --label (the columns are {some(names)})")
        label = known[0]
    index = [name for name in names if INDEX_NAMES.fullmatch(name)]
    options = ((config.series, "--series"), (config.time, "--time"), (config.pair, "--pair"))
    told = {named(asked, option) for asked, option in options if asked}
    others = [name for name in names if name not in {label, split, *told}]
    if config.sequence:
        sequence = []
        for asked in config.sequence.split(","):
            matching = [name for name in others if fnmatch.fnmatchcase(name, asked.strip())]
            sequence += matching or [named(asked.strip(), "--sequence")]
        for name in (label, split):
            if name in sequence:
                refuse(path, None, f"--sequence names the column '{name}', which is no sequence")
    else:
        known = [by_lower[name] for name in SEQUENCE_NAMES if name in by_lower and by_lower[name] in others]
        known = [] if config.series else known
        sequence = known[:1] or [name for name in others if name not in index]
    if config.pair is not None and config.pair in (label, split, *sequence):
        refuse(path, None, f"--pair names the column '{config.pair}', which is taken for something else already")
    if not sequence:
        refuse(path, None, f"there is no column beside the label; name the sequence with --sequence ({some(names)})")
    return Chosen(sequence, label, split, config.series, config.time, config.pair)


def _trimmed(row: tuple[Any, ...]) -> list[Any]:
    """A row of step columns without the empty cells at its end."""
    n = len(row)
    while n and row[n - 1] is None:
        n -= 1
    return list(row[:n])
