"""Images: each kind of file in its true format, small; damage is refused in a line."""

import gzip
import io

import numpy as np
import pyarrow
import pytest
from PIL import Image as Picture

from selfpretrain.arena.image import Fashion, Image, ImageSmall, read_idx
from selfpretrain.data.builtin import Source
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

N_TRAIN, N_TEST = 40, 15


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Counts of the small files."""
    for cls in (Image, Fashion):
        monkeypatch.setattr(cls, "counts", (N_TRAIN, N_TEST))
        monkeypatch.setattr(cls, "taken", (30, 10, N_TEST))


@pytest.fixture
def colours():
    """(N, 3, 1024) of all images, and their classes."""
    generator = np.random.default_rng(0)
    n = N_TRAIN + N_TEST
    return generator.integers(256, size=(n, 3, 1024), dtype=np.uint8), np.arange(n) % 10


def grey(rgb):
    """Luma of ITU-R 601, (299 R + 587 G + 114 B) / 1000, in 16 bits: (N, 3, P) to (N, P)."""
    red, green, blue = rgb.astype(np.uint32).transpose(1, 0, 2)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)


def as_npz(folder, rgb, y):
    x = grey(rgb)
    parts = {"x_train": x[:N_TRAIN], "y_train": y[:N_TRAIN], "x_test": x[N_TRAIN:], "y_test": y[N_TRAIN:]}
    np.savez(folder / "cifar10-gray.npz", **{name: array.astype(np.uint8) for name, array in parts.items()})


def png(rgb):
    data = io.BytesIO()
    Picture.fromarray(rgb.reshape(3, 32, 32).transpose(1, 2, 0)).save(data, format="PNG")
    return data.getvalue()


def write_stream(path, images, labels):
    """A stream of structs of bytes and path, and classes, as Hugging Face's save_to_disk writes it."""
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("img", image), ("label", pyarrow.int64())])
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        cells = [{"bytes": data, "path": None} for data in images]
        writer.write_batch(pyarrow.record_batch([cells, [int(label) for label in labels]], schema=schema))


def as_arrow(folder, rgb, y):
    for part, shards in (("train", (range(25), range(25, N_TRAIN))), ("test", (range(N_TRAIN, N_TRAIN + N_TEST),))):
        (folder / "cifar10" / part).mkdir(parents=True)
        for number, rows in enumerate(shards):
            path = folder / f"cifar10/{part}/data-{number:05d}-of-{len(shards):05d}.arrow"
            write_stream(path, [png(rgb[i]) for i in rows], y[rows])


FORMATS = {"cifar10-gray.npz": as_npz, "cifar10": as_arrow}


@pytest.mark.parametrize("kind", FORMATS)
def test_both_formats_give_the_same_images_in_the_same_splits(kind, colours, tmp_path):
    FORMATS[kind](tmp_path, *colours)
    task = load_task("lra-image", data_dir=tmp_path)
    assert [len(split) for split in (task.train, task.val, task.test)] == [30, 10, N_TEST]
    assert (task.kind, task.length, task.grid, task.classes[6]) == ("values", 1024, (32, 32), "frog")
    x, mean, std = grey(colours[0]), task.codec.mean[0], task.codec.std[0]
    for split, rows in ((task.train, slice(30)), (task.val, slice(30, 40)), (task.test, slice(40, None))):
        np.testing.assert_allclose(split.x[..., 0] * std + mean, x[rows], atol=1e-3)
        assert split.y.tolist() == colours[1][rows].tolist()
    assert load_task(task.source).fingerprint == task.fingerprint


def test_the_small_sister_has_means_of_four_pixels(colours, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageSmall, "taken", (20, 10, 5))
    as_npz(tmp_path, *colours)
    rows = ImageSmall().rows(Source(folder=tmp_path))
    x = rows.columns[0]
    assert x.shape == (35, 256)
    assert rows.split == ["train"] * 20 + ["val"] * 10 + ["test"] * 5
    y = [*colours[1][:30], *colours[1][N_TRAIN : N_TRAIN + 5]]
    assert rows.labels == [Image.classes[label] for label in y]
    first = grey(colours[0])[0].reshape(32, 32)
    assert x[0, 17] == pytest.approx(first[2:4, 2:4].mean())


def replaced(path, **arrays):
    with np.load(path) as old:
        np.savez(path, **{**dict(old), **arrays})


