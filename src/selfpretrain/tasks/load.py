"""A task by its name: a built-in one, or a file."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.config import TaskConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.events import Watch, ignore
from selfpretrain.serial import from_dict, to_dict
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.assemble import Material, assemble
from selfpretrain.tasks.builtin import BuiltinTask, DrawnTask, FiledTask, Made, builtin_tasks
from selfpretrain.tasks.checks import check_lengths
from selfpretrain.tasks.files import load_file, task_of_arrays
from selfpretrain.tasks.folder import VARIABLE, data_folder
from selfpretrain.tasks.parsing import parse_cells
from selfpretrain.tasks.pieces import drawn_or_found
from selfpretrain.tasks.tables import EXTENSIONS
from selfpretrain.tasks.task import Posterior, Task

OF_FILES = ("sequence", "pair", "label", "split", "series", "time", "kind", "test")


def load_task(
    task: Any = "proximity", y: Any = None, *, workers: int = 1, watch: Watch = ignore, **options: Any
) -> Task:
    """A built-in task, a file of labelled sequences, or sequences in memory.

    Args:
        task: a built-in task's name (``selfpretrain data list``), a file, or a whole ``TaskConfig``; or, with ``y``,
            sequences: (N, T), (N, T, C), or a list of strings, lists or arrays of any lengths; tuples (first, second)
            are pairs.
        y: (N,) classes of sequences in memory; None or -1 are rows without a label.
        workers: processes that draw a task whose rows take long.
        watch: gets their progress.
        **options: fields of ``TaskConfig``, or options of the built-in task; with ``y``, ``split`` is a list of train,
            val or test.

    Raises:
        RequestError: no such task or file, an option that does not apply, or data that cannot be used; the message
            names the file, the row or the option, and the remedy.

    >>> load_task("proximity", sequences=200, length=16).train.x.shape
    (140, 16)
    """
    if y is not None:
        split = options.pop("split", None)
        for name in ("sequence", "pair", "label", "series", "time", "test"):
            if options.get(name) is not None:
                raise SettingError(name, options[name], "is for files; sequences in memory come with their labels")
        return task_of_arrays(task, y, replace(TaskConfig(data="arrays"), **options), split)
    if not isinstance(task, str | Path | TaskConfig):
        raise RequestError("sequences in memory need their labels: load_task(x, y)")
    config = task if isinstance(task, TaskConfig) else TaskConfig(data=str(task))
    own = {field.name for field in fields(TaskConfig)}
    general = {name: value for name, value in options.items() if name in own}
    special = {name: value for name, value in options.items() if name not in own}
    config = replace(config, **{"options": config.options | special, **general})
    known = builtin_tasks()
    if config.data in known:
        return _build(known[config.data], config, workers, watch)
    path = Path(config.data)
    if path.suffix.lower() not in EXTENSIONS and not os.path.lexists(path):
        raise RequestError(f"DATA '{config.data}' is neither a built-in task ({', '.join(known)}) nor a file")
    of_tasks = config.options if config.data_dir is None else {**config.options, "data_dir": config.data_dir}
    for name, value in of_tasks.items():
        raise SettingError(name, value, f"applies to built-in tasks only, and DATA is the file {config.data}")
    return load_file(path, config)


def rule_of(cls: type[BuiltinTask], config: TaskConfig) -> BuiltinTask:
    """A built-in task with the options of a request.

    Raises:
        SettingError: an option that it has not, or that is for files.
    """
    valid = [field.name for field in fields(cls)]
    strangers = [name for name in config.options if name not in valid]
    elsewhere = OF_FILES if issubclass(cls, FiledTask | DrawnTask) else (*OF_FILES, "data_dir")
    strangers += [name for name in elsewhere if getattr(config, name) is not None]
    if strangers:
        value = config.options.get(strangers[0], getattr(config, strangers[0], None))
        known = ", ".join(valid) or "none"
        raise SettingError(strangers[0], value, f"does not apply to the task '{cls.name}'; its options: {known}")
    return from_dict(cls, config.options)


def made_of(rule: BuiltinTask, config: TaskConfig, workers: int, watch: Watch) -> Made:
    """Its sequences: made by its rule, or read from the folder of data.

    Raises:
        RequestError: they are not there; the message says what to get.
    """
    folder = data_folder(config.data_dir)
    if isinstance(rule, DrawnTask):
        return drawn_or_found(rule, config, folder, workers, watch)
    if not isinstance(rule, FiledTask):
        return rule.build(numpy_stream(config.data_seed, "data"))
    made = rule.read(folder)
    if made is None:
        where = f"--data-dir or {VARIABLE} names another folder"
        raise RequestError(f"{rule.name}: its data are not in {folder}; put there {rule.wants} ({where})")
    return made


def _build(cls: type[BuiltinTask], config: TaskConfig, workers: int, watch: Watch) -> Task:
    rule = rule_of(cls, config)
    made = made_of(rule, config, workers, watch)
    options = to_dict(rule)
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())
    sequences = parse_cells(cls.name, list(made.x), made.kind)
    check_lengths(cls.name, sequences)
    material = Material(
        name=cls.name,
        kind=made.kind,
        sequences=sequences,
        labels=[made.classes[label] for label in made.y],
        classes=made.classes,
        grid=cls.grid,
        split=made.split,
        longest=None,
        per_row=made.per_row,
        notes=[f"built-in task {cls.name}" + (f": {said}" if said else ""), *made.notes],
    )
    task = assemble(cls.name, material, replace(config, options=options))
    return replace(task, posterior=_of_ids(rule, task))


def _of_ids(rule: BuiltinTask, task: Task) -> Posterior | None:
    """What the rule says of hidden ids: the same as of its symbols 0, 1, ... K-1, unless training rows lack one."""
    posterior = rule.posterior
    if posterior is None:
        return None
    symbols = posterior(np.full((1, 1), -1)).shape[-1]
    return posterior if task.codec.vocabulary == tuple(map(str, range(symbols))) else None
