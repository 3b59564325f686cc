"""A task by its name: a built-in one, a file, or sequences in memory."""

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.config import TaskConfig
from selfpretrain.data.builtin import BuiltinTask, Source, data_folder
from selfpretrain.data.formats import NO_CLASSES
from selfpretrain.data.memory import TAKEN, columns_of
from selfpretrain.data.packed import extension
from selfpretrain.data.read import rows_in_memory, rows_of_table, rows_without_labels
from selfpretrain.data.rows import assemble, parsed, with_more_rows, with_test_rows
from selfpretrain.data.table import EXTENSIONS, read_table
from selfpretrain.data.task import Task
from selfpretrain.errors import RequestError, SettingError, did_you_mean
from selfpretrain.files import from_dict, reading, to_dict
from selfpretrain.machine import require_memory
from selfpretrain.registry import TASKS
from selfpretrain.watch import Watch, ignore

TABLE_OPTIONS = ("sequence", "pair", "label", "split", "group", "series", "time")
TEXT_OPTIONS = ("header", "separator", "encoding")
ROW_OPTIONS = ("kind", "decimal", "dates", "axes", "unlabelled", "fold_case", "allow_missing")
"""Options of tables with named columns, of text files, and of all rows that are not made by a built-in task."""
BYTES_A_POSITION = 16
"""A position takes at least so many while a task is made (ours)."""
FILE_OPTIONS = (*TABLE_OPTIONS, *TEXT_OPTIONS, *ROW_OPTIONS, "test", "unlabelled_file")
"""Options that a built-in task does not have."""


def load_task(
    task: Any = "proximity", y: Any = None, *, workers: int = 1, watch: Watch = ignore, **options: Any
) -> Task:
    """A built-in task, a file of labelled sequences, or sequences in memory.

    Args:
        task: a built-in task's name (``selfpretrain data list``), a file, or a whole ``TaskConfig``. A frame of pandas,
            polars or Arrow, or a dict of columns, is read as a file is. Or, with ``y``, sequences: an array or
            a tensor (N, T) or (N, T, C), or a list of strings, lists or arrays of any lengths; tuples are pairs.
        y: (N,) classes of sequences in memory; None and NaN are rows without a label, and -1 beside whole numbers.
        workers: processes that draw a task whose rows take long.
        watch: gets their progress.
        **options: fields of ``TaskConfig``, or options of the built-in task; with ``y``, ``split`` is a list of train,
            val or test, and ``group`` may be a list, too.

    Raises:
        RequestError: no such task or file, an option that does not apply, or data that cannot be used; the message
            names the file, the row or the option, and the remedy.

    >>> load_task("proximity", sequences=200, length=16).train.x.shape
    (140, 16)
    """
    own = {field.name for field in fields(TaskConfig)}
    if not isinstance(task, str | Path | TaskConfig):
        rows_given = list(task) if isinstance(task, Iterator) else task
        frame = columns_of(rows_given)
        split = options.pop("split", None) if y is not None else None
        named = isinstance(options.get("group"), str | int)
        if named and frame is None:
            raise SettingError("group", options["group"], "is no list; give a list with an entry for each row")
        group = None if y is None or named else options.pop("group", None)
        elsewhere = {
            "data",
            "options",
            "test",
            "unlabelled_file",
            "data_dir",
            *TEXT_OPTIONS,
            *(TABLE_OPTIONS if frame is None else ()),
        }
        for name in [name for name in options if name not in own - elsewhere]:
            listed = ", ".join(sorted(own - elsewhere | {"split", "group"}))
            raise SettingError(name, options[name], f"is no option of sequences in memory; they are {listed}")
        config = TaskConfig(data="arrays", **options)
        rows = rows_in_memory(rows_given if frame is None else frame, y, split, group, config)
        rows = parsed("arrays", rows, config)
        return replace(assemble("arrays", "arrays", rows, config), source=None)
    if y is not None:
        raise RequestError(f"labels y go with sequences in memory, and the data are {task}; give {TAKEN}")
    config = task if isinstance(task, TaskConfig) else TaskConfig(data=str(task))
    general = {name: value for name, value in options.items() if name in own}
    special = {name: value for name, value in options.items() if name not in own}
    config = replace(config, **{"options": {**config.options, **special}, **general})
    if config.data in TASKS:
        return _build(config, workers, watch)
    path = Path(config.data)
    if extension(path) not in EXTENSIONS and not os.path.lexists(path):
        problem = f"DATA '{config.data}' is neither a built-in task ({', '.join(TASKS)}) nor a file"
        raise RequestError(f"{problem}{did_you_mean(config.data, TASKS)}")
    of_tasks = config.options if config.data_dir is None else {**config.options, "data_dir": config.data_dir}
    for name, value in of_tasks.items():
        raise SettingError(name, value, f"applies to built-in tasks only, and DATA is the file {config.data}")
    with reading(path):
        table = read_table(path, config)
        if path.is_dir() and "label" not in table.columns:
            raise RequestError(f"{path}: {NO_CLASSES}")
        rows = parsed(path, rows_of_table(path, table, config), config)
    if config.test is not None:
        with reading(config.test):
            table = read_table(config.test, config)
            test = replace(rows_of_table(config.test, table, config, rows.schema), kind=rows.kind)
            rows = with_test_rows(path, rows, config.test, parsed(config.test, test, config))
    if config.unlabelled_file is not None:
        with reading(config.unlabelled_file):
            more = rows_without_labels(config.unlabelled_file, read_table(config.unlabelled_file, config), rows)
            rows = with_more_rows(config.unlabelled_file, rows, parsed(config.unlabelled_file, more, config))
    return assemble(path, path.resolve().stem, rows, config)


