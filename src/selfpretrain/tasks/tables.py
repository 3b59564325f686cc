"""From a file to rows: which columns hold what, and what stands in them. Nothing is read as numbers yet."""

import csv
import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.storage import DAMAGED_NPZ
from selfpretrain.tasks import checks
from selfpretrain.tasks.checks import refuse
from selfpretrain.tasks.parsing import NUMERIC_SHARE, as_number, first_line, interleaved, label_text

EXTENSIONS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".npz")
SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
INDEX_NAMES = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Columns that pandas writes for its index; never taken for a step unless asked for."""
LONG_RECURRENCE = 3
"""In a table with a row for each time step, a series has at least so many rows on average (ours)."""
LABEL_NAMES = ("label", "labels", "class", "target", "y")


@dataclass
class Rows:
    """What a file says, before it is read as numbers.

    Attributes:
        cells: of each row a string, a list, or an array; of pairs two of these, one after the other.
        labels: None where there is none.
        split: what the split column says; None without one.
        columns, label, ignored: what the columns were taken for, for the note.
        notes: what else was found.
        numbers: where each row stands in its array, if there are several arrays; None counts.
        per_row: sequences of a row: 1, or the 2 of a pair.
    """

    cells: list[Any]
    labels: list[str | None]
    split: list[str] | None
    columns: str
    label: str
    ignored: Sequence[str] = ()
    notes: Sequence[str] = ()
    numbers: list[int] | None = None
    per_row: int = 1


def read_rows(path: Path, config: TaskConfig) -> Rows:
    """The rows of a file.

    Raises:
        RequestError: the file, or the columns asked for, cannot be used.
    """
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        refuse(path, None, f"unknown extension '{extension}'; use one of {', '.join(EXTENSIONS)}")
    checks.check_readable(path)
    rows = _read_npz(path, config) if extension == ".npz" else _read_table(path, config)
    if not rows.cells:
        refuse(path, None, "there are no rows; it needs a header and rows")
    return rows


def _read_table(path: Path, config: TaskConfig) -> Rows:
    extension = path.suffix.lower()
    objects = _read_jsonl(path) if extension in (".jsonl", ".ndjson") else []
    if objects:
        names = list(dict.fromkeys(chain.from_iterable(objects)))
    else:
        names = _header(path)
    sequence, label, split = _choose_columns(path, names, config)
    others = [name for name in (config.series, config.time, config.pair, label, split) if name is not None]
    if objects:
        table = {name: [row.get(name) for row in objects] for name in names}
    else:
        text = {
            label,
            split,
            config.series,
            config.pair,
            *(sequence if len(sequence) == 1 and not config.series else ()),
        }
        table = _read_arrow(path, (*sequence, *others), text)
    notes: list[str] = []
    if config.series is not None:
        table, cells = _series(path, table, sequence, others, config)
        notes.append(f"a row is a time step; {len(cells)} sequences by column {config.series}")
    elif len(sequence) == 1:
        columns_of_row = sequence if config.pair is None else [*sequence, config.pair]
        for name in columns_of_row:
            if None in table[name]:
                refuse(path, table[name].index(None), f"column '{name}' is empty; fill it in or remove the row")
        cells = interleaved([table[name] for name in columns_of_row])
    elif config.pair is not None:
        asked = f"there are {len(sequence)} columns for the first"
        refuse(path, None, f"--pair names one column for the second sequence, and {asked}; name it with --sequence")
    else:
        if config.sequence is None:
            steps = {name: table[name] for name in sequence}
            _refuse_long_table(path, steps, table[label])
            sequence = _without_identifier(steps, notes)
            _refuse_mixture(path, {name: table[name] for name in sequence})
        cells = [_trimmed(row) for row in zip(*(table[name] for name in sequence), strict=True)]
    kind_of = "channels" if config.series else "steps"
    columns = (
        " and ".join(columns_of_row)
        if len(sequence) == 1 and not config.series
        else f"{sequence[0]} .. {sequence[-1]}, {len(sequence)} {kind_of}"
    )
    labels = [label_text(cell) for cell in table[label]]
    given = [str(cell or "") for cell in table[split]] if split else None
    ignored = [name for name in names if name not in (*sequence, *others)]
    return Rows(cells, labels, given, columns, label, ignored, notes, per_row=1 if config.pair is None else 2)


def _series(
    path: Path, table: dict[str, list[Any]], channels: Sequence[str], others: Sequence[str], config: TaskConfig
) -> tuple[dict[str, list[Any]], list[Any]]:
    """One row a series, from one row a time step: the table of ``others``, and the sequences."""
    rows_of: dict[Any, list[int]] = {}
    for row, name in enumerate(table[config.series or ""]):
        if name is None:
            refuse(path, row, f"column '{config.series}' is empty, so nobody knows whose time step this is; fill it in")
        rows_of.setdefault(name, []).append(row)
    if config.time is not None:
        when = table[config.time]
        if None in when:
            refuse(path, when.index(None), f"column '{config.time}' is empty; fill it in or remove the row")
        try:
            rows_of = {name: sorted(rows, key=lambda row: when[row]) for name, rows in rows_of.items()}
        except TypeError:
            refuse(path, None, f"column '{config.time}' holds numbers and words, so it has no order; mend it")
    for name in others:
        if name == config.time:
            continue
        for series, rows in rows_of.items():
            found = {table[name][row] for row in rows}
            if len(found) > 1:
                said = " and ".join(sorted(map(str, found))[:2])
                refuse(path, rows[0], f"series '{series}' has {said} in column '{name}'; give each series one")
    first = {name: [table[name][rows[0]] for rows in rows_of.values()] for name in others}
    one = len(channels) == 1
    cells = [
        [table[channels[0]][row] if one else [table[name][row] for name in channels] for row in rows]
        for rows in rows_of.values()
    ]
    return first, cells


def _refuse_long_table(path: Path, steps: dict[str, list[Any]], labels: list[Any]) -> None:
    """A table with a row for each time step is no table of step columns; say which options read it.

    It shows by a column whose every value stands in several rows, all of one class, while another column rises there.
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


