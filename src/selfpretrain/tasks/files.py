"""From a file of labelled sequences to a Task.

| file               | a row                            | a sequence                                                |
|--------------------|----------------------------------|-----------------------------------------------------------|
| .csv .tsv .parquet | one line or record               | one column: text, symbols or numbers separated by commas  |
| .jsonl             | one JSON object                  | or spaces, or a list; or one column a step                |
| .npz               | first axis of x and y; or        | x (N, T), or (N, T, C) with C channels                    |
|                    | x_train, y_train, x_test, ...    |                                                           |

In a list of lists each inner list is one position, its entries the channels. What is not said is guessed, and the
guess is the first note of the task.
"""

import csv
import fnmatch
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind, TaskConfig
from selfpretrain.tasks import checks
from selfpretrain.tasks.checks import refuse
from selfpretrain.tasks.task import SHARES, UNLABELLED, Split, Task, pad, standardised, stratified_split

EXTENSIONS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".npz")
SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
SAMPLE_ROWS = 1000
MAX_SYMBOLS = 64
"""Up to so many different whole numbers or short words are taken for symbols (ours)."""
RECURRENCE = 4
"""Symbols recur at least so often on average, which words of a text do not (ours)."""
NUMERIC_SHARE = 0.9
"""From this share of numbers on, a word among them is taken for an error and not for a symbol (ours)."""
BYTES = tuple(map(str, range(256)))

Sequences = list[NDArray[Any]]


@dataclass
class _Rows:
    """What a file says, before it is read as numbers.

    Attributes:
        cells: of each row a string, a list, or an array.
        labels: None where there is none.
        split: what the split column says; None without one.
        columns: the sequence columns, for the note.
    """

    cells: list[Any]
    labels: list[str | None]
    split: list[str] | None
    columns: str


def load_file(path: Path, config: TaskConfig) -> Task:
    """Read a file, and a second one with the test rows where ``config.test`` names it.

    Raises:
        RequestError: something in the file or the options cannot be used.
    """
    rows = _read(path, config)
    kind = config.kind or _guess_kind(rows.cells)
    sequences = _parse(path, rows.cells, kind)
    labels, split = rows.labels, rows.split and checks.check_split_names(path, rows.split)
    if config.test is not None:
        if split is not None and "test" in split:
            refuse(path, None, "--test names a test file and the split column has test rows too; give one of them")
        test = _read(config.test, config)
        if None in test.labels:
            refuse(
                config.test, test.labels.index(None), "no label in the test split; only training rows may go without"
            )
        test_sequences = _parse(config.test, test.cells, kind)
        _check_sequences(config.test, test_sequences, kind, config)
        if test_sequences[0].shape[1:] != sequences[0].shape[1:]:
            refuse(config.test, None, "its sequences have other channels than the training file's")
        split = (split or ["train"] * len(sequences)) + ["test"] * len(test_sequences)
        sequences, labels = sequences + test_sequences, labels + test.labels
    notes = [_guess_note(path, rows, kind, config)]
    notes += _check_sequences(path, sequences, kind, config)
    checks.check_classes(path, labels, split)

    cut = sum(len(sequence) > config.max_length for sequence in sequences)
    if cut:
        sequences = [sequence[: config.max_length] for sequence in sequences]
        notes.append(f"{cut} sequences were longer than --max-length {config.max_length} and were cut")
    classes = tuple(sorted({label for label in labels if label is not None}, key=_numbers_first))
    y = np.array([UNLABELLED if label is None else classes.index(label) for label in labels])
    parts = _parts(sequences, y, split, config.data_seed)
    vocabulary: tuple[str, ...] = BYTES if kind == "bytes" else ()
    if kind == "symbols":
        sequences, vocabulary, unseen = _to_ids(sequences, parts)
        if unseen:
            notes.append(f"{unseen} symbols outside training never occur in it and count as unknown")
    x, lengths = pad(sequences, max(map(len, sequences)))
    everything = Split(x, lengths, y)
    if split is not None and (leaks := checks.count_leaks(everything, parts)):
        notes.append(f"warning: {leaks} validation or test sequences stand in training too, exactly equal")
    train = everything.rows(np.flatnonzero((parts == 0) & (y != UNLABELLED)))
    unlabelled = np.flatnonzero((parts == 0) & (y == UNLABELLED))
    if len(unlabelled):
        notes.append(f"{len(unlabelled)} training rows have no label; self-pretraining alone sees them")
    task = Task(
        name=path.stem,
        kind=kind,
        classes=classes,
        vocabulary=vocabulary,
        train=train,
        val=everything.rows(np.flatnonzero(parts == 1)),
        test=everything.rows(np.flatnonzero(parts == 2)),
        unlabelled=everything.rows(unlabelled) if len(unlabelled) else None,
        notes=tuple(notes),
    )
    return standardised(task) if kind == "values" else task


