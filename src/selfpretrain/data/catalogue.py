"""``selfpretrain data``: the built-in tasks listed and described, and their sequences as files for ``compare``."""

import inspect
import io
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.builtin import data_folder
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.load import load_task, rule_of, source_of
from selfpretrain.data.rows import Rows, parsed
from selfpretrain.data.sequences import consecutive, interleaved
from selfpretrain.data.split import PARTS, parts_of, row_groups
from selfpretrain.errors import SettingError
from selfpretrain.files import own_folder, write_atomically
from selfpretrain.registry import TASKS
from selfpretrain.watch import Watch, ignore

DESCRIBED = 2000
"""Statistics are given of at most this many sequences (ours)."""
SECOND = "sequence2"
"""The column of a pair's second sequence in a file that is made here."""


def listed(data_dir: Path | None = None) -> list[str]:
    """A line for each task with its name, state, size and purpose; and what to get where data are missing."""
    folder, lines = data_folder(data_dir), []
    for name, cls in TASKS.items():
        state, wants = cls.state(folder)
        lines.append(f"{name:21s} {state:8s} {cls.size:22s} {(inspect.getdoc(cls) or '').splitlines()[0]}")
        if wants:
            lines.append(f"{'':21s} not in {folder}; put there {wants}")
    return lines


def described(config: TaskConfig, *, workers: int = 1, watch: Watch = ignore) -> str:
    """Rules, source, options, licence, and statistics of a task.

    Raises:
        RequestError: there is no such task, or it does not have an option.
    """
    cls = TASKS[config.data]
    own: dict[str, Any] = {field.name: field.default for field in fields(cls)}
    fewer = {"sequences": min(cls.sample_size(DESCRIBED), own["sequences"])} if "sequences" in own else {}
    task = load_task(replace(config, options=fewer | dict(config.options)), workers=workers, watch=watch)
    whole = task.train + task.val + task.test
    shares = np.bincount(whole.y, minlength=len(task.classes)) / len(whole)
    lengths = np.percentile(whole.lengths, [0, 5, 50, 95, 100]).round().astype(int)
    options = "".join(f"--{name.replace('_', '-'):12s} {default}\n" for name, default in own.items())
    return f"""{inspect.getdoc(cls)}

{options}
licence: {cls.licence}
statistics of {len(whole)} {task.describe().rows}:
  {task.kind}, {len(task.train)} for training, {len(task.val)} for validation, {len(task.test)} for the test
  positions, minimum, 5%, median, 95%, maximum: {", ".join(map(str, lengths))}
  classes: {", ".join(f"{name} {share:.3f}" for name, share in zip(task.classes, shares, strict=True))}
  accuracy of always answering the most common class of the test split: {task.majority:.3f}"""


def make_file(config: TaskConfig, out: Path, *, workers: int = 1, watch: Watch = ignore) -> str:
    """Write the sequences of a task as they are before encoding; returns what was written, in a line.

    Symbols and bytes become JSON lines with a sequence (of a pair, two), a label and a split; values an NPZ with
    x_train (N, T) or (N, T, C), y_train, and the same for val and test. So a comparison of the file has the splits of
    the task.

    Raises:
        RequestError: there is no such task, the file's ending does not fit, or a file that took long would be replaced.
    """
    if out.suffix not in {kind.file_suffix for kind in KINDS.values()}:  # before anybody waits for the sequences
        raise SettingError("out", out, "cannot be made; name a file that ends in .jsonl, or in .npz for values")
    rule = rule_of(config)

    def write_rows(rows: Rows, /, **more: NDArray[Any]) -> str:
        read = parsed(rule.name, rows, config)
        suffix = KINDS[read.kind or "symbols"].file_suffix
        if out.suffix != suffix:
            raise SettingError("out", out, f"does not fit {read.kind}; name a file that ends in {suffix}")
        own_folder(out.parent)
        _, y = rows.numbered_classes()
        parts = parts_of(row_groups(interleaved(read.columns), rows.per_row), y, read.split, config.data_seed)
        write_atomically(
            out, _archive(rows, parts, **more) if suffix == ".npz" else _lines(rows, read, parts), new=True
        )
        cure = "" if rows.per_row == 1 else f"; compare them with --pair {SECOND}"
        return f"{out}: {len(y)} {rows.words} of {rule.name}{cure}"

    return rule.make_file(source_of(config, workers, watch), out, write_rows)


def _lines(rows: Rows, read: Rows, parts: NDArray[np.int64]) -> Iterator[bytes]:
    for row, (label, part) in enumerate(zip(rows.labels, parts, strict=True)):
        cells = {}
        for name, raw, sequences in zip(("sequence", SECOND), rows.columns, read.columns, strict=False):
            if sequences.names is None:
                cells[name] = raw[row]  # a text
            elif isinstance(raw, np.ndarray):
                cells[name] = raw[row].tolist()
            else:
                cells[name] = [sequences.names[code] for code in sequences[row]]
        yield json.dumps({**cells, "label": label, "split": PARTS[part]}).encode() + b"\n"


def _archive(rows: Rows, parts: NDArray[np.int64], /, **more: NDArray[Any]) -> bytes:
    whole = {"x": np.asarray(rows.columns[0]), "y": np.array(rows.labels)}
    places = {part: consecutive(np.flatnonzero(parts == number)) for number, part in enumerate(PARTS)}
    arrays = {f"{name}_{part}": array[rows] for part, rows in places.items() for name, array in whole.items()}
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays, **more)
    return data.getvalue()
