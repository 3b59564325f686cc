"""The built-in tasks as a person meets them: what each is, and its sequences as a file that ``compare`` reads."""

import contextlib
import inspect
import io
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.events import Watch, ignore
from selfpretrain.options import flag
from selfpretrain.storage import own_folder, remove_half_written, write_atomically
from selfpretrain.tasks.builtin import BuiltinTask, DrawnTask, FiledTask, Made, builtin_tasks
from selfpretrain.tasks.folder import data_folder
from selfpretrain.tasks.load import load_task, made_of, rule_of
from selfpretrain.tasks.parsing import parse_cells
from selfpretrain.tasks.pieces import RECORD, drawn, pieces_beside, record_in, record_of
from selfpretrain.tasks.splitting import PARTS, parts_of, row_groups

DESCRIBED = 2000
"""Sequences of which statistics are given, where a task makes more (ours)."""
SECOND = "sequence2"
"""The column of a pair's second sequence in a file that is made here."""
DESCRIBED_SECONDS, FEWEST = 20.0, 20
"""Time for which rows are drawn to be described, and their least number (ours)."""


def listed(data_dir: Path | None = None) -> list[str]:
    """A line for each task: name, state, size and what it is; and what to get where it needs data that are not there.

    A task is "made" by its rule, "ready" in the folder of data, or "missing" there.
    """
    folder, lines = data_folder(data_dir), []
    for name, cls in builtin_tasks().items():
        drawn_before = issubclass(cls, DrawnTask) and (folder / f"{name}.npz").exists()
        there = cls.is_there(folder) if issubclass(cls, FiledTask) else drawn_before
        state = "ready" if there else "missing" if issubclass(cls, FiledTask) else "made"
        lines.append(f"{name:21s} {state:8s} {cls.size:22s} {_rules(cls).splitlines()[0]}")
        if issubclass(cls, FiledTask) and not there:
            lines.append(f"{'':21s} not in {folder}; put there {cls.wants}")
    return lines


def described(config: TaskConfig, *, workers: int = 1, watch: Watch = ignore) -> str:
    """Rules, source, options, licence, and statistics of a task.

    Raises:
        RequestError: there is no such task, or an option that it has not.
    """
    cls = _named(config.data)
    own: dict[str, Any] = {field.name: field.default for field in fields(cls)}
    most = DESCRIBED
    if issubclass(cls, DrawnTask):
        most = max(FEWEST, min(most, int(DESCRIBED_SECONDS / cls().seconds_each)))
    fewer = {"sequences": min(most, own["sequences"])} if "sequences" in own else {}
    options = fewer | dict(config.options)
    task = load_task(replace(config, options=options), workers=workers, watch=watch)
    whole = task.train + task.val + task.test
    shares = np.bincount(whole.y, minlength=len(task.classes)) / len(whole)
    lengths = np.percentile(whole.lengths, [0, 5, 50, 95, 100]).round().astype(int)
    lines = [
        _rules(cls),
        "",
        *(f"{flag(name):14s} {default}" for name, default in own.items()),
        "",
        f"licence: {cls.licence}",
        f"statistics of {len(whole)} {task.describe().rows}:",
        f"  {task.kind}, {len(task.train)} for training, {len(task.val)} for validation, {len(task.test)} for the test",
        f"  positions, least, 5%, median, 95%, most: {', '.join(map(str, lengths))}",
        f"  classes: {', '.join(f'{name} {share:.3f}' for name, share in zip(task.classes, shares, strict=True))}",
        f"  always the commonest class of the test: {task.majority:.3f}",
    ]
    return "\n".join(lines)


