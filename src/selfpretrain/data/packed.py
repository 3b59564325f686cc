"""Text files that may be compressed. What they unpack to is bounded by the memory that is free."""

import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow

from selfpretrain.data.spelling import refuse
from selfpretrain.machine import memory_bytes

PACKED: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".zst": lambda path: pyarrow.input_stream(str(path), compression="zstd"),
}
"""What may follow the extension of a text file, and what unpacks it."""
MOST_BYTES = 2**34
"""A text that is read into memory has at most so many bytes, (ours)"""
TIMES = 12
"""and takes so many times as many on its way to a task (ours)."""


def extension(path: Path) -> str:
    """The extension that says what a file is, without that of its compression."""
    return (path.with_suffix("") if path.suffix.lower() in PACKED else path).suffix.lower()


class Unpacked(io.RawIOBase):
    """The bytes of a text file, unpacked; only so many are read at a time as fit into memory, and more are refused."""

    def __init__(self, path: Path) -> None:
        unpack = PACKED.get(path.suffix.lower())
        self.path, self.file = path, path.open("rb") if unpack is None else unpack(path)
        self.most = min(MOST_BYTES, (memory_bytes() or TIMES * MOST_BYTES) // TIMES)
        self.left = self.most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.file.read(min(len(buffer), self.left + 1))
        self.left -= len(piece)
        if self.left < 0:
            at_once = f"more than {self.most / 1e9:.1f} GB of text at once, which is what fits into memory here"
            refuse(self.path, None, f"{at_once}; give fewer rows, or save it as Parquet")
        buffer[: len(piece)] = piece
        return len(piece)

    def start_anew(self) -> None:
        """What was read so far is no longer held."""
        self.left = self.most

    def close(self) -> None:
        self.file.close()
        super().close()
