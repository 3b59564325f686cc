"""Fashion-MNIST: IDX files in their true format, small; damage is refused in a line."""

import gzip

import numpy as np
import pytest

from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin import fashion
from selfpretrain.tasks.builtin.fashion import FILES, Fashion, read_idx
from selfpretrain.tasks.load import load_task

N_TRAIN, N_TEST = 40, 10


def idx(array):
    """By the format's rules: zeros, the type, the number of axes, their sizes with the largest byte first."""
    sizes = b"".join(bytes((n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255)) for n in array.shape)
    return compressed(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def compressed(data):
    """Without the time of day, so that it is always the same."""
    return gzip.compress(data, mtime=0)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Images and classes, and the folder in which they lie."""
    monkeypatch.setattr(Fashion, "counts", (N_TRAIN, N_TEST))
    monkeypatch.setattr(Fashion, "held_out", 10)
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "nowhere")
    generator = np.random.default_rng(0)
    x = generator.integers(256, size=(N_TRAIN + N_TEST, 28, 28), dtype=np.uint8)
    y = np.arange(N_TRAIN + N_TEST) % 10
    (tmp_path / "fashion-mnist").mkdir()
    for name, array in zip(FILES, (x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:]), strict=True):
        (tmp_path / "fashion-mnist" / name).write_bytes(idx(array))
    return x, y, tmp_path


@pytest.mark.parametrize("debian", [False, True])
def test_images_are_read_row_by_row_in_their_splits(made, debian, monkeypatch):
    x, y, folder = made
    if debian:
        monkeypatch.setattr(fashion, "DEBIAN", (folder / "fashion-mnist").rename(folder / "debian"))
    task = load_task("fashion", data_dir=folder)
    assert [len(split) for split in (task.train, task.val, task.test)] == [30, 10, N_TEST]
    assert (task.grid, task.classes[9]) == ((28, 28), "ankle boot")
    values = task.test.x[..., 0] * task.codec.std[0] + task.codec.mean[0]
    np.testing.assert_allclose(values, x[N_TRAIN:].reshape(-1, 784), atol=1e-3)
    assert task.test.y.tolist() == y[N_TRAIN:].tolist()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (FILES[0], b"no gzip", "cannot be read"),
        (FILES[0], idx(np.zeros((40, 28, 28)))[:60], "cannot be read"),
        (FILES[0], idx(np.zeros((41, 28, 28))), "is no IDX file of 40 x 28 x 28 bytes"),
        (FILES[1], idx(np.zeros((40, 1))), "is no IDX file of 40 bytes"),
        (FILES[1], compressed(bytes([0, 0, 8, 1, 0, 0, 0, 40]) + bytes(39)), "is no IDX file of 40 bytes"),
        (FILES[1], compressed(bytes([0, 0, 8, 1, 0, 0, 0, 40]) + bytes(10**7)), "is no IDX file of 40 bytes"),
        (FILES[3], idx(np.full(10, 11)), "a class is none of 0 to 9"),
        (FILES[2], None, "cannot be read"),
    ],
    ids=["no gzip", "cut short", "too many", "other axes", "a byte less", "many more", "no class", "gone"],
)
def test_damage_is_refused(made, name, data, said):
    path = made[2] / "fashion-mnist" / name
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(RequestError, match=said):
        load_task("fashion", data_dir=made[2])


def test_nothing_is_said_with_what_to_get(made, tmp_path):
    with pytest.raises(RequestError, match=r"fashion: its data are not in .*; put there fashion-mnist, a folder with"):
        load_task("fashion", data_dir=tmp_path / "empty")


def test_an_idx_file_of_another_shape_by_hand(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(compressed(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])))
    assert read_idx(path, (2, 3)).tolist() == [[1, 2, 3], [4, 5, 6]]
