"""Image of the Long Range Arena: each kind of file in its true format, small; damage is refused in a line."""

import io
import pickle

import numpy as np
import pyarrow
import pytest
from PIL import Image as Picture

from selfpretrain.cli import main
from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.image import Image, ImageSmall, grey, read_images
from selfpretrain.tasks.load import load_task

N_TRAIN, N_TEST = 40, 15


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Counts of the small files."""
    monkeypatch.setattr(Image, "counts", (N_TRAIN, N_TEST))
    monkeypatch.setattr(Image, "held_out", 10)


@pytest.fixture
def colours():
    """(N, 3, 1024) of all images, and their classes."""
    generator = np.random.default_rng(0)
    n = N_TRAIN + N_TEST
    return generator.integers(256, size=(n, 3, 1024), dtype=np.uint8), np.arange(n) % 10


def as_npz(folder, rgb, y):
    x = grey(rgb)
    parts = {"x_train": x[:N_TRAIN], "y_train": y[:N_TRAIN], "x_test": x[N_TRAIN:], "y_test": y[N_TRAIN:]}
    np.savez(folder / "cifar10-gray.npz", **{name: array.astype(np.uint8) for name, array in parts.items()})


def as_binary(folder, rgb, y):
    """As on the home page of CIFAR-10: a byte for the class, then red, green, blue."""
    (folder / "cifar-10-batches-bin").mkdir()
    records = np.concatenate((y[:, None].astype(np.uint8), rgb.reshape(len(rgb), -1)), axis=1)
    for k in range(5):
        records[k * 8 : k * 8 + 8].tofile(folder / f"cifar-10-batches-bin/data_batch_{k + 1}.bin")
    records[N_TRAIN:].tofile(folder / "cifar-10-batches-bin/test_batch.bin")


def png(rgb):
    data = io.BytesIO()
    Picture.fromarray(rgb.reshape(3, 32, 32).transpose(1, 2, 0)).save(data, format="PNG")
    return data.getvalue()


def as_arrow(folder, rgb, y):
    """As Hugging Face's save_to_disk: streams of structs of bytes and path, in one or more shards."""
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("img", image), ("label", pyarrow.int64())])
    for part, shards in (("train", (range(25), range(25, N_TRAIN))), ("test", (range(N_TRAIN, N_TRAIN + N_TEST),))):
        (folder / "cifar10" / part).mkdir(parents=True)
        for number, rows in enumerate(shards):
            path = folder / f"cifar10/{part}/data-{number:05d}-of-{len(shards):05d}.arrow"
            with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
                images = [{"bytes": png(rgb[i]), "path": None} for i in rows]
                writer.write_batch(pyarrow.record_batch([images, [int(y[i]) for i in rows]], schema=schema))


def as_torchvision(folder, rgb, y):
    """As Python 2 pickled it, opcode by opcode: a dict with labels, an array of bytes, and file names."""
    (folder / "cifar-10-batches-py").mkdir()
    parts = [(f"data_batch_{k + 1}", slice(8 * k, 8 * k + 8)) for k in range(5)] + [
        ("test_batch", slice(N_TRAIN, None))
    ]
    for name, rows in parts:
        pixels, n = rgb[rows].tobytes(), len(y[rows])
        data = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
        data += b"".join(b"K" + bytes([label]) for label in y[rows])
        data += (
            b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09"
        )
        data += b"(K\x01K" + bytes([n]) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b"
        data += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + len(pixels).to_bytes(4, "little")
        data += pixels + b"tbU\x09filenamesq\x0c]q\x0d(U\x05a.pngU\x05b.pngeu."
        (folder / "cifar-10-batches-py" / name).write_bytes(data)


FORMATS = {
    "cifar-10-batches-py": as_torchvision,
    "cifar10-gray.npz": as_npz,
    "cifar-10-batches-bin": as_binary,
    "cifar10": as_arrow,
}


def test_grey_is_pillows():
    rgb = np.random.default_rng(1).integers(256, size=(4, 3, 1024), dtype=np.uint8)
    for ours, image in zip(grey(rgb), rgb, strict=True):
        theirs = Picture.fromarray(image.reshape(3, 32, 32).transpose(1, 2, 0)).convert("L")
        assert np.array_equal(ours, np.asarray(theirs).ravel())


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_images_in_the_same_splits(kind, colours, tmp_path):
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
    made = ImageSmall().read(tmp_path)
    assert made.x.shape == (35, 256)
    assert made.split == ["train"] * 20 + ["val"] * 10 + ["test"] * 5
    assert made.y.tolist() == [*colours[1][:30], *colours[1][N_TRAIN : N_TRAIN + 5]]
    first = grey(colours[0])[0].reshape(32, 32)
    assert made.x[0, 17] == pytest.approx(first[2:4, 2:4].mean())


def test_where_nothing_lies_it_is_said_what_to_get_and_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SELFPRETRAIN_DATA", str(tmp_path))
    assert main(["compare", "lra-image", "--plan"]) == 2
    said = capsys.readouterr().err
    assert f"lra-image: its data are not in {tmp_path}; put there cifar10-gray.npz" in said
    assert "--data-dir or SELFPRETRAIN_DATA" in said and said.count("\n") == 1
    assert main(["data", "list"]) == 0
    assert f"not in {tmp_path}; put there cifar10-gray.npz" in capsys.readouterr().out


