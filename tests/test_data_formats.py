"""FASTA, FASTQ, and folders of recordings, images and texts: small files in the true formats, and broken ones."""

import csv
import gzip
import io
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from selfpretrain.cli import main
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

RNG = np.random.default_rng(0)
BASES = ["".join(RNG.choice(list("ACGT"), size=n)) for n in RNG.integers(20, 40, size=40)]
KINDS = ["Firmicutes", "Proteobacteria"]


def fasta(header, bases=BASES, width=17):
    """Records whose sequences are wrapped, as databases write them."""
    lines = []
    for row, sequence in enumerate(bases):
        lines += [f">{header(row)}", *(sequence[start : start + width] for start in range(0, len(sequence), width))]
    return "\n".join(lines) + "\n"


def test_the_header_of_fasta_gives_the_label(tmp_path):
    (tmp_path / "genes.fasta").write_text(fasta(lambda row: f"seq{row} {KINDS[row % 2]}"))
    task = load_task(tmp_path / "genes.fasta")
    assert task.classes == tuple(KINDS) and task.kind == "bytes"
    whole = task.train + task.val + task.test
    read = {bytes(x[:n].tolist()).decode() for x, n in zip(whole.x, whole.lengths, strict=True)}
    assert read == set(BASES)  # whole, though they were wrapped
    (tmp_path / "genes.fa.gz").write_bytes(gzip.compress((tmp_path / "genes.fasta").read_bytes()))
    assert load_task(tmp_path / "genes.fa.gz").fingerprint == task.fingerprint


def test_a_header_of_fields_gives_a_column_each(tmp_path):
    def header(row):
        return f"S{row:06d}\tBacteria; {KINDS[row % 2]}; Class{row % 3}"

    (tmp_path / "16s.fna").write_text(fasta(header))
    task = load_task(tmp_path / "16s.fna", label="field_c")
    assert task.classes == tuple(KINDS)
    with pytest.raises(RequestError, match="field_a"):
        load_task(tmp_path / "16s.fna", label="phylum")


def test_records_without_a_label_are_for_self_pretraining(tmp_path):
    (tmp_path / "genes.fasta").write_text(fasta(lambda row: f"s{row} {KINDS[row % 2]}" if row % 4 < 2 else f"s{row}"))
    assert len(load_task(tmp_path / "genes.fasta").unlabelled) == 20


def test_fastq_is_read_without_its_qualities(tmp_path):
    records = [f"@read{row} {KINDS[row % 2]}\n{s}\n+\n{'I' * len(s)}\n" for row, s in enumerate(BASES)]
    (tmp_path / "reads.fastq").write_text("".join(records))
    assert load_task(tmp_path / "reads.fastq").classes == tuple(KINDS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (">a x\nACGT\n>b y\n\n" + fasta(lambda row: f"s{row} z"), "row 2: the sequence is empty"),
        (">a x\nACGT\n" + fasta(lambda row: f"s{row}|y"), "row 2: its header 's0|y' has field_a, field_b"),
        (">a x\nACGT\n; said somebody\n>b y\nAC\n", "row 1: its sequence holds a comment"),
        ("ACGT\nACGT\n", "cannot be read (FastaFormatError: "),
        (fasta(lambda row: f"s{row}"), "label"),
    ],
)
def test_broken_fasta_is_refused(tmp_path, text, says):
    (tmp_path / "broken.fasta").write_text(text)
    with pytest.raises(RequestError) as refused:
        load_task(tmp_path / "broken.fasta")
    assert says in str(refused.value)


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "genes.fasta").write_text(fasta(lambda row: f"seq{row} {KINDS[row % 2]}"))
    monkeypatch.setitem(sys.modules, "dnaio", None)
    with pytest.raises(RequestError, match=r"needs the package dnaio: pip install 'selfpretrain\[dna\]'"):
        load_task(tmp_path / "genes.fasta")


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def recording(samples, rate=8000):
    data = io.BytesIO()
    wavfile.write(data, rate, samples)
    return data.getvalue()