DAMAGE = {
    "cut short": ("cifar10-gray.npz", lambda path: path.write_bytes(path.read_bytes()[:3000]), "cannot be read"),
    "no NPZ": ("cifar10-gray.npz", lambda path: path.write_bytes(b"hello"), "cannot be read"),
    "too few": ("cifar10-gray.npz", lambda path: replaced(path, x_train=np.zeros((3, 1024), np.uint8)), "(3, 1024)"),
    "other labels": ("cifar10-gray.npz", lambda path: replaced(path, y_test=np.zeros(4, np.uint8)), "(4,) classes"),
    "floats": ("cifar10-gray.npz", lambda path: replaced(path, x_test=np.zeros((15, 1024))), "float64 (15, 1024)"),
    "class 11": ("cifar10-gray.npz", lambda path: replaced(path, y_test=np.full(15, 11, np.uint8)), "none of 0 to 9"),
    "a shard gone": (
        "cifar10",
        lambda path: (path / "train/data-00001-of-00002.arrow").unlink(),
        "training images: uint8 (25, 1024) and (25,) classes, not uint8 (40, 1024) and (40,) classes; get it again, as",
    ),
    "no arrow": (
        "cifar10",
        lambda path: (path / "test/data-00000-of-00001.arrow").write_bytes(b"x" * 100),
        "data-00000-of-00001.arrow: cannot be read",
    ),
    "no test": (
        "cifar10",
        lambda path: (path / "test/data-00000-of-00001.arrow").unlink(),
        "test: no .arrow file; save the whole",
    ),
}


@pytest.mark.parametrize(("kind", "damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_with_what_is_wrong(kind, damage, message, colours, tmp_path):
    FORMATS[kind](tmp_path, *colours)
    damage(tmp_path / kind)
    with pytest.raises(RequestError) as refused:
        load_task("lra-image", data_dir=tmp_path)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [(b"no png", "cannot identify"), (b"x" * 200_000, "too large"), ("8x8", "8x8 pixels"), (None, "cannot be read")],
    ids=["no png", "too large", "8x8", "none"],
)
def test_what_is_no_such_image_is_refused(image, message, colours, tmp_path):
    small = io.BytesIO()
    Picture.new("RGB", (8, 8)).save(small, format="PNG")
    as_arrow(tmp_path, *colours)
    content = small.getvalue() if image == "8x8" else image
    write_stream(tmp_path / "cifar10/test/data-00000-of-00001.arrow", [content], [0])
    with pytest.raises(RequestError, match=rf"test: cannot be read \(.*{message}|test: {message}"):
        load_task("lra-image", data_dir=tmp_path)


@pytest.mark.parametrize("data", ["proximity", "some.csv"])
def test_a_folder_of_data_is_of_no_use_to_other_data(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.csv").write_text("x,y\n1 2,a\n")
    with pytest.raises(RequestError, match="data_dir"):
        load_task(data, data_dir=tmp_path)


# Fashion-MNIST.

FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def idx(array):
    """By the format's rules: zeros, the type, the number of axes, their sizes with the largest byte first."""
    sizes = b"".join(bytes((n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255)) for n in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def fashion(tmp_path):
    """Images and classes, and the folder in which they lie."""
    x = np.random.default_rng(0).integers(256, size=(N_TRAIN + N_TEST, 28, 28), dtype=np.uint8)
    y = np.arange(N_TRAIN + N_TEST) % 10
    (tmp_path / "fashion-mnist").mkdir()
    for name, array in zip(FILES, (x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:]), strict=True):
        (tmp_path / f"fashion-mnist/{name}-ubyte.gz").write_bytes(idx(array))
    return x, y, tmp_path


@pytest.mark.parametrize("debian", [False, True])
def test_clothes_are_read_row_by_row_in_their_splits(fashion, debian, monkeypatch):
    x, y, folder = fashion
    if debian:  # an absolute path, wherever the folder of data is
        monkeypatch.setattr(Fashion, "files", {str((folder / "fashion-mnist").rename(folder / "debian")): "Debian"})
    task = load_task("fashion", data_dir="elsewhere" if debian else folder)
    assert [len(split) for split in (task.train, task.val, task.test)] == [30, 10, N_TEST]
    assert (task.grid, task.classes[9]) == ((28, 28), "ankle boot")
    values = task.test.x[..., 0] * task.codec.std[0] + task.codec.mean[0]
    np.testing.assert_allclose(values, x[N_TRAIN:].reshape(-1, 784), atol=1e-3)
    assert task.test.y.tolist() == y[N_TRAIN:].tolist()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (FILES[0], b"no gzip", "cannot be read"),
        (FILES[0], idx(np.zeros((40, 28, 28)))[:60], "cannot be read"),
        (FILES[0], idx(np.zeros((41, 28, 28))), r"training images: uint8 \(41, 784\)"),
        (FILES[1], idx(np.zeros((40, 1))), r"training images: .* \(40, 1\) classes"),
        (FILES[1], gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 40]) + bytes(39)), "cannot be read"),
        (FILES[1], gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 40]) + bytes(10**7)), "cannot be read"),
        (FILES[1], gzip.compress(bytes([0, 0])), "cannot be read"),
        (FILES[2], None, "cannot be read"),
    ],
    ids=["no gzip", "cut short", "too many", "other axes", "a byte less", "many more", "two bytes", "gone"],
)
def test_damaged_idx_files_are_refused_by_name(fashion, name, data, message):
    path = fashion[2] / f"fashion-mnist/{name}-ubyte.gz"
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(RequestError, match=rf"{path.parent}.*: {message}.*get it again, a folder with the four"):
        load_task("fashion", data_dir=fashion[2])


def test_an_idx_file_of_another_shape_by_hand(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])))
    assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 6]]
