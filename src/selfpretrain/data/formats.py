"""Formats that are no tables, read as one: FASTA and FASTQ, and folders with a file for each row.

| what                          | a row         | its columns                                                        |
|-------------------------------|---------------|--------------------------------------------------------------------|
| .fasta .fa .fna .fastq .fq    | one record    | sequence; of its header id and label, or field_a, field_b, ...     |
| a folder of .wav              | one recording | x: samples, a channel each; label; file                            |
| one of .png .jpg .jpeg .bmp   | one image     | x: pixels, row by row, grey or red, green and blue; label; file    |
| one of .txt                   | one text      | text; label; file                                                  |

A folder holds a folder for each class, or train, val and test with a folder for each class; or files alone, which then
have no label.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count, islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.data.columns import some
from selfpretrain.data.packed import Unpacked, extension
from selfpretrain.data.spelling import refuse
from selfpretrain.errors import RequestError
from selfpretrain.files import reading
from selfpretrain.machine import require_memory

RECORDS = (".fasta", ".fa", ".fna", ".fastq", ".fq")
AUDIO, IMAGES, TEXTS = (".wav",), (".png", ".jpg", ".jpeg", ".bmp"), (".txt",)
BETWEEN_FIELDS = re.compile(r"[\t|;]")
"""What separates the fields of a header in common use; blanks stand within names."""
IMAGE_BYTES = 20
"""That a pixel takes while a task is made of images (ours; measured, with three channels)."""
MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
"""Kinds of images whose pixels have eight bits a channel, as Pillow calls them."""
NO_CLASSES = "holds no folder with files; each class is a folder, such as cat/1.png and dog/2.png"
LARGEST_SIDE = 2**14
"""Of an image (ours); refused before it is unpacked."""


def records(path: Path, at_a_time: int) -> Iterator[dict[str, list[str | None]]]:
    """The columns of a FASTA or FASTQ file, a piece after the other; qualities are not read.

    A header whose fields are separated by tabs, bars or semicolons gives a column each, field_a, field_b and so on
    (numbers would look like steps); any other an id, up to the first blank, and a label, what follows.

    Raises:
        RequestError: the package is missing, or a header has other fields than the first.
    """
    try:
        import dnaio
    except ImportError:
        problem = "reading FASTA and FASTQ needs the package dnaio: pip install 'selfpretrain[dna]'"
        raise RequestError(f"{path}: {problem}") from None
    names: list[str] | None = None
    kind = "fastq" if extension(path) in (".fastq", ".fq") else "fasta"
    text = Unpacked(path)
    with io.BufferedReader(text) as buffered, dnaio.open(buffered, fileformat=kind) as file:
        entries, row = iter(file), 0
        while piece := list(islice(entries, at_a_time)):
            columns: dict[str, list[str | None]] = {}
            for record in piece:
                fields = _header(record.name)
                names = names or list(fields)
                if ";" in record.sequence:
                    refuse(path, row, "its sequence holds a comment (;); remove such lines")
                if list(fields) != names:
                    problem = f"its header '{record.name}' has {some(list(fields))}, and the first has {some(names)}"
                    refuse(path, row, problem)
                for name, cell in {"sequence": record.sequence, **fields}.items():
                    columns.setdefault(name, []).append(cell)
                row += 1
            yield columns
            text.start_anew()


def _header(text: str) -> dict[str, str | None]:
    fields = [field.strip() for field in BETWEEN_FIELDS.split(text)]
    if len(fields) > 1:
        return {f"field_{letter}": field for letter, field in zip(_letters(), fields, strict=False)}
    own, _, rest = text.partition(" ")
    return {"id": own, "label": rest.strip() or None}


def _letters() -> Iterator[str]:
    """A to z, aa to zz, and so on."""
    for length in count(1):
        yield from map("".join, product(ascii_lowercase, repeat=length))


class Folder(NamedTuple):
    """What a folder holds.

    Attributes:
        columns: by name.
        notes: what is not used.
        grid: height and width of images.
        source: what all of the files are, such as recordings of a rate; a model takes no others.
    """

    columns: dict[str, Any]
    notes: tuple[str, ...]
    grid: tuple[int, int] | None
    source: str


def folder(path: Path, split_names: Mapping[str, str], encoding: str | None = None) -> Folder:
    """The columns of a folder with a folder for each class.

    Args:
        split_names: names of folders that are splits, in lower case.
        encoding: of texts; None is UTF-8.

    Raises:
        RequestError: it holds nothing, files of several sorts, or of several rates or sizes; names the file.
    """
    files, notes = _files(path, split_names)
    sorts = {sort for sort in (AUDIO, IMAGES, TEXTS) for file, *_ in files if file.suffix.lower() in sort}
    strangers = [file for file, *_ in files if not any(file.suffix.lower() in sort for sort in sorts)]
    if strangers or len(sorts) != 1:
        known = ", ".join((*AUDIO, *IMAGES, *TEXTS))
        odd = strangers[0].relative_to(path) if strangers else f"{len(sorts)} sorts of files"
        refuse(path, None, f"holds {odd}; the folder of a class holds files of one sort: {known}")
    sort, grid = sorts.pop(), None
    require_memory(_bytes(files, sort), f"what {path} holds", "leave files out")
    cells: Any
    if sort == TEXTS:
        cells, source = [_text(file, encoding) for file, *_ in files], "texts"
    elif sort == AUDIO:
        cells, rate = _recordings(path, [file for file, *_ in files])
        source = f"recordings with {rate} samples a second"
    else:
        cells, grid = _images(path, [file for file, *_ in files])
        source = f"images of {grid[1]}x{grid[0]} pixels"
    columns = {
        "text" if sort == TEXTS else "x": cells,
        "label": [label for _, label, _ in files],
        "file": [str(file.relative_to(path)) for file, *_ in files],
    }
    if columns["label"][0] is None:
        del columns["label"]
    if any(part for *_, part in files):
        columns["split"] = [part for *_, part in files]
    return Folder(columns, tuple(notes), grid, source)


def _files(path: Path, split_names: Mapping[str, str]) -> tuple[list[tuple[Path, str | None, str]], list[str]]:
    """Every file with its class, if there are any, and its split, by their names; and what is left out."""
    tops = sorted(inner for inner in path.iterdir() if inner.is_dir() and not inner.name.startswith("."))
    named = [inner for inner in tops if inner.name.lower() in split_names]
    splits = [inner for inner in named if any(map(Path.is_dir, inner.iterdir()))]
    if splits and len(splits) < len(tops):
        odd = next(inner.name for inner in tops if inner not in splits)
        both = f"holds the splits {some([s.name for s in splits])} and '{odd}'"
        refuse(path, None, f"{both}; put it into one of them, each file into the folder of its class")
    if named and len(named) == len(tops) and not splits:
        refuse(path, None, f"holds {some([s.name for s in named])} without a folder for each class in them; add these")
    classes = [
        (inner, split_names[top.name.lower()])
        for top in splits
        for inner in sorted(top.iterdir())
        if inner.is_dir() and not inner.name.startswith(".")
    ] or [(inner, "") for inner in tops]
    files: list[tuple[Path, str | None, str]] = [
        (file, inner.name, part)
        for inner, part in classes
        for file in sorted(inner.iterdir())
        if _is_visible_file(file)
    ]
    if not files and not tops:  # sequences without classes, to predict or to pretrain on
        files = [(file, None, "") for file in sorted(path.iterdir()) if _is_visible_file(file)]
        if files:
            return files, []
    if not files:
        refuse(path, None, NO_CLASSES)
    outside = [path, *splits]
    loose = sorted(str(f.relative_to(path)) for where in outside for f in where.iterdir() if _is_visible_file(f))
    deep = [str(f.relative_to(path)) for inner, _ in classes for f in inner.iterdir() if f.is_dir()]
    notes = [f"not used, since in no class's folder: {some(loose)}"] if loose else []
    return files, notes + ([f"not used, since within a class's folder: {some(deep)}"] if deep else [])


def _is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _text(file: Path, encoding: str | None) -> str:
    with reading(file, "; --encoding names another encoding than UTF-8"):
        return file.read_text(encoding=encoding or "utf-8")


def _bytes(files: list[tuple[Path, str | None, str]], sort: tuple[str, ...]) -> int:
    """What the rows take in memory."""
    if sort != IMAGES:
        return sum(file.stat().st_size for file, *_ in files) * (1 if sort == TEXTS else 4)
    return IMAGE_BYTES * len(files) * int(np.prod(_size(files[0][0])))


def _recordings(path: Path, files: list[Path]) -> tuple[list[NDArray[Any]], int]:
    """Samples (T,) or (T, C) of each file, in float32, and the rate of all."""
    from scipy.io import wavfile

    rates, cells, types = [], [], []
    for file in files:
        with reading(file), warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of notes that a recorder leaves
            rate, samples = wavfile.read(file)
        rates.append(rate)
        types.append(samples.dtype)
        cells.append(samples.astype(np.float32))
    for file, rate, kind in zip(files, rates, types, strict=True):
        if kind != types[0]:
            both = f"{files[0].relative_to(path)} has samples of {types[0]}, {file.relative_to(path)} of {kind}"
            refuse(path, None, f"{both}; save all in one format")
        if rate != rates[0]:
            both = f"{files[0].relative_to(path)} has {rates[0]} samples a second, {file.relative_to(path)} {rate}"
            refuse(path, None, f"{both}; give them one rate")
    return cells, rates[0]


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """An image of one of our formats alone, whatever it is called; a bomb is refused."""
    from PIL import Image

    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=("PNG", "JPEG", "BMP")) as image:
            yield image


def _size(file: Path) -> tuple[int, int]:
    with _opened(file) as image:
        width, height = image.size
    if max(width, height) > LARGEST_SIDE:
        raise RequestError(f"{file}: is {width}x{height}; make it smaller, {LARGEST_SIDE} a side at most")
    return height, width


def _images(path: Path, files: list[Path]) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Pixels (N, H W) of grey images or (N, H W, 3) where any has colours; height and width."""
    size, pixels, grey = _size(files[0]), [], True
    for file in files:
        if (own := _size(file)) != size:
            first = files[0].relative_to(path)
            both = f"{first} is {size[1]}x{size[0]}, {file.relative_to(path)} {own[1]}x{own[0]}"
            refuse(path, None, f"{both} pixels; give them one size")
        with _opened(file) as image:
            if image.mode not in MODES:
                problem = f"{file.relative_to(path)} is of the kind {image.mode}, whose pixels are not of eight bits"
                refuse(path, None, f"{problem}; save it in grey or in colours, or the values as .npz")
            grey = grey and image.mode in ("1", "L", "LA")
            pixels.append(np.asarray(image.convert("RGB"), dtype=np.uint8).reshape(-1, 3))
    stacked = np.stack(pixels)
    return stacked[:, :, 0] if grey else stacked, size