def picture(pixels, kind="PNG"):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def test_a_folder_of_recordings_is_one_row_each(tmp_path):
    sounds = {}
    for row in range(24):
        name = f"{'yes' if row % 2 else 'no'}/{row:02d}.wav"
        sounds[name] = RNG.integers(-(2**15), 2**15, size=(RNG.integers(30, 50), 2)).astype(np.int16)
        put(tmp_path / "words", name, recording(sounds[name]))
    put(tmp_path / "words", "README.txt", b"who spoke")
    put(tmp_path / "words", "no/.DS_Store", b"\0")
    task = load_task(tmp_path / "words")
    assert task.classes == ("no", "yes") and task.inputs.channels == 2
    assert any("not used, since in no class's folder: README.txt" in note for note in task.notes)
    rows = task.train + task.val + task.test
    by_number = dict(zip(rows.numbers.tolist(), range(len(rows)), strict=True))
    for number, name in enumerate(sorted(sounds)):
        row = by_number[number]
        restored = rows.x[row][: rows.lengths[row]] * task.codec.std + task.codec.mean
        np.testing.assert_allclose(restored, sounds[name], atol=0.05)
        assert task.classes[rows.y[row]] == name.split("/")[0]


def test_files_without_the_folder_of_a_class_are_predicted_and_pretrained_on(tmp_path, capsys):
    for row in range(160):
        put(tmp_path / "words", f"{'yes' if row % 2 else 'no'}/{row:02d}.wav", recording(speech(row)))
    for row in range(160, 170):
        put(tmp_path / "new", f"{row}.wav", recording(speech(row)))
    task = load_task(tmp_path / "words", unlabelled_file=tmp_path / "new")
    assert len(task.unlabelled) == 10
    with pytest.raises(RequestError, match="holds no folder with files; each class is a folder"):
        load_task(tmp_path / "new")
    flags = ["--arms=classical", "--seeds=3", "--workers=1", f"--out={tmp_path / 'o'}"]
    assert main(["compare", str(tmp_path / "words"), *flags]) == 0
    assert main(["predict", str(tmp_path / "o"), str(tmp_path / "new"), f"--out={tmp_path / 'p.csv'}"]) == 0
    scored = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert [row["file"] for row in scored] == [f"{row}.wav" for row in range(160, 170)]
    assert list(scored[0]) == ["file", "predicted", "p_no", "p_yes"]  # and no samples
    assert [row["predicted"] for row in scored] == ["no", "yes"] * 5


def test_a_model_of_recordings_takes_no_others(tmp_path, capsys):
    for row in range(160):
        put(tmp_path / "words", f"{'yes' if row % 2 else 'no'}/{row:03d}.wav", recording(speech(row)))
    flags = ["--arms=classical", "--seeds=3", "--workers=1", f"--out={tmp_path / 'o'}"]
    assert main(["compare", str(tmp_path / "words"), *flags]) == 0
    put(tmp_path / "fast", "1.wav", recording(speech(1), rate=16000))
    put(tmp_path / "images", "1.png", picture(RNG.integers(256, size=(4, 5)).astype(np.uint8)))
    for name, what in (("fast", "recordings with 16000 samples a second"), ("images", "images of 5x4 pixels")):
        assert main(["predict", str(tmp_path / "o"), str(tmp_path / name), f"--out={tmp_path / 'p.csv'}"]) == 2
        assert f"holds {what}, and those of training are recordings with 8000" in capsys.readouterr().err
    with pytest.raises(RequestError, match="16000 samples a second"):
        load_task(tmp_path / "words", unlabelled_file=tmp_path / "fast")


def speech(row):
    return (RNG.normal(3 * (row % 2), 1, size=RNG.integers(30, 50)) * 1000).astype(np.int16)


