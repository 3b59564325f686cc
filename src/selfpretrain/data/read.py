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

import fnmatch
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.cells import NUMERIC_SHARE, as_number, first_line, from_json, label_text, refuse
from selfpretrain.data.codec import pair_columns
from selfpretrain.data.rows import SPLIT_NAMES, Rows, some
from selfpretrain.errors import RequestError
from selfpretrain.files import DAMAGED_NPZ

EXTENSIONS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".npz")
SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
INDEX_NAMES = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Columns that pandas writes for its index; never taken for a step unless asked for."""
LONG_RECURRENCE = 3
"""In a table with a row for each time step, a series has at least so many rows on average (ours)."""
Roles = Mapping[str, str]
"""Columns with one plain cell a row by what they hold (label, split, series, time), and the second one of a pair."""


def rows_in_memory(x: Any, y: Any, split: Sequence[str] | None = None) -> Rows:
    """Rows of sequences and labels in memory, which get the checks that a file gets.

    Args:
        x: (N, T) or (N, T, C), or a list of sequences of any lengths: strings, lists, arrays. Of pairs a list of tuples
            (first, second).
        y: (N,) classes; None, and -1 among whole numbers, are rows without a label.
        split: train, val or test of each row; None cuts.
    """
    cells: Any = x if isinstance(x, np.ndarray) else list(x)
    labels = list(y)
    if len(cells) != len(labels) or (split is not None and len(split) != len(cells)):
        raise RequestError(f"{len(cells)} sequences, {len(labels)} labels; give one label, and one split, a sequence")
    if not len(cells):
        raise RequestError("there are no sequences; give some")
    rows = Rows(
        columns=pair_columns("arrays", cells) if any(isinstance(cell, tuple) for cell in cells) else [cells],
        labels=[label_text(label) for label in labels] if None in labels else _labels_of(np.asarray(labels)),
        split=None if split is None else list(split),
    )
    rows.source = f"{len(labels)} rows in memory, {rows.words}"
    return rows


def read_rows(path: Path, config: TaskConfig) -> Rows:
    """The rows of a file, their cells as they stand there.

    Raises:
        RequestError: the file, or the columns asked for, cannot be used.
    """
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        refuse(path, None, f"unknown extension '{extension}'; use one of {', '.join(EXTENSIONS)}")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        refuse(path, None, f"{(error.strerror or '').lower()}; check the path and its permissions")
    if empty:
        refuse(path, None, "the file is empty; it needs a header and rows")
    rows = _read_npz(path, config) if extension == ".npz" else _read_table(path, config)
    if not rows.labels:
        refuse(path, None, "there are no rows; it needs a header and rows")
    what = "sequence" if rows.per_row == 1 else "pairs"
    rows.source = f"{path.name}: {len(rows.labels)} rows, {what} from {rows.source}"
    return rows


def _choose_columns(path: Path, names: Sequence[str], config: TaskConfig) -> tuple[list[str], Roles]:
    """The columns of the sequence, and the others by their roles, as told or guessed from the names."""
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    roles = {role: getattr(config, role) for role in ("series", "time", "label", "split", "pair")}
    for role, name in roles.items():
        if name and name not in names:
            refuse(path, None, f"no column '{name}' (--{role}); the columns are {some(names)}")
    roles["split"] = roles["split"] or by_lower.get("split")
    roles["label"] = roles["label"] or next((by_lower[name] for name in LABEL_NAMES if name in by_lower), None)
    if not roles["label"]:
        refuse(path, None, f"no column is called label; name it with --label (the columns are {some(names)})")
    others = [name for name in names if name not in roles.values()]
    known = [by_lower[name] for name in SEQUENCE_NAMES if by_lower.get(name) in others and not config.series]
    sequence = known[:1] or [name for name in others if not INDEX_NAMES.fullmatch(name)]
    if config.sequence:
        patterns = [pattern.strip() for pattern in config.sequence.split(",")]
        sequence = [name for pattern in patterns for name in fnmatch.filter(others, pattern) or [pattern]]
    for name in sequence:
        if name not in names:
            refuse(path, None, f"no column '{name}' (--sequence); the columns are {some(names)}")
        if name in (roles["label"], roles["split"], roles["pair"]):
            refuse(path, None, f"--sequence names the column '{name}', which is taken for something else already")
    if config.pair and config.pair in (roles["label"], roles["split"]):
        refuse(path, None, f"--pair names the column '{config.pair}', which is taken for something else already")
    if not sequence:
        refuse(path, None, f"there is no column beside the label; name the sequence with --sequence ({some(names)})")
    return sequence, {role: name for role, name in roles.items() if name}


# Tables.


def _read_table(path: Path, config: TaskConfig) -> Rows:
    table: Mapping[str, Any]
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        objects = _json_objects(path)
        table = {name: [row.get(name) for row in objects] for name in dict.fromkeys(chain.from_iterable(objects))}
        names = list(table)
        sequence, roles = _choose_columns(path, names, config)
    else:
        names, sequence, roles, table = _arrow_columns(path, config)
    plain = {role: name for role, name in roles.items() if role != "pair"}
    for name in plain.values():
        for row, cell in enumerate(table[name]):
            if isinstance(cell, list | dict):
                refuse(path, row, f"column '{name}' holds a list; it needs one word or number a row")
    whole, notes = _whole_columns(sequence, roles), []
    if config.series:
        table, cells = _series(path, table, sequence, plain)
        columns = [cells]
        notes.append(f"a row is a time step; {len(cells)} sequences by column {config.series}")
    elif whole:
        columns = [table[name] for name in whole]
    elif config.pair:
        asked = f"there are {len(sequence)} columns for the first"
        refuse(path, None, f"--pair names one column for the second sequence, and {asked}; name it with --sequence")
    else:
        if config.sequence is None:
            sequence = _guessed_steps(path, {name: table[name] for name in sequence}, table[roles["label"]], notes)
        columns = [[_trimmed(row) for row in zip(*(table[name] for name in sequence), strict=True)]]
    steps = f"{sequence[0]} .. {sequence[-1]}, {len(sequence)} {'channels' if config.series else 'steps'}"
    return Rows(
        columns=columns,
        labels=[label_text(cell) for cell in table[roles["label"]]],
        split=[str(cell or "") for cell in table[roles["split"]]] if "split" in roles else None,
        source=f"column {' and '.join(whole) or steps}",
        label_name=roles["label"],
        ignored=[name for name in names if name not in (*sequence, *roles.values())],
        notes=notes,
    )


def _whole_columns(sequence: Sequence[str], roles: Roles) -> list[str]:
    """Columns whose cells are whole sequences; none where each column is a step or a channel."""
    if "series" in roles or len(sequence) > 1:
        return []
    return [*sequence, *(roles[role] for role in ("pair",) if role in roles)]


def _json_objects(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        refuse(path, None, f"not UTF-8 text ({error}); save it as UTF-8")
    objects = []
    for row, line in enumerate(line for line in lines if line.strip()):
        objects.append(from_json(path, row, line, "write one object a line"))
        if not isinstance(objects[-1], dict):
            refuse(path, row, 'not a JSON object; write one object like {"sequence": [1, 2], "label": "a"} a line')
    if not objects:
        refuse(path, None, "there are no rows; write one JSON object a line")
    return objects


def _arrow_columns(path: Path, config: TaskConfig) -> tuple[list[str], list[str], Roles, dict[str, Any]]:
    """Of a CSV, TSV or Parquet file: all names, the columns by their roles, and the columns that are needed.

    Whole sequences stay in Arrow, other columns become lists. Labels, splits, series and whole sequences are read
    exactly as they are written: "01" is not 1.
    """
    import pyarrow
    from pyarrow import csv, parquet

    short_rows: list[Any] = []

    def remember(row: Any) -> str:
        short_rows.append(row)
        return "error"

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    layout = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=remember)
    one_by_one = csv.ReadOptions(use_threads=False)  # with threads nobody knows the number of a wrong row
    is_parquet = path.suffix.lower() == ".parquet"
    try:
        with pyarrow.OSFile(str(path)) as file:
            names = (parquet.read_schema(file) if is_parquet else csv.open_csv(file, one_by_one, layout).schema).names
        for name in names:
            if names.count(name) > 1:
                refuse(path, None, f"column '{name}' occurs twice; rename one")
        sequence, roles = _choose_columns(path, names, config)
        whole = _whole_columns(sequence, roles)
        needed = list(dict.fromkeys((*sequence, *roles.values())))
        if is_parquet:
            table = parquet.read_table(path, columns=needed)
        else:
            as_written = [*whole, *(name for role, name in roles.items() if role in ("label", "split", "series"))]
            options = csv.ConvertOptions(
                include_columns=needed,
                column_types=dict.fromkeys(as_written, pyarrow.string()),
                null_values=[""],
                strings_can_be_null=True,
            )
            table = csv.read_csv(path, one_by_one, layout, options)
    except (pyarrow.ArrowException, OSError) as error:
        for row in short_rows:
            problem = f"{row.actual_columns} columns where the header has {row.expected_columns}"
            refuse(path, None if row.number is None else row.number - 2, f"{problem}; quote cells with commas")
        what = "Parquet file" if is_parquet else "table in UTF-8"
        refuse(path, None, f"not a readable {what} ({first_line(error)}); save it again")
    columns = {name: table.column(name) for name in needed}
    lists = {name: column if name in whole else column.to_pylist() for name, column in columns.items()}
    return names, sequence, roles, lists


def _rows_by(column: Sequence[Any]) -> dict[Any, list[int]]:
    """The row numbers of each value."""
    rows_of: dict[Any, list[int]] = {}
    for row, value in enumerate(column):
        rows_of.setdefault(value, []).append(row)
    return rows_of


def _series(
    path: Path, table: Mapping[str, Any], channels: Sequence[str], plain: Roles
) -> tuple[dict[str, list[Any]], list[Any]]:
    """One row a series, from one row a time step: the table of plain columns, and the sequences."""
    for name in (plain[role] for role in ("series", "time") if role in plain):
        if None in table[name]:
            refuse(path, table[name].index(None), f"column '{name}' is empty; fill it in or remove the row")
    rows_of = _rows_by(table[plain["series"]])
    if "time" in plain:
        when = table[plain["time"]]
        try:
            rows_of = {series: sorted(rows, key=when.__getitem__) for series, rows in rows_of.items()}
        except TypeError:
            refuse(path, None, f"column '{plain['time']}' holds numbers and words, so it has no order; mend it")
    first: dict[str, list[Any]] = {}
    for name in (plain[role] for role in ("label", "split") if role in plain):
        first[name] = [table[name][rows[0]] for rows in rows_of.values()]
        for series, rows in rows_of.items():
            values = sorted({str(table[name][row]) for row in rows})
            if len(values) > 1:
                both = " and ".join(values[:2])
                refuse(path, rows[0], f"series '{series}' has {both} in column '{name}'; give each series one")
    steps = table[channels[0]] if len(channels) == 1 else list(map(list, zip(*map(table.get, channels), strict=True)))
    return first, [[steps[row] for row in rows] for rows in rows_of.values()]


def _guessed_steps(path: Path, steps: Mapping[str, list[Any]], labels: list[Any], notes: list[str]) -> list[str]:
    """The names of columns that nobody called steps, after a look at what they hold; an identifier is left out.

    They are no steps if the table has a row for each time step, or if there are words beside numbers.
    """
    if options := _options_of_long_table(steps, labels):
        refuse(path, None, f"it looks like a table with a row for each time step; read it with {options}")
    unique = [name for name, column in steps.items() if len(column) > 2 and _names_each_row(column)]
    if len(unique) == 1 and len(steps) > 2:
        notes.append(f"column {unique[0]} has another value in every row: taken for an identifier and left out")
        steps = {name: column for name, column in steps.items() if name != unique[0]}
    numeric: dict[bool, str] = {}
    for name, column in steps.items():
        numbers = [as_number(cell) is not None for cell in column if cell is not None]
        numeric.setdefault(sum(numbers) >= NUMERIC_SHARE * len(numbers), name)
    if len(numeric) > 1:
        problem = f"column '{numeric[False]}' holds words and '{numeric[True]}' numbers"
        refuse(path, None, f"{problem}, so they are no steps of one sequence; name the sequence with --sequence")
    return list(steps)


def _names_each_row(column: list[Any]) -> bool:
    """Whether the cells are words or whole numbers, as identifiers are, and all different."""
    numbers = [as_number(cell) for cell in column]
    fitting = (isinstance(c, str) if n is None else n.is_integer() for c, n in zip(column, numbers, strict=True))
    return all(fitting) and len(set(column)) == len(column)


def _options_of_long_table(steps: Mapping[str, list[Any]], labels: list[Any]) -> str | None:
    """How to read a table with a row for each time step; None if it does not look like one.

    In such a table every value of one column stands in several rows of a single class, while another column rises
    within those rows.
    """

    def rises(entries: list[Any]) -> bool:
        try:
            return entries == sorted(set(entries))
        except TypeError:  # numbers and words, or lists
            return False

    for name, column in steps.items():
        if any(isinstance(value, list | dict) for value in column):
            continue
        groups = _rows_by(column).values()
        if not 2 <= len(groups) <= len(column) / LONG_RECURRENCE:
            continue
        if any(len({labels[row] for row in rows}) > 1 for rows in groups):
            continue
        for time, when in steps.items():
            if time != name and all(rises([when[row] for row in rows]) for rows in groups):
                return f"--series {name} --time {time}"
    return None


def _trimmed(row: Sequence[Any]) -> list[Any]:
    """A row of step columns without the empty cells at its end."""
    n = len(row)
    while n and row[n - 1] is None:
        n -= 1
    return list(row[:n])


# Arrays.


def _read_npz(path: Path, config: TaskConfig) -> Rows:
    if config.pair is not None:
        refuse(path, None, "--pair names a column of a table; write pairs as JSON lines, a list for each sequence")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except DAMAGED_NPZ as error:
        refuse(path, None, f"not a readable NPZ file of plain arrays ({first_line(error)})")
    parts = [part for part in SPLIT_NAMES if f"x_{part}" in arrays]
    pairs, given = [(f"x_{part}", f"y_{part}") for part in parts], None
    if not parts or config.sequence is not None:
        sequence, roles = _choose_columns(path, list(arrays), config)
        parts, pairs, given = [], [(sequence[0], roles["label"])], roles.get("split")
    xs: list[NDArray[Any]] = []
    labels: list[str | None] = []
    for x_name, y_name in pairs:
        if y_name not in arrays:
            refuse(path, None, f"there is no array '{y_name}' beside '{x_name}'; it has {', '.join(arrays)}")
        x, y = arrays[x_name], arrays[y_name]
        if x.ndim not in (2, 3) or y.ndim != 1 or len(x) != len(y):
            shapes = f"{x_name} {x.shape} and {y_name} {y.shape}"
            refuse(path, None, f"{shapes}; the shapes are (N, T) or (N, T, C), and (N,)")
        if x.dtype.kind not in "biufSU" or y.dtype.kind not in "biufSU":
            refuse(path, None, f"{x_name} is {x.dtype} and {y_name} is {y.dtype}; give numbers or text")
        xs.append(x.astype(np.str_) if x.dtype.kind == "S" else x)
        labels += _labels_of(y.astype(np.str_) if y.dtype.kind == "S" else y)
    split = [part for part, x in zip(parts, xs, strict=False) for _ in x]
    if given is not None:
        if arrays[given].shape != (len(labels),):
            refuse(path, None, f"{given} {arrays[given].shape} and {len(labels)} rows; give one split a row")
        split = arrays[given].astype(np.str_).tolist()
    alike = len({(x.shape[1:], x.dtype) for x in xs}) == 1
    return Rows(
        columns=[np.concatenate(xs) if alike else [row for x in xs for row in x]],
        labels=labels,
        split=split or None,
        numbers=np.concatenate([np.arange(len(x)) for x in xs]),
        source=f"array {pairs[0][0]}",
        label_name=pairs[0][1],
        ignored=[name for name in arrays if name not in (*chain.from_iterable(pairs), given)],
    )


def _labels_of(y: NDArray[Any]) -> list[str | None]:
    """Class names of an array; -1 among whole numbers means "no label", as in scikit-learn, beside two classes."""
    names = [label_text(label) for label in y.tolist()]
    if y.dtype.kind in "iu" and len(set(names) - {"-1"}) > 1:
        return [None if name == "-1" else name for name in names]
    return names
