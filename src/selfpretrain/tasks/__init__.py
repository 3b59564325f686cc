"""From bytes on disk, or a built-in rule, to a Task: sequences, labels and splits."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.config import BUILTIN_TASKS, TaskConfig
from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.builtin import MAKERS
from selfpretrain.tasks.checks import check_parts
from selfpretrain.tasks.files import load_file
from selfpretrain.tasks.tables import EXTENSIONS
from selfpretrain.tasks.task import SHARES, UNLABELLED, Split, Task, standardised, stratified_split

__all__ = ["UNLABELLED", "Split", "Task", "load_task"]


def load_task(task: str | Path | TaskConfig = "proximity", **options: Any) -> Task:
    """A built-in task or a file of labelled sequences.

    Args:
        task: a name (proximity, digits, noise, skew), a file, or a whole configuration.
        **options: fields of ``TaskConfig``.

    Raises:
        RequestError: no such task or file, an option that does not apply, or data that cannot be used; the message
            names the file, the row or the option, and the remedy.

    >>> load_task("proximity", sequences=200, length=16).train.x.shape
    (140, 16)
    """
    config = replace(task, **options) if isinstance(task, TaskConfig) else TaskConfig(data=str(task), **options)
    if config.data in BUILTIN_TASKS:
        return _whole(config.data, _built_in(config), config)
    path = Path(config.data)
    if path.suffix.lower() not in EXTENSIONS and not os.path.lexists(path):
        raise RequestError(f"DATA '{config.data}' is neither a built-in task ({', '.join(BUILTIN_TASKS)}) nor a file")
    config.file_options()
    return _whole(path, load_file(path, config), config)


def _whole(where: Path | str, task: Task, config: TaskConfig) -> Task:
    check_parts(where, task)
    return replace(task, config=config)


def _built_in(config: TaskConfig) -> Task:
    options = config.builtin_options()
    kind, classes, x, y = MAKERS[config.data](numpy_stream(config.data_seed, "data"), **options)
    cut = min(config.max_length, x.shape[1])
    rows = Split(x[:, :cut], np.full(len(y), cut, dtype=np.int64), y)
    train, val, test = (rows.rows(part) for part in stratified_split(rows, SHARES, config.data_seed))
    said = [f"{name.replace('_', ' ')} {value}" for name, value in options.items()]
    notes = [f"built-in task {config.data}: {', '.join(said)}" if said else f"built-in task {config.data}"]
    if cut < x.shape[1]:
        notes.append(f"{len(y)} sequences were longer than --max-length {cut} and were cut")
    vocabulary = tuple(map(str, range(int(options["symbols"])))) if kind == "symbols" else ()
    made = Task(config.data, kind, classes, vocabulary, train, val, test, notes=tuple(notes))
    return standardised(made) if kind == "values" else made
