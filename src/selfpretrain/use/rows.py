"""The rows of a file that a saved model is used on, read as its training rows were."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from selfpretrain.classifier import Classifier
from selfpretrain.config import TaskConfig
from selfpretrain.data.columns import some
from selfpretrain.data.read import check_source
from selfpretrain.data.spelling import refuse
from selfpretrain.data.table import Table, tables
from selfpretrain.errors import SettingError

UNNAMED = (("sequence", "sequence2"), ("x", "x2"))
"""Columns of the sequence, and of a pair's second one, for a model that was trained on sequences without names."""


def tables_for(
    model: Classifier, path: Path, config: TaskConfig, *, whole: bool = False
) -> Iterator[tuple[Classifier, Table]]:
    """The tables in a file, piece by piece, each with the model that finds its columns there.

    A table with a row a time step is one piece, since a sequence can stand anywhere in it.

    Args:
        config: how a text is spelt; ``sequence`` and ``pair`` name the columns where the file has other names.

    Raises:
        RequestError: the file cannot be read, or lacks a column.
    """
    schema = model.codec.schema
    config = replace(config, data=str(path), decimal=schema.decimal)
    for table in tables(path, config, whole=whole or schema.series is not None):
        yield _with_names(model, path, table, config), table


def _with_names(model: Classifier, path: Path, table: Table, config: TaskConfig) -> Classifier:
    """The model with the names of the sequence's columns that the table has."""
    schema, per_row = model.codec.schema, model.codec.per_row
    check_source(path, table, schema)
    if schema.form != "whole" and config.sequence is not None:
        raise SettingError("sequence", config.sequence, "is of no use: the model finds the columns of its training")
    if config.pair is not None and per_row == 1:
        raise SettingError("pair", config.pair, "is of no use: a row of the model has one sequence")
    asked = [name for name in (config.sequence, config.pair) if name is not None]
    if len(asked) == 1 < per_row:
        given, other = ("sequence", "pair") if config.pair is None else ("pair", "sequence")
        raise SettingError(given, asked[0], f"and --{other} go together: a row of the model has two sequences")
    names = asked or schema.cells
    if not names:
        there = {*table.names, *table.unreadable}
        names = next((names[:per_row] for names in UNNAMED if there.issuperset(names[:per_row])), ())
        names = names or (table.names if len(table.names) == per_row == 1 else ())
    if not names:
        cure = "name the column of the sequence with --sequence" + (", and --pair" if per_row == 2 else "")
        refuse(path, None, f"the model's training rows had no column names; {cure}; there are {some(table.names)}")
    if missing := [name for name in names if name not in table.columns and name not in table.unreadable]:
        problem = f"column '{missing[0]}' is missing" if len(missing) == 1 else f"columns {some(missing)} are missing"
        cure = "; --sequence names it" if schema.form == "whole" else ""
        refuse(path, None, f"{problem}, which training has; the columns are {some(table.names)}{cure}")
    pair = names[1] if per_row == 2 else None
    schema = replace(schema, sequence=tuple(names[: len(names) - (per_row == 2)]), pair=pair)
    return replace(model, codec=replace(model.codec, schema=schema))