# Reading: bytes to cells.


def _read(path: Path, config: TaskConfig) -> _Rows:
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        refuse(path, None, f"unknown extension '{extension}'; use one of {', '.join(EXTENSIONS)}")
    checks.check_readable(path)
    rows = _read_npz(path, config) if extension == ".npz" else _read_table(path, config)
    if not rows.cells:
        refuse(path, None, "there are no rows; it needs a header and rows")
    return rows


def _read_table(path: Path, config: TaskConfig) -> _Rows:
    extension = path.suffix.lower()
    objects = _read_jsonl(path) if extension in (".jsonl", ".ndjson") else []
    if objects:
        names = list(dict.fromkeys(chain.from_iterable(objects)))
    else:
        names = _header(path)
    sequence, label, split = _choose_columns(path, names, config)
    if objects:
        table = {name: [row.get(name) for row in objects] for name in names}
    else:
        text = {label, split, *(sequence if len(sequence) == 1 else ())}
        table = _read_arrow(path, (*sequence, label, *([split] if split else [])), text)
    if len(sequence) == 1:
        cells = table[sequence[0]]
        for row, cell in enumerate(cells):
            if cell is None:
                refuse(path, row, f"column '{sequence[0]}' is empty; fill it in or remove the row")
    else:
        cells = [_trimmed(row) for row in zip(*(table[name] for name in sequence), strict=True)]
    columns = sequence[0] if len(sequence) == 1 else f"{sequence[0]} .. {sequence[-1]}, {len(sequence)} steps"
    labels = [_label(cell) for cell in table[label]]
    return _Rows(cells, labels, [str(cell or "") for cell in table[split]] if split else None, columns)


def _header(path: Path) -> list[str]:
    """Column names of a CSV, TSV or Parquet file."""
    import pyarrow
    import pyarrow.parquet as parquet

    if path.suffix.lower() == ".parquet":
        try:
            return list(parquet.read_schema(path).names)
        except (pyarrow.ArrowException, OSError) as error:
            refuse(path, None, f"not a readable Parquet file ({_first_line(error)})")
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
        refuse(path, None, f"cannot be read ({_first_line(error)})")
    return {name: table.column(name).to_pylist() for name in names}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    objects = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        refuse(path, None, f"not UTF-8 text ({error}); save it as UTF-8")
    for row, line in enumerate(line for line in lines if line.strip()):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            refuse(path, row, f"no JSON ({error.msg}); write one object a line")
        if not isinstance(content, dict):
            refuse(path, row, 'no JSON object; write one object like {"sequence": [1, 2], "label": "a"} a line')
        objects.append(content)
    if not objects:
        refuse(path, None, "there are no rows; write one JSON object a line")
    return objects


def _read_npz(path: Path, config: TaskConfig) -> _Rows:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        refuse(path, None, f"not a readable NPZ file of plain arrays ({_first_line(error)})")
    parts = [part for part in checks.SPLIT_NAMES if f"x_{part}" in arrays]
    if parts and config.sequence is None:
        pairs: list[tuple[str, str, str | None]] = [(f"x_{part}", f"y_{part}", part) for part in parts]
    else:
        names = list(arrays)
        sequence, label, _ = _choose_columns(path, names, replace(config, split=None))
        pairs = [(sequence[0], label, None)]
    cells: list[Any] = []
    labels: list[str | None] = []
    split: list[str] = []
    for x_name, y_name, part in pairs:
        if y_name not in arrays:
            refuse(path, None, f"there is no array '{y_name}' beside '{x_name}'; it has {', '.join(arrays)}")
        x, y = arrays[x_name], arrays[y_name]
        if x.ndim not in (2, 3) or y.ndim != 1 or len(x) != len(y):
            refuse(
                path, None, f"{x_name} {x.shape} and {y_name} {y.shape}; the shapes are (N, T) or (N, T, C), and (N,)"
            )
        cells += list(x)
        labels += [_label(label) for label in y.tolist()]
        split += [part] * len(y) if part else []
    return _Rows(cells, labels, split or None, pairs[0][0])