def rule_of(config: TaskConfig) -> BuiltinTask:
    """A built-in task with the options of a request.

    Raises:
        SettingError: no such task, an option that it does not have, or one that is for files.
    """
    cls = TASKS[config.data]
    valid = [field.name for field in fields(cls)]
    elsewhere = FILE_OPTIONS if cls.reads_folder else (*FILE_OPTIONS, "data_dir")
    strangers = {name: value for name, value in config.options.items() if name not in valid}
    defaults = {field.name: field.default for field in fields(TaskConfig)}
    strangers |= {name: value for name in elsewhere if (value := getattr(config, name)) != defaults[name]}
    for name, value in strangers.items():
        known = ", ".join(valid) or "none"
        raise SettingError(name, value, f"does not apply to the task '{cls.name}'; its options: {known}")
    rule = from_dict(cls, dict(config.options))
    require_memory(BYTES_A_POSITION * rule.positions, f"the task {cls.name}", "ask for fewer or shorter sequences")
    return rule


def source_of(config: TaskConfig, workers: int, watch: Watch) -> Source:
    """What a built-in task of this request is made with."""
    return Source(config.data_seed, data_folder(config.data_dir), workers, watch)


def _build(config: TaskConfig, workers: int, watch: Watch) -> Task:
    rule = rule_of(config)
    rows = rule.rows(source_of(config, workers, watch))
    options = to_dict(rule)
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())
    note = f"built-in task {rule.name}" + (f": {text}" if text else "")
    config = replace(config, options=options)
    rows = parsed(rule.name, replace(rows, grid=rule.grid, notes=[note, *rows.notes]), config)
    task, posterior = assemble(rule.name, rule.name, rows, config), rule.posterior
    if posterior is None:
        return task
    # The law is of symbols 0, 1, ... K-1; it is of no use where training rows lack one of them.
    symbols = posterior(np.full((1, 1), -1)).shape[-1]
    return replace(task, posterior=posterior if task.codec.vocabulary == tuple(map(str, range(symbols))) else None)