def replaced(path, **arrays):
    with np.load(path) as old:
        np.savez(path, **{**dict(old), **arrays})


DAMAGE = {
    "cut short": ("cifar10-gray.npz", lambda path: path.write_bytes(path.read_bytes()[:3000]), "no NPZ with x_train"),
    "no NPZ": ("cifar10-gray.npz", lambda path: path.write_bytes(b"hello"), "no NPZ with x_train"),
    "too few": ("cifar10-gray.npz", lambda path: replaced(path, x_train=np.zeros((3, 1024), np.uint8)), "(3, 1024)"),
    "other labels": ("cifar10-gray.npz", lambda path: replaced(path, y_test=np.zeros(4, np.uint8)), "(4,) classes"),
    "floats": ("cifar10-gray.npz", lambda path: replaced(path, x_test=np.zeros((15, 1024))), "float64 (15, 1024)"),
    "class 11": ("cifar10-gray.npz", lambda path: replaced(path, y_test=np.full(15, 11, np.uint8)), "none of 0 to 9"),
    "a byte less": (
        "cifar-10-batches-bin",
        lambda path: (path / "data_batch_2.bin").write_bytes((path / "data_batch_2.bin").read_bytes()[:-1]),
        "data_batch_2.bin: its 24583 bytes are no whole number of records",
    ),
    "a batch gone": (
        "cifar-10-batches-bin",
        lambda path: (path / "data_batch_3.bin").unlink(),
        "data_batch_3.bin: cannot",
    ),
    "a pickle cut short": (
        "cifar-10-batches-py",
        lambda path: (path / "data_batch_4").write_bytes((path / "data_batch_4").read_bytes()[:-600]),
        "data_batch_4: is no batch of CIFAR-10",
    ),
    "a pickle of something else": (
        "cifar-10-batches-py",
        lambda path: (path / "test_batch").write_bytes(pickle.dumps({"labels": [1, 2], "data": b"few"}, protocol=2)),
        "test_batch: is no batch of CIFAR-10",
    ),
    "no pickle": (
        "cifar-10-batches-py",
        lambda path: (path / "test_batch").write_bytes(b"none"),
        "test_batch: is no batch of CIFAR-10",
    ),
    "a shard gone": (
        "cifar10",
        lambda path: (path / "train/data-00001-of-00002.arrow").unlink(),
        "uint8 (25, 1024) and (25,) classes",
    ),
    "no arrow": (
        "cifar10",
        lambda path: (path / "test/data-00000-of-00001.arrow").write_bytes(b"x" * 100),
        "no stream with img and label as in uoft-cs/cifar10",
    ),
    "no test": (
        "cifar10",
        lambda path: (path / "test/data-00000-of-00001.arrow").unlink(),
        "test: no .arrow file; save the whole",
    ),
}


@pytest.mark.parametrize(("kind", "damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_with_what_is_wrong(kind, damage, said, colours, tmp_path):
    FORMATS[kind](tmp_path, *colours)
    damage(tmp_path / kind)
    with pytest.raises(RequestError) as refused:
        load_task("lra-image", data_dir=tmp_path)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("image", "said"),
    [(b"no png", "no PNG"), (b"x" * 200_000, "too large"), (None, "8x8 pixels")],
    ids=["no png", "too large", "8x8"],
)
def test_what_is_no_such_image_is_refused(image, said, colours, tmp_path):
    small = io.BytesIO()
    Picture.new("RGB", (8, 8)).save(small, format="PNG")
    schema = pyarrow.schema([("img", pyarrow.struct([("bytes", pyarrow.binary())])), ("label", pyarrow.int64())])
    as_arrow(tmp_path, *colours)
    path = str(tmp_path / "cifar10/test/data-00000-of-00001.arrow")
    with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        batch = [[{"bytes": small.getvalue() if image is None else image}], [0]]
        writer.write_batch(pyarrow.record_batch(batch, schema=schema))
    with pytest.raises(RequestError, match=said):
        load_task("lra-image", data_dir=tmp_path)


class Evil:
    """Does something when it is loaded."""

    def __reduce__(self):
        return exec, ("raise SystemExit('loaded')",)


def test_nothing_in_a_pickle_is_run(colours, tmp_path):
    as_torchvision(tmp_path, *colours)
    pickled = pickle.dumps({"labels": list(range(8)), "data": bytes(8 * 3072), "more": Evil()}, protocol=3)
    (tmp_path / "cifar-10-batches-py/data_batch_1").write_bytes(pickled)
    images = read_images(tmp_path, (N_TRAIN, N_TEST))
    assert images.y_train[:9].tolist() == [*range(8), 8]
    assert not images.x_train[:8].any() and images.x_train[8:].any()


@pytest.mark.parametrize("data", ["proximity", "some.csv"])
def test_a_folder_of_data_is_of_no_use_to_other_data(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.csv").write_text("x,y\n1 2,a\n")
    with pytest.raises(RequestError, match="data_dir"):
        load_task(data, data_dir=tmp_path)