def _choose_columns(path: Path, names: list[str], config: TaskConfig) -> tuple[list[str], str, str | None]:
    """Sequence columns, label column and split column, as told or guessed from the names."""

    def named(asked: str, option: str) -> str:
        if asked not in names:
            refuse(path, None, f"no column '{asked}' ({option}); the columns are {_some(names)}")
        return asked

    by_lower = {name.strip().lower(): name for name in reversed(names)}
    split = named(config.split, "--split") if config.split else by_lower.get("split")
    if config.label:
        label = named(config.label, "--label")
    else:
        found = [by_lower[name] for name in LABEL_NAMES if name in by_lower]
        if not found:
            refuse(path, None, f"no column is called label; name it with --label (the columns are {_some(names)})")
        label = found[0]
    others = [name for name in names if name not in (label, split)]
    if config.sequence:
        sequence = []
        for asked in config.sequence.split(","):
            matching = [name for name in others if fnmatch.fnmatchcase(name, asked.strip())]
            sequence += matching or [named(asked.strip(), "--sequence")]
    else:
        found = [by_lower[name] for name in SEQUENCE_NAMES if name in by_lower and by_lower[name] in others]
        sequence = found[:1] or others
    if not sequence:
        refuse(path, None, f"there is no column beside the label; name the sequence with --sequence ({_some(names)})")
    return sequence, label, split


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def _label(cell: Any) -> str | None:
    if cell is None or cell == "" or (isinstance(cell, float) and np.isnan(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _numbers_first(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _trimmed(row: tuple[Any, ...]) -> list[Any]:
    """A row of step columns without the empty cells at its end."""
    n = len(row)
    while n and row[n - 1] is None:
        n -= 1
    return list(row[:n])


# Parsing: cells to sequences.


def _guess_kind(cells: Sequence[Any]) -> Kind:
    """Symbols, bytes or values, from the first rows."""
    sample = list(islice(cells, SAMPLE_ROWS))
    texts = [cell.strip() for cell in sample if isinstance(cell, str)]
    if texts and not all(text.startswith("[") for text in texts):
        tokens = [_tokens(text) for text in texts]
        several = 2 * sum(len(row) > 1 for row in tokens) > len(tokens)
    else:
        tokens = [_flat(_from_json(cell)) for cell in sample]
        several = True
    flat = list(chain.from_iterable(tokens))
    if not several or not flat:
        return "bytes"
    numbers = [number for token in flat if (number := _number(token)) is not None]
    if len(numbers) >= NUMERIC_SHARE * len(flat):
        whole = all(float(number).is_integer() for number in numbers if np.isfinite(number))
        nested = any(isinstance(_first(cell), list | np.ndarray) for cell in sample)
        return "symbols" if whole and not nested and len(set(numbers)) <= MAX_SYMBOLS else "values"
    if not texts or (len(set(flat)) <= MAX_SYMBOLS and len(flat) >= RECURRENCE * len(set(flat))):
        return "symbols"
    return "bytes"


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[,\s]+", text.strip()) if token]


def _from_json(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return []


def _first(cell: Any) -> Any:
    listed = _from_json(cell)
    return listed[0] if isinstance(listed, list | np.ndarray) and len(listed) else None


def _flat(cell: Any) -> list[Any]:
    if isinstance(cell, np.ndarray):
        return list(cell.ravel().tolist())
    if isinstance(cell, list):
        return list(chain.from_iterable(_flat(part) for part in cell))
    return [cell]


def _number(token: Any) -> float | None:
    try:
        return float("nan") if token is None else float(token)
    except (TypeError, ValueError):
        return None


def _parse(path: Path, cells: Sequence[Any], kind: Kind) -> Sequences:
    """Each cell as an array: bytes (T,) int64, symbols (T,) str, values (T, C) float64."""
    parse = {"bytes": _parse_bytes, "symbols": _parse_symbols, "values": _parse_values}[kind]
    return [parse(path, row, cell) for row, cell in enumerate(cells)]


def _parse_bytes(path: Path, row: int, cell: Any) -> NDArray[Any]:
    if not isinstance(cell, str):
        refuse(path, row, "--kind bytes reads text, and this is a list; use symbols or values")
    return np.frombuffer(cell.encode(), dtype=np.uint8).astype(np.int64)


def _entries(path: Path, row: int, cell: Any) -> Any:
    """The list in a cell: itself, JSON, or tokens."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, list | np.ndarray) else [cell]
    if not cell.strip().startswith("["):
        return _tokens(cell)
    try:
        return json.loads(cell)
    except json.JSONDecodeError as error:
        refuse(path, row, f"the list is no JSON ({error.msg}); write it like [1, 2, 3]")


def _parse_symbols(path: Path, row: int, cell: Any) -> NDArray[Any]:
    entries = _entries(path, row, cell)
    if isinstance(entries, np.ndarray):
        entries = entries.tolist()
    for position, entry in enumerate(entries):
        if isinstance(entry, list | dict):
            refuse(path, row, f"position {position + 1} is a list, not a symbol; several channels need --kind values")
        if entry is None or entry == "":
            refuse(path, row, f"position {position + 1} has no symbol; fill it in")
    return np.array([_label(entry) for entry in entries], dtype=np.str_)


def _parse_values(path: Path, row: int, cell: Any) -> NDArray[Any]:
    entries = _entries(path, row, cell)
    try:
        values = np.array(entries, dtype=np.float64)
    except (TypeError, ValueError):
        _refuse_entry(path, row, entries)
    if values.ndim > 2:
        refuse(path, row, "lists within lists within a list; a position is a number or a list of channels")
    return values[:, None] if values.ndim == 1 else values


def _refuse_entry(path: Path, row: int, entries: Any) -> Any:
    """Say which entry is not a number, or that the channels are ragged."""
    widths = [len(entry) if isinstance(entry, list) else 1 for entry in entries]
    for position, (entry, width) in enumerate(zip(entries, widths, strict=True)):
        if width != widths[0]:
            refuse(
                path,
                row,
                f"ragged channels: position {position + 1} has {width}, position 1 has {widths[0]}; make them equal",
            )
        for part in entry if isinstance(entry, list) else [entry]:
            if _number(part) is None:
                refuse(
                    path,
                    row,
                    f"'{part}' at position {position + 1} is not a number; mend it, or give --kind symbols or bytes",
                )
    refuse(path, row, "not a list of numbers; mend it, or give --kind symbols or bytes")


def _check_sequences(path: Path, sequences: Sequences, kind: Kind, config: TaskConfig) -> list[str]:
    """Refuse what cannot be used, and give notes on what was mended."""
    checks.check_lengths(path, sequences)
    if kind != "values":
        return []
    checks.check_channels(path, sequences)
    missing = checks.check_finite(path, sequences, allow_missing=config.allow_missing)
    return [f"{missing} missing or infinite values become their channel's training mean"] if missing else []


def _guess_note(path: Path, rows: _Rows, kind: Kind, config: TaskConfig) -> str:
    how = "given" if config.kind else "guessed; --kind overrides"
    where = f"column {rows.columns}" if path.suffix.lower() != ".npz" else f"array {rows.columns}"
    splits = "given" if rows.split or config.test else "70/15/15, stratified"
    return f"{path.name}: {len(rows.cells)} rows, sequence from {where} as {kind} ({how}), splits {splits}"


# From sequences to splits and ids.


def _parts(sequences: Sequences, y: NDArray[np.int64], split: list[str] | None, data_seed: int) -> NDArray[np.int64]:
    """0 train, 1 val or 2 test for each row; what no one gave is cut from the training rows by ``stratified_split``."""
    if split is None:
        parts = np.zeros(len(sequences), dtype=np.int64)
    else:
        parts = np.array([("train", "val", "test").index(name) for name in split])
    _, codes = np.unique(np.concatenate(sequences).reshape(-1), return_inverse=True)
    ends = np.cumsum([sequence.size for sequence in sequences])
    coded = [codes[end - sequence.size : end] for end, sequence in zip(ends, sequences, strict=True)]
    x, lengths = pad(coded, max(map(len, coded)))
    everything = Split(x, lengths, y)
    wanted = [part for part in (0, 1, 2) if part == 0 or not (parts == part).any()]
    shares = tuple(SHARES[part] / sum(SHARES[p] for p in wanted) for part in wanted)
    labelled = np.flatnonzero((parts == 0) & (y != UNLABELLED))
    if len(wanted) > 1:
        for part, index in zip(wanted, stratified_split(everything.rows(labelled), shares, data_seed), strict=True):
            parts[labelled[index]] = part
    return parts


def _to_ids(sequences: Sequences, parts: NDArray[np.int64]) -> tuple[Sequences, tuple[str, ...], int]:
    """Symbols as ids of the vocabulary, which training alone defines; and how many others there are."""
    seen = {str(symbol) for sequence, part in zip(sequences, parts, strict=True) if part == 0 for symbol in sequence}
    vocabulary = tuple(sorted(seen, key=_numbers_first))
    ids = {symbol: index for index, symbol in enumerate(vocabulary)}
    unknown = len(vocabulary)
    coded = [np.array([ids.get(str(s), unknown) for s in sequence], dtype=np.int64) for sequence in sequences]
    return coded, vocabulary, sum(int((sequence == unknown).sum()) for sequence in coded)