def _without_identifier(steps: dict[str, list[Any]], notes: list[str]) -> list[str]:
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


def _refuse_mixture(path: Path, steps: dict[str, list[Any]]) -> None:
    """Columns that were guessed to be steps are all numbers or all words, but for a few wrong cells."""
    numeric = {}
    for name, column in steps.items():
        cells = [cell for cell in column if cell is not None]
        numeric[name] = sum(as_number(cell) is not None for cell in cells) >= NUMERIC_SHARE * len(cells)
    words = [name for name, is_numeric in numeric.items() if not is_numeric]
    if 0 < len(words) < len(numeric):
        number = next(name for name in numeric if name not in words)
        refuse(
            path,
            None,
            f"column '{words[0]}' holds words and '{number}' numbers, so they are no steps of one sequence; "
            "name the sequence with --sequence",
        )


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


def _read_arrow(path: Path, names: Sequence[str], text: set[str | None]) -> dict[str, list[Any]]:
    """Columns of a CSV, TSV or Parquet file; those in ``text`` exactly as they are written, no "01" as 1."""
    import pyarrow
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    wrong: list[tuple[int | None, int, int]] = []

    def remember(row: Any) -> str:
        wrong.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    try:
        if path.suffix.lower() == ".parquet":
            table = parquet.read_table(path, columns=list(names))
        else:
            table = arrow_csv.read_csv(
                path,
                read_options=arrow_csv.ReadOptions(use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=_delimiter(path), newlines_in_values=True, invalid_row_handler=remember
                ),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=list(names),
                    column_types={name: pyarrow.string() for name in text if name},
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except (pyarrow.ArrowException, OSError) as error:
        for number, expected, found in wrong:
            refuse(
                path,
                None if number is None else number - 2,
                f"{found} columns where the header has {expected}; quote cells with commas",
            )
        refuse(path, None, f"cannot be read ({first_line(error)})")
    return {name: table.column(name).to_pylist() for name in names}


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
            refuse(path, row, f"no JSON ({getattr(error, 'msg', first_line(error))}); write one object a line")
        if not isinstance(content, dict):
            refuse(path, row, 'no JSON object; write one object like {"sequence": [1, 2], "label": "a"} a line')
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
    names = list(arrays)
    parts = [part for part in checks.SPLIT_NAMES if f"x_{part}" in arrays]
    given_split: list[str] | None = None
    split_name: str | None = None
    if parts and config.sequence is None:
        pairs: list[tuple[str, str, str | None]] = [(f"x_{part}", f"y_{part}", part) for part in parts]
    else:
        sequence, label, split_name = _choose_columns(path, names, config)
        pairs = [(sequence[0], label, None)]
        if split_name is not None:
            given_split = [str(name) for name in arrays[split_name].tolist()]
    cells: list[Any] = []
    labels: list[str | None] = []
    split: list[str] = []
    numbers: list[int] = []
    for x_name, y_name, part in pairs:
        if y_name not in arrays:
            refuse(path, None, f"there is no array '{y_name}' beside '{x_name}'; it has {', '.join(arrays)}")
        x, y = arrays[x_name], arrays[y_name]
        if x.ndim not in (2, 3) or y.ndim != 1 or len(x) != len(y):
            refuse(
                path, None, f"{x_name} {x.shape} and {y_name} {y.shape}; the shapes are (N, T) or (N, T, C), and (N,)"
            )
        if x.dtype.kind not in "biufSU" or y.dtype.kind not in "biufSU":
            refuse(path, None, f"{x_name} is {x.dtype} and {y_name} is {y.dtype}; give numbers or text")
        x, y = (a.astype(np.str_) if a.dtype.kind == "S" else a for a in (x, y))
        cells += list(x)
        labels += labels_of(y)
        split += [part] * len(y) if part else []
        numbers += range(len(y))
    used = {*chain.from_iterable(pairs), split_name}
    ignored = [name for name in names if name not in used]
    return Rows(cells, labels, split or given_split, pairs[0][0], pairs[0][1], ignored, numbers=numbers)


def labels_of(y: NDArray[Any]) -> list[str | None]:
    """Class names of an array; -1 among whole numbers means "no label", as in scikit-learn, beside two classes."""
    names = [label_text(label) for label in y.tolist()]
    if y.dtype.kind in "iu" and len(set(names) - {"-1"}) > 1:
        return [None if name == "-1" else name for name in names]
    return names


def _choose_columns(path: Path, names: list[str], config: TaskConfig) -> tuple[list[str], str, str | None]:
    """Sequence columns, label column and split column, as told or guessed from the names."""

    def named(asked: str, option: str) -> str:
        if asked not in names:
            refuse(path, None, f"no column '{asked}' ({option}); the columns are {some(names)}")
        return asked

    by_lower = {name.strip().lower(): name for name in reversed(names)}
    split = named(config.split, "--split") if config.split else by_lower.get("split")
    if config.label:
        label = named(config.label, "--label")
    else:
        found = [by_lower[name] for name in LABEL_NAMES if name in by_lower]
        if not found:
            refuse(path, None, f"no column is called label; name it with --label (the columns are {some(names)})")
        label = found[0]
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
        found = [by_lower[name] for name in SEQUENCE_NAMES if name in by_lower and by_lower[name] in others]
        found = [] if config.series else found
        sequence = found[:1] or [name for name in others if name not in index]
    if config.pair is not None and config.pair in (label, split, *sequence):
        refuse(path, None, f"--pair names the column '{config.pair}', which is taken for something else already")
    if not sequence:
        refuse(path, None, f"there is no column beside the label; name the sequence with --sequence ({some(names)})")
    return sequence, label, split


def some(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def _trimmed(row: tuple[Any, ...]) -> list[Any]:
    """A row of step columns without the empty cells at its end."""
    n = len(row)
    while n and row[n - 1] is None:
        n -= 1
    return list(row[:n])
