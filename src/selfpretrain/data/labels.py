"""From the cells of the label column to class names: one class, one spelling."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.data.cells import as_number, refuse, spelling
from selfpretrain.data.reading import LabelType

NO_LABEL = "-1"
"""Among whole numbers the name of a row without a label, as in scikit-learn, beside two classes or more."""
CLASS_OPTION = "none"
"""What ``--unlabelled`` is where every value is a class."""
FEW_NUMBERS, MANY_NUMBERS = 8, 64
"""More different numbers than the first look continuous if there are not two rows of each; if they are not whole, more
than the second do (ours)."""
ONE_CLASS = "this tool gives every row one class"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of rows.

    Attributes:
        names: (N,) class names; None where a row has none.
        label_type: of the cells, as they were given.
        unlabelled: the name that was taken for "no label", if there was one.
        notes: for the reader.
    """

    names: list[str | None]
    label_type: LabelType = "str"
    unlabelled: str | None = None
    notes: tuple[str, ...] = ()


def read_labels(where: Path | str, name: str, column: Any, unlabelled: str | None = None, *, typed: bool) -> Labels:
    """Class names of a column of cells: texts, numbers, lists of one; or an array (N,), (N, 1) or one-hot (N, K).

    Args:
        where: for refusals.
        name: the column's.
        column: of cells.
        unlabelled: the class name that means "no label", or ``CLASS_OPTION``; None takes -1 among whole numbers for it.
        typed: whether its source tells texts from numbers, as a CSV does not.

    Raises:
        RequestError: rows with several labels, or a target that looks continuous.
    """
    cells, notes = _one_a_row(where, name, column)
    distinct = {cell if isinstance(cell, str) else repr(cell): cell for cell in cells}
    spelt = {key: spelling(cell) for key, cell in distinct.items()}
    names = [spelt[cell if isinstance(cell, str) else repr(cell)] for cell in cells]
    known = Counter(label for label in names if label is not None)
    written = [cell for key, cell in distinct.items() if spelt[key] is not None]
    if unlabelled is None and NO_LABEL in known and len(known) > 2 and all(map(_is_whole, known)):
        unlabelled = NO_LABEL
        others = " and ".join(sorted(known.keys() - {NO_LABEL}, key=float)[:2])
        notes.append(
            f"{known[NO_LABEL]} rows with -1 beside classes such as {others} are read as rows without a label; "
            f"--unlabelled {CLASS_OPTION} reads -1 as a class"
        )
    if unlabelled not in (None, CLASS_OPTION):
        unlabelled = spelling(unlabelled)
        names = [None if label == unlabelled else label for label in names]
        known.pop(unlabelled or "", None)
    _refuse_continuous(where, name, known)
    return Labels(
        names=names,
        label_type=_type(written, known, typed=typed),
        unlabelled=None if unlabelled == CLASS_OPTION else unlabelled,
        notes=tuple(notes),
    )


def typed_classes(classes: Sequence[str], label_type: LabelType) -> Any:
    """Class names as an array in the labels' own type.

    >>> typed_classes(("0", "1"), "int").tolist()
    [0, 1]
    """
    if label_type == "bool":
        return np.array([name == "True" for name in classes])
    return np.array(classes).astype({"int": np.int64, "float": np.float64, "str": np.str_}[label_type])


def _one_a_row(where: Path | str, name: str, column: Any) -> tuple[list[Any], list[str]]:
    """One plain cell a row, and notes; of lists the single entry, of one-hot rows the place of the 1."""
    cells = column.to_pylist() if hasattr(column, "to_pylist") else column
    cells = cells.tolist() if isinstance(cells, np.ndarray) else list(cells)
    lists = [row for row, cell in enumerate(cells) if isinstance(cell, list | tuple | dict | np.ndarray)]
    if not lists:
        return cells, []
    rows = [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]
    if all(cell is None or (isinstance(cell, list | tuple) and len(cell) == 1) for cell in rows):
        return [None if cell is None else cell[0] for cell in rows], []
    widths = {len(cell) if isinstance(cell, list | tuple) else 0 for cell in rows}
    if len(widths) == 1 and all(as_number(entry) in (0.0, 1.0) for cell in rows for entry in cell):
        ones = [[place for place, entry in enumerate(cell) if float(entry) == 1] for cell in rows]
        if all(len(places) == 1 for places in ones):
            note = f"{name} is one-hot with {widths.pop()} columns; the class of a row is the number of its column"
            return [places[0] for places in ones], [note]
    problem = f"column '{name}' holds a list of labels; {ONE_CLASS}, so keep one, or ask about each label by itself"
    refuse(where, lists[0], problem)


def _refuse_continuous(where: Path | str, name: str, known: Counter[str]) -> None:
    numbers = [number for label in known if (number := as_number(label)) is not None]
    if not known or len(numbers) < len(known):
        return
    rows, whole = sum(known.values()), all(map(_is_whole, known))
    too_few_rows = len(known) > FEW_NUMBERS and 2 * len(known) > rows
    if too_few_rows or (not whole and len(known) > MANY_NUMBERS):
        sort = "whole numbers" if whole else "numbers"
        problem = f"the target '{name}' looks continuous ({len(known)} different {sort} in {rows} rows)"
        refuse(where, None, f"{problem}; {ONE_CLASS}: name a class with --label, or cut the target into classes")


def _is_whole(name: str) -> bool:
    return re.fullmatch(r"-?(0|[1-9]\d*)", name, re.ASCII) is not None


def _type(written: Sequence[Any], known: Counter[str], *, typed: bool) -> LabelType:
    """The type of labels, by their cells; where texts and numbers look alike, by their spelling."""
    if typed and any(isinstance(cell, str) for cell in written):
        return "str"
    if all(isinstance(cell, bool) for cell in written) or (not typed and known.keys() <= {"True", "False"}):
        return "bool"
    if all(_is_whole(label) and len(label) < 19 for label in known):
        return "int"
    numbers = {label: as_number(label) for label in known}
    return (
        "float" if all(number is not None and spelling(number) == label for label, number in numbers.items()) else "str"
    )
