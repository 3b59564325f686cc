"""From a table, or from sequences in memory, to rows: their cells as they stand there, with labels and splits.

The schema of the training rows holds for test files too, whose columns are found by name.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.codec import pair_columns
from selfpretrain.data.columns import are_numbers, codes_of, listed, plain_codes, sequence_columns, some
from selfpretrain.data.guess import SAMPLE_ROWS
from selfpretrain.data.labels import CLASS_OPTION, Labels, read_labels
from selfpretrain.data.memory import TAKEN, Frame, column, columns_of, unwrapped
from selfpretrain.data.recognise import INDEX_NAMES, LABEL_NAMES, axes_among, perhaps_groups, recognised
from selfpretrain.data.rows import Rows
from selfpretrain.data.schema import Schema
from selfpretrain.data.spelling import refuse, spelling
from selfpretrain.data.table import Table
from selfpretrain.errors import RequestError


def rows_in_memory(x: Any, y: Any, split: Any, group: Any, config: TaskConfig) -> Rows:
    """Rows of sequences and labels in memory, which get the checks that a file gets.

    Args:
        x, y, split, group: as ``load_task`` takes them; ``y`` is also the label column of a frame that has none.
        config: how to read them.
    """
    frame = columns_of(x)
    if frame is not None and y is None:
        return rows_of_table("frame", Table(columns=frame), config)
    if y is None:
        raise RequestError("sequences in memory need their labels: load_task(x, y)")
    labels = _one_column("y", y)
    more = {"split": split, "group": group}
    others = {role: _one_column(role, cells) for role, cells in more.items() if cells is not None}
    cells = unwrapped(column("x", x)) if frame is None else []
    n = len(cells) if frame is None else len(Table(columns=frame))
    for what, column_given in {"label": labels, **others}.items():
        if n != len(column_given):
            raise RequestError(f"{n} sequences, {len(column_given)} {what}s; give one {what} a sequence")
    if not n:
        raise RequestError("there are no sequences; give some")
    if frame is not None:
        _refuse_second_label(frame, labels, config)
        given = {"label": labels, **others}
        asked = {role: next(name for name in (role, f"{role} of rows") if name not in frame) for role in given}
        table = Table(columns={**frame, **{asked[role]: given_cells for role, given_cells in given.items()}})
        group_name = asked.get("group", config.group)
        named = replace(config, label=asked["label"], split=asked.get("split"), group=group_name)
        return rows_of_table("frame", table, named)
    if are_numbers(cells[:SAMPLE_ROWS]):
        raise RequestError(f"x has one number a row ({n} rows); a row is a sequence: give (N, T), {TAKEN}")
    read = read_labels("arrays", "y", labels, config.unlabelled, typed=True)
    rows = Rows(
        columns=_pairs(cells) if any(isinstance(cell, tuple) and len(cell) == 2 for cell in cells) else [cells],
        labels=read.names,
        split=[str(part) for part in listed(others["split"])] if "split" in others else None,
        groups=_groups("arrays", "group", listed(others["group"]), np.arange(n)) if "group" in others else None,
        group_name="group" if "group" in others else "",
        schema=_with_labels(Schema.asked(config), read),
        notes=list(read.notes),
    )
    shape = f" {cells.shape}" if isinstance(cells, np.ndarray) else ""
    return replace(rows, file="in memory", source=f"{rows.words}{shape}")


def _one_column(name: str, cells: Any) -> Any:
    """A column of labels, splits or groups, also as a frame with one, or of labels with one for each class."""
    frame = columns_of(cells)
    if frame is None:
        return column(name, cells)
    columns = [frame[own] for own in (*frame, *frame.unreadable)]
    if len(columns) == 1:
        return columns[0]
    entries = np.array([listed(cells) for cells in columns], dtype=object).T
    if not set(entries.ravel().tolist()) <= {0, 1}:
        raise RequestError(f"{name} is a frame with the columns {some(list(frame))}; give one of them")
    return entries.astype(np.int64)


def _pairs(cells: Any) -> list[Any]:
    columns = pair_columns("arrays", cells)
    if any(map(are_numbers, columns)):
        raise RequestError("x: tuples are pairs of sequences, and these hold single numbers; give lists")
    return columns


def _refuse_second_label(frame: Frame, labels: Any, config: TaskConfig) -> None:
    """Refuse a frame that holds the labels too, which would be steps."""
    given, axes = list(map(spelling, listed(labels))), axes_among(list(frame))
    for name, cells in frame.items():
        named = name == config.label or (name.lower() in LABEL_NAMES and name not in axes)
        if named or (codes_of(cells) is not None and list(map(spelling, listed(cells))) == given):
            raise RequestError(f"the frame has the column '{name}' and y is given, too; drop it, or leave y out")


def rows_of_table(where: Path | str, table: Table, config: TaskConfig, training: Schema | None = None) -> Rows:
    """The rows of a table, their cells as they stand there.

    Args:
        training: the schema of the training rows, which holds for these, too; None decides it.

    Raises:
        RequestError: the columns asked for cannot be used, are missing, or can be taken two ways.
    """
    notes = list(table.notes)
    if not len(table) and not table.unreadable:
        refuse(where, None, "there are no rows; give one or more")
    if training is None:
        schema = replace(recognised(where, table, config, notes), source=table.source)
    else:
        check_source(where, table, training)
        schema = replace(training, split=None)  # all rows of a test file are for testing
        if schema.label not in table.columns and schema.label not in table.unreadable:
            refuse(where, None, f"no column '{schema.label}' for the class; the columns are {some(table.names)}")
    used = {*schema.cells, *schema.roles.values()}
    for name in (name for name in schema.roles.values() if name not in (*table.names, *table.unreadable)):
        refuse(where, None, f"column '{name}' is missing, which training has; the columns are {some(table.names)}")
    shapes = {name: _shape(cells) for name, cells in table.columns.items() if name in used}
    one = next(iter(shapes))
    for name, shape in shapes.items():
        if shape[0] != shapes[one][0]:
            both = f"{one} {shapes[one]} and {name} {shape}"
            refuse(where, None, f"{both} have not the same number of rows; a row is a sequence and its class")
    for name in (name for role, name in schema.roles.items() if role != "label"):
        plain_codes(where, name, table.columns[name])
    label_name = schema.roles["label"]
    columns, first = sequence_columns(where, table.columns, schema)
    plain = {role: table.columns[name] for role, name in schema.roles.items() if role in ("label", "split", "group")}
    if schema.series is not None:
        plain = {role: one_a_series(where, table, schema, role) for role in plain}
        notes.append(f"each row is a time step; column {schema.series} groups them into {len(first)} sequences")
    asked = config.unlabelled if training is None else schema.unlabelled or CLASS_OPTION
    labels = read_labels(
        where, label_name, plain["label"], asked, typed=table.typed, training=training is None, decimal=schema.decimal
    )
    if training is None:
        schema = _with_labels(schema, labels)
        notes += labels.notes
    group_name = schema.group or ""
    unused = [n for n in (*table.names, *table.unreadable) if n not in used and not INDEX_NAMES.fullmatch(n)]
    shared = perhaps_groups(where, table, unused, schema.series) if training is None and not group_name else []
    if shared:
        one = f"{shared[0]} has the same value" if len(shared) == 1 else f"{some(shared)} have the same values"
        notes.append(
            f"{one} in several rows; if new data will have other ones (persons, documents), give --group {shared[0]}"
        )
    return Rows(
        columns=columns,
        labels=labels.names,
        groups=_groups(where, group_name, listed(plain["group"]), first) if group_name else None,
        group_name=group_name,
        split=[str(cell or "") for cell in listed(plain["split"])] if "split" in plain and training is None else None,
        numbers=np.arange(len(first)) if table.numbers is None or schema.series else table.numbers,
        file=str(getattr(where, "name", where)),
        source=f"{'pairs' if schema.pair else 'sequence'} from {_named(table, schema)}",
        ignored=unused,
        perhaps_group=shared,
        grid=table.grid,
        notes=notes,
        schema=schema,
    )


def check_source(where: Path | str, table: Table, schema: Schema) -> None:
    """Refuse a folder of other recordings or images than those of training."""
    if table.source and schema.source and table.source != schema.source:
        refuse(where, None, f"holds {table.source}, and those of training are {schema.source}; convert them")


def rows_without_labels(where: Path | str, table: Table, training: Rows) -> Rows:
    """The rows of a table whose labels, if it has any, are not read; its columns as ``training`` has them.

    Raises:
        RequestError: a column is missing, or cannot be used.
    """
    schema = replace(training.schema, label=None, split=None, group=None)
    check_source(where, table, schema)
    for name in (*schema.cells, *schema.roles.values()):
        if name not in table.columns and name not in table.unreadable:
            refuse(where, None, f"column '{name}' is missing, which the first file has; there are {some(table.names)}")
    columns, first = sequence_columns(where, table.columns, schema)
    return replace(
        training,
        columns=columns,
        labels=[None] * len(first),
        split=None,
        numbers=np.arange(len(first)),
        notes=list(table.notes),
        schema=schema,
    )


def _groups(where: Path | str, name: str, cells: Sequence[Any], first: NDArray[np.int64]) -> list[str]:
    """What each sequence shares with others; ``first`` are the rows where they begin."""
    groups = list(map(spelling, cells))
    if None in groups:
        problem = f"column '{name}' says nothing of what the row shares with others"
        refuse(where, int(first[groups.index(None)]), f"{problem}; fill it, or remove the row")
    return [group for group in groups if group is not None]


def _with_labels(schema: Schema, labels: Labels) -> Schema:
    return replace(schema, unlabelled=labels.unlabelled, label_type=labels.label_type, written=dict(labels.written))


def _named(table: Table, schema: Schema) -> str:
    """The columns of the sequence, in words."""
    if schema.form == "whole":
        both = " and ".join(schema.cells)
        cells = table.columns[schema.sequence[0]]
        return f"array {both} {cells.shape}" if isinstance(cells, np.ndarray) else f"column {both}"
    if len(schema.sequence) < 3:
        return f"columns {' and '.join(schema.sequence)}"
    return f"columns {schema.sequence[0]} .. {schema.sequence[-1]}"


def _shape(cells: Any) -> tuple[int, ...]:
    return cells.shape if isinstance(cells, np.ndarray) else (len(cells),)


def one_a_series(where: Path | str, table: Table, schema: Schema, role: str) -> list[Any]:
    """The label, split or group of each series, which is that of all of its rows."""
    name, series = schema.roles[role], schema.roles["series"]
    cells, numbers = listed(table.columns[name]), plain_codes(where, series, table.columns[series]).tolist()
    one: dict[int, Any] = {}
    for row, (number, cell) in enumerate(zip(numbers, map(spelling, cells), strict=True)):
        if cell is not None and one.setdefault(number, cell) not in (None, cell):
            both, which = " and ".join(sorted({one[number], cell})), listed(table.columns[series])[row]
            refuse(where, row, f"series '{which}' has {both} in column '{name}'; give each series one")
        one[number] = one.get(number) or cell
    return list(one.values())