def make_file(config: TaskConfig, out: Path, *, workers: int = 1, watch: Watch = ignore) -> str:
    """Write the sequences of a task, before anything is coded.

    Symbols and bytes become JSON lines with a sequence (of a pair, two), a label and a split; values an NPZ with
    x_train (N, T) or (N, T, C), y_train, and the same for val and test. So a comparison of the file has the splits of
    the task. What takes long is kept in pieces beside the file until it is whole, so that the same request goes on.

    Returns:
        What was written, in a line.

    Raises:
        RequestError: there is no such task, the file's ending does not fit, or what takes long would replace a file.
    """
    cls = _named(config.data)
    if out.suffix not in (".jsonl", ".npz"):  # before anybody waits for the sequences
        raise SettingError("out", out, "is no file to make; name one that ends in .jsonl, or in .npz for values")
    rule = rule_of(cls, config)
    if isinstance(rule, DrawnTask):
        return _make_drawn(rule, config, out, workers, watch)
    made = made_of(rule, config, workers, watch)
    wanted = ".npz" if made.kind == "values" else ".jsonl"
    if out.suffix != wanted:
        raise SettingError("out", out, f"does not fit {made.kind}; name a file that ends in {wanted}")
    own_folder(out.parent)
    groups = row_groups(parse_cells(cls.name, list(made.x), made.kind), made.per_row)
    parts = parts_of(groups, made.y, made.split, config.data_seed)
    write_atomically(out, _archive(made, parts) if made.kind == "values" else _lines(made, parts))
    if made.per_row == 1:
        return f"{out}: {len(made.y)} sequences of {cls.name}"
    return f"{out}: {len(made.y)} pairs of {cls.name}; compare them with --pair {SECOND}"


def _make_drawn(rule: DrawnTask, config: TaskConfig, out: Path, workers: int, watch: Watch) -> str:
    if out.suffix != ".npz":
        raise SettingError("out", out, "does not fit values; name a file that ends in .npz")
    record, said = record_of(rule, config.data_seed), f"{out}: {rule.sequences} sequences of {rule.name}"
    if out.exists():
        if (there := record_in(out)) == record:
            return f"{said}, made before"
        holds = "another file" if there is None else f"what took long, too ({there})"
        raise SettingError("out", out, f"is there and holds {holds}; name another file, or remove it")
    own_folder(out.parent)
    keep = pieces_beside(out, rule, config.data_seed)
    lock = filelock.FileLock(keep / ".lock", timeout=0)
    try:
        held = lock.acquire()
    except filelock.Timeout:
        raise RequestError(f"{keep}: another selfpretrain is at work there; wait for it") from None
    with held:
        remove_half_written(keep)
        made = rule.made(*drawn(rule, config.data_seed, workers=workers, watch=watch, keep=keep))
        parts = np.array([PARTS.index(part) for part in made.split or ()])
        write_atomically(out, _archive(made, parts, **{RECORD: np.array(record)}))
        for path in (*keep.glob("*.npz"), Path(lock.lock_file)):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something of a person's lies in it
        keep.rmdir()
    return said


def _lines(made: Made, parts: NDArray[np.int64]) -> Iterator[bytes]:
    names = ("sequence", SECOND)[: made.per_row]
    cells = [x if isinstance(x, str) else x.tolist() for x in made.x]
    for row, (y, part) in enumerate(zip(made.y, parts, strict=True)):
        of = cells[row * made.per_row : (row + 1) * made.per_row]
        said = {**dict(zip(names, of, strict=True)), "label": made.classes[y], "split": PARTS[part]}
        yield json.dumps(said).encode() + b"\n"


def _archive(made: Made, parts: NDArray[np.int64], /, **more: NDArray[Any]) -> bytes:
    whole = {"x": np.asarray(made.x), "y": np.array(made.classes)[made.y]}
    arrays = {f"{name}_{part}": _rows(a, parts == k) for k, part in enumerate(PARTS) for name, a in whole.items()}
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays, **more)
    return data.getvalue()


def _rows(array: NDArray[Any], chosen: NDArray[np.bool_]) -> NDArray[Any]:
    """The chosen rows: a view where they follow each other, since images come by the gigabyte."""
    rows = np.flatnonzero(chosen)
    in_line = len(rows) and rows[-1] - rows[0] + 1 == len(rows)
    return array[rows[0] : rows[-1] + 1] if in_line else array[rows]


def _named(name: str) -> type[BuiltinTask]:
    known = builtin_tasks()
    if name not in known:
        raise RequestError(f"'{name}' is no built-in task; they are {', '.join(known)}")
    return known[name]


def _rules(cls: type[BuiltinTask]) -> str:
    return inspect.getdoc(cls) or ""