@pytest.mark.parametrize(("shape", "channels"), [((4, 6), 1), ((4, 6, 3), 3)])
def test_a_folder_of_images_is_their_pixels_row_by_row(tmp_path, shape, channels):
    pixels = RNG.integers(256, size=(30, *shape)).astype(np.uint8)
    for row, image in enumerate(pixels):
        part = "train" if row < 20 else "validation" if row < 25 else "test"
        put(tmp_path / "pets", f"{part}/{'cat' if row % 2 else 'dog'}/{row:02d}.png", picture(image))
    task = load_task(tmp_path / "pets")
    assert (len(task.train), len(task.val), len(task.test)) == (20, 5, 5)
    assert (task.grid, task.length, task.inputs.channels) == ((4, 6), 24, channels)
    truth = {image.tobytes() for image in pixels}
    for x in task.test.x:
        restored = (x * task.codec.std + task.codec.mean).round().astype(np.uint8).reshape(shape)
        assert restored.tobytes() in truth


def test_a_folder_of_texts(tmp_path):
    for row in range(20):
        put(tmp_path / "mail", f"{'ham' if row % 2 else 'spam'}/{row}.txt", f"Grüße {row}".encode())
    task = load_task(tmp_path / "mail")
    assert task.kind == "bytes" and task.classes == ("ham", "spam")


def test_a_class_may_be_called_like_a_split_and_what_is_skipped_is_said(tmp_path):
    for row in range(20):
        put(tmp_path / "rides", f"{'train' if row % 2 else 'bus'}/{row}.txt", f"Grüße {row}".encode("latin-1"))
    put(tmp_path / "rides", "bus/old/1.txt", b"old")
    task = load_task(tmp_path / "rides", encoding="latin-1")
    assert task.classes == ("bus", "train")
    assert any("not used, since within a class's folder: bus/old" in note for note in task.notes)


def folder_of(tmp_path, files):
    for name, data in files.items():
        put(tmp_path / "data", name, data)
    return tmp_path / "data"


GREY = picture(np.zeros((3, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"loose.wav": recording(np.zeros(9, dtype=np.int16))}, "holds no folder with files; each class is a folder"),
        ({"a/1.wav": b"RIFF....", "b/1.wav": b""}, "a/1.wav: cannot be read"),
        (
            {"a/1.wav": recording(np.zeros(9, np.int16)), "b/1.wav": recording(np.zeros(9, np.int16), rate=16000)},
            "a/1.wav has 8000 samples a second, b/1.wav 16000; give them one rate",
        ),
        (
            {"a/1.png": GREY, "b/1.png": picture(np.zeros((3, 4), np.uint8))},
            "a/1.png is 3x3, b/1.png 4x3 pixels; give them one size",
        ),
        ({"a/1.png": GREY, "b/1.wav": recording(np.zeros(9, np.int16))}, "holds 2 sorts of files"),
        ({"a/1.png": GREY, "b/notes.pdf": b"%PDF"}, "holds b/notes.pdf; the folder of a class holds files of one sort"),
        ({"a/1.png": GREY, "b/1.png": GREY[:40]}, "b/1.png: cannot be read"),
        ({"train/a/1.png": GREY, "more/a/1.png": GREY}, "holds the splits train and 'more'; put it into one of them"),
        ({"train/a/1.png": GREY, "test/1.png": GREY}, "holds the splits train and 'test'; put it into one of them"),
        ({"train/1.png": GREY, "test/1.png": GREY}, "holds test, train without a folder for each class in them"),
        ({"a/1.png": GREY, "b/1.png": picture(np.zeros((3, 3), np.uint16))}, "b/1.png is of the kind I;16"),
        ({"a/1.png": GREY, "b/1.png": picture(np.zeros((3, 3), np.uint8), "TIFF")}, "b/1.png: cannot be read"),
        ({"a/1.png": GREY, "b/1.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 3\n"}, "b/1.png: cannot be read"),
        (
            {"a/1.wav": recording(np.zeros(9, np.int16)), "b/1.wav": recording(np.zeros(9, np.float32))},
            "a/1.wav has samples of int16, b/1.wav of float32; save all in one format",
        ),
        ({"a/1.txt": b"x", "b/1.txt": b"\xe9"}, "b/1.txt: cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_by_name(tmp_path, files, says):
    with pytest.raises(RequestError) as refused:
        load_task(folder_of(tmp_path, files))
    assert says in str(refused.value)
