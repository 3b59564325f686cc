"""Clothes pixel by pixel: a stand-in for the task Image that anybody may pass on."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.base import FiledTask, Made, in_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIDE = 28
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True, kw_only=True)
class Fashion(FiledTask):
    """Fashion-MNIST: grey images of clothes, 784 pixels one by one, and what they show; no task of the Arena.

    The last 5,000 of the 60,000 training images are for validation (ours).

    Source: Xiao et al. (2017).
    """

    name = "fashion"
    size = "70,000 x 784"
    preset = "small"
    licence = "MIT"
    grid = (SIDE, SIDE)
    wants = "fashion-mnist, a folder with the four .gz files of Fashion-MNIST (Debian: dataset-fashion-mnist)"
    counts: ClassVar[tuple[int, int]] = (60_000, 10_000)
    """Training and test images, by which what is read is checked."""
    held_out: ClassVar[int] = 5_000

    @classmethod
    def is_there(cls, folder: Path) -> bool:
        """Whether it lies in the folder, or where Debian puts it."""
        return (folder / "fashion-mnist").exists() or DEBIAN.exists()

    def read(self, folder: Path) -> Made | None:
        """Read it from the folder, or from where Debian puts it."""
        import numpy as np

        if not self.is_there(folder):
            return None
        own = folder / "fashion-mnist"
        where = own if own.exists() else DEBIAN
        sizes = [(n, *shape) for n in self.counts for shape in ((SIDE, SIDE), ())]
        x_train, y_train, x_test, y_test = (
            read_idx(where / name, size) for name, size in zip(FILES, sizes, strict=True)
        )
        y = np.concatenate((y_train, y_test)).astype(np.int64)
        if len(y) and y.max() >= len(CLASSES):
            raise RequestError(f"{where}: a class is none of 0 to 9; get it again")
        split = in_order(len(y_train) - self.held_out, self.held_out, len(y_test))
        return Made("values", CLASSES, np.concatenate((x_train, x_test)).reshape(-1, SIDE * SIDE), y, split)


def read_idx(path: Path, size: tuple[int, ...]) -> "NDArray[np.uint8]":
    """An IDX file of bytes, compressed by gzip: two zeros, 8 for bytes, the number of axes, their sizes, the entries.

    Args:
        size: that it must have; no more than that is ever decompressed.

    Raises:
        RequestError: it is something else.
    """
    import numpy as np

    header = bytes((0, 0, 8, len(size))) + b"".join(n.to_bytes(4, "big") for n in size)
    expected = len(header) + int(np.prod(size))
    try:
        with gzip.open(path) as file:
            data = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"{path}: cannot be read ({error}); get it again") from None
    if len(data) != expected or not data.startswith(header):
        raise RequestError(f"{path}: is no IDX file of {' x '.join(map(str, size))} bytes; get it again")
    return np.frombuffer(data, dtype=np.uint8, offset=len(header)).reshape(size)
