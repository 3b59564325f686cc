"""From the cells of the label column to class names: one class, one spelling."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.data.columns import is_plain, listed, some
from selfpretrain.data.schema import LabelType, Schema
from selfpretrain.data.spelling import NO_NUMBER, as_number, one_comma, refuse, spelling

NO_LABEL = "-1"
"""Among whole numbers the name of a row without a label, as in scikit-learn, beside two classes or more."""
CLASS_OPTION = "none"
"""What ``--unlabelled`` is where every value is a class."""
FEW_NUMBERS, MANY_NUMBERS = 8, 64
"""More different numbers than the first look continuous if there are not two rows of each; if they are not whole, more
than the second do (ours)."""
_HALF = re.compile(r"[\ud800-\udfff]")
"""Half of a character, as JSON can hold it."""
ONE_CLASS = "this tool gives every row one class"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of rows.

    Attributes:
        names: (N,) class names; None where a row has none.
        label_type, unlabelled, written: as in ``Schema``.
        notes: for the reader.
    """

    names: list[str | None]
    label_type: LabelType = "str"
    unlabelled: str | None = None
    written: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_labels(
    where: Path | str,
    name: str,
    column: Any,
    unlabelled: str | None = None,
    *,
    typed: bool,
    training: bool = True,
    decimal: str = ".",
) -> Labels:
    """Class names of a column of cells: texts, numbers, lists of one; or an array (N,), (N, 1) or one-hot (N, K).

    Args:
        unlabelled: the class name that means "no label", or ``CLASS_OPTION``; None takes -1 among whole numbers for it.
        typed: whether its source tells texts from numbers, as a CSV does not.
        training: whether they decide how labels are read; those of a test file do not.
        decimal: the sign before the fraction of a number in a text.

    Raises:
        RequestError: rows with several labels, or a target that looks continuous.
    """
    given = unlabelled is not None
    cells, notes = _one_a_row(where, name, column)
    if decimal == ",":
        cells = [cell.replace(",", ".") if one_comma(cell) else cell for cell in cells]
    for row, cell in enumerate(cells):
        if isinstance(cell, str) and _HALF.search(cell):
            refuse(where, row, f"column '{name}' holds half a character; mend the text")
    keys = [cell if isinstance(cell, str) else repr(cell) for cell in cells]
    distinct = dict(zip(keys, cells, strict=True))
    spelt = {key: spelling(cell) for key, cell in distinct.items()}
    if not typed and {str(name).lower() for name in spelt.values() if name} <= {"true", "false"}:
        spelt = {key: name and name.title() for key, name in spelt.items()}
    names = [spelt[key] for key in keys]
    known = Counter(label for label in names if label is not None)
    odd = sorted(label for label in known if label.lower() in NO_NUMBER)
    if odd and training:
        verb = "is" if len(odd) == 1 else "are"
        notes.append(f"{some(odd)} {verb} read as a class; --unlabelled {odd[0]} says it is none")
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
        if given and training and unlabelled not in known:
            problem = f"--unlabelled {unlabelled}: no row has that class; the classes are {some(sorted(known))}"
            refuse(where, None, problem)
        names = [None if label == unlabelled else label for label in names]
        known.pop(unlabelled or "", None)
    if training:
        _refuse_continuous(where, name, known)
    return Labels(
        names=names,
        label_type=_type(written, known, typed=typed),
        written=_written(written),
        unlabelled=None if unlabelled == CLASS_OPTION else unlabelled,
        notes=tuple(notes),
    )


def typed_classes(classes: Sequence[str], schema: Schema) -> Any:
    """Classes as an array in the type and the spelling of the labels.

    >>> typed_classes(("0", "1"), Schema(label_type="int")).tolist()
    [0, 1]
    """
    if schema.label_type == "bool":
        return np.array([name == "True" for name in classes])
    if schema.label_type == "str":
        return np.array([schema.written.get(name, name) for name in classes])
    return np.array([(int if schema.label_type == "int" else float)(name) for name in classes])


def _written(cells: Sequence[Any]) -> dict[str, str]:
    """The first spelling of each class that is a text and not spelt as its name."""
    first = {spelling(cell): cell for cell in reversed(cells) if isinstance(cell, str)}
    return {name: cell for name, cell in reversed(first.items()) if name is not None and cell != name}


def _one_a_row(where: Path | str, name: str, column: Any) -> tuple[list[Any], list[str]]:
    """One plain cell a row, and notes; of lists the single entry, of one-hot rows the place of the 1."""
    cells = listed(column)
    lists = [row for row, cell in enumerate(cells) if not is_plain(cell)]
    if not lists:
        return cells, []
    rows = [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]
    if all(cell is None or (isinstance(cell, list | tuple) and len(cell) == 1 and is_plain(cell[0])) for cell in rows):
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
    if None in map(as_number, known):
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
    if all(map(_is_whole, known)):
        return "int"
    is_code = any(re.match(r"[+-]?0\d", label) for label in known)
    return "str" if is_code or None in map(as_number, known) else "float"
