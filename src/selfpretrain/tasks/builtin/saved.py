"""Data sets as Hugging Face's datasets saves them with save_to_disk: a folder for each split, of Arrow streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfpretrain.errors import RequestError


def saved_rows(folder: Path, columns: tuple[str, ...], source: str) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """The file and these columns of every row of a split.

    Args:
        folder: of the split.
        source: the data set's name there, for the cure.

    Raises:
        RequestError: there are no such files, or something else is in them.
    """
    import pyarrow

    files = sorted(folder.glob("*.arrow"))
    if not files:
        raise RequestError(f"{folder}: no .arrow file; save the whole data set again with save_to_disk")
    for path in files:
        try:
            with pyarrow.memory_map(str(path)) as stream, pyarrow.ipc.open_stream(stream) as batches:
                for batch in batches:
                    yield from ((path, row) for row in zip(*(batch[name].to_pylist() for name in columns), strict=True))
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            what = f"no stream with {' and '.join(columns)} as in {source}"
            raise RequestError(f"{path}: {what} ({error}); save it again") from None
