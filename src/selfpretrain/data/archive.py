"""The files of the UCR and UEA archives, read as tables: ``.ts`` (of aeon and sktime) and ``.arff`` (of Weka).

| what  | a row      | its columns                                                                       |
|-------|------------|-----------------------------------------------------------------------------------|
| .ts   | one line   | x: its values, a channel for each dimension; label                                |
| .arff | one line   | one for each attribute; of a relational one the values, a channel for each line   |

"""

# Own readers: those of aeon and sktime hold a file whole and bring numba or pandas along, and that of scipy reads an
# ARFF row with a value too many as a good one.

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from selfpretrain.data.packed import Unpacked
from selfpretrain.data.spelling import first_line, refuse

FLAGS = ("timestamps", "missing", "univariate", "equallength", "targetlabel")
"""Tags of a .ts header that are true or false, in lower case."""
NUMBERS = ("dimension", "dimensions", "serieslength")
MOST_TAGS = 10_000
"""Lines above the data, comments among them (ours); a file without @data ends there."""
MOST_ATTRIBUTES = 1_000_000
"""The same of an .arff file, which has one for each step (ours)."""


@dataclass(frozen=True)
class Header:
    """What a ``.ts`` file says of its lines; None where it says nothing.

    Attributes:
        dimensions: channels of every series.
        length: values of every channel, where all series are equally long.
        classes: names of the classes; None: lines have no class.
    """

    dimensions: int | None
    length: int | None
    classes: tuple[str, ...] | None

    @classmethod
    def of(cls, path: Path, lines: Iterator[str]) -> Self:
        """Read the lines up to ``@data``."""
        tags: dict[str, list[str]] = {}
        for line in islice(lines, MOST_TAGS):
            if not (text := line.strip()) or text.startswith(("#", "%")):
                continue
            name, *words = text.split()
            tag = name.lower().removeprefix("@")
            if not name.startswith("@"):
                refuse(path, None, f"its header has the line '{text:.40}'; lines of it begin with @ or #, up to @data")
            if tag == "data":
                break
            if tag in FLAGS and words[:1] not in (["true"], ["false"]):
                refuse(path, None, f"'{name}' is neither true nor false; correct its header")
            if tag in NUMBERS and not (len(words) == 1 and words[0].isdecimal()):
                refuse(path, None, f"'{name}' is no whole number; correct its header")
            tags[tag] = words
        else:
            refuse(path, None, "there is no line @data; it is no .ts file, or was cut")
        if tags.get("timestamps") == ["true"]:
            refuse(path, None, "has a time for every value (@timeStamps true); save the values alone, evenly spaced")
        if tags.get("targetlabel") == ["true"]:
            refuse(path, None, "has numbers to predict (@targetLabel true), and no classes")
        told = tags.get("dimensions", tags.get("dimension", ["1"] if tags.get("univariate") == ["true"] else []))
        length = tags.get("serieslength", []) if tags.get("equallength") == ["true"] else []
        classes = tags.get("classlabel", ["false"])
        return cls(
            dimensions=int(told[0]) if told else None,
            length=int(length[0]) if length and int(length[0]) else None,
            classes=tuple(classes[1:]) if classes[:1] == ["true"] else None,
        )


def other_half(path: Path, test: Path | None) -> tuple[str, ...]:
    """Where the other half of an archive's problem lies, if nobody named it."""
    other = path.with_name(path.name.replace("_TRAIN.", "_TEST."))
    if test is not None or other == path or not other.is_file():
        return ()
    return (f"{other.name} lies beside it and is not read; --test {other} takes its rows as the test split",)


def series(path: Path, at_a_time: int) -> Iterator[dict[str, Any]]:
    """The columns of a ``.ts`` file, a piece after the other; missing values (?) are NaN.

    Raises:
        RequestError: a line is not what the header says; names the row.
    """
    text = Unpacked(path)
    with io.TextIOWrapper(io.BufferedReader(text), encoding="utf-8-sig") as file:
        header = Header.of(path, file)
        rows = (line.strip() for line in file if line.strip() and not line.startswith(("#", "%")))
        row = 0
        while piece := list(islice(rows, at_a_time)):
            columns: dict[str, Any] = {"x": []} if header.classes is None else {"x": [], "label": []}
            for line in piece:
                *channels, label = line.split(":") if header.classes is not None else [*line.split(":"), ""]
                columns["x"].append(_values(path, row, channels, header))
                if header.classes is not None:
                    label = label.strip()
                    if header.classes and label not in header.classes:
                        problem = f"has the class '{label:.40}', which is not among those of @classLabel"
                        refuse(path, row, f"{problem}; correct one of them")
                    columns["label"].append(label)
                row += 1
            yield columns
            text.start_anew()


def _values(path: Path, row: int, channels: list[str], header: Header) -> Any:
    """(T,), or (T, C) where there are several channels."""
    if header.dimensions is not None and len(channels) != header.dimensions:
        refuse(
            path, row, f"has {len(channels)} dimensions, and the header says {header.dimensions}; correct one of them"
        )
    try:
        values = [np.array(channel.replace("?", "nan").split(","), dtype=np.float64) for channel in channels]
    except ValueError as error:
        refuse(path, row, f"holds what is no number ({first_line(error)}); correct it")
    lengths = sorted({len(channel) for channel in values})
    if len(lengths) > 1:
        refuse(path, row, f"has channels of {lengths[0]} and of {lengths[-1]} values; give all of them the same number")
    if header.length is not None and lengths != [header.length]:
        problem = f"has {lengths[0]} values, and the header says {header.length} (@seriesLength)"
        refuse(path, row, f"{problem}; correct one of them")
    return values[0] if len(values) == 1 else np.stack(values, axis=1)


NUMERIC = ("numeric", "real", "integer")
"""Types of ARFF attributes that are numbers, in lower case."""
ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(.+)""", re.IGNORECASE)


@dataclass(frozen=True)
class Attribute:
    """A column of an ``.arff`` file.

    Attributes:
        sort: numeric, relational, or text.
        names: of a nominal attribute, its values; of a relational one, its inner attributes; empty for others.
    """

    sort: str
    names: tuple[str, ...] = ()


def attributes(path: Path, at_a_time: int) -> Iterator[dict[str, Any]]:
    """The columns of an ``.arff`` file, a piece after the other; missing values (?) are NaN, or None for texts.

    Raises:
        RequestError: a line is not what the header says; names the row.
    """
    text = Unpacked(path)
    with io.TextIOWrapper(io.BufferedReader(text), encoding="utf-8-sig") as file:
        known = _attributes(path, file)
        lines = (line for line in file if line.strip() and not line.startswith("%"))
        row = 0
        while piece := list(islice(lines, at_a_time)):
            columns: dict[str, Any] = {name: [] for name in known}
            for line in piece:
                cells = _cells(line)
                if line.lstrip().startswith("{"):
                    refuse(path, row, "is sparse, {place value, ..}; save the file as dense ARFF, or as CSV")
                if len(cells) != len(known):
                    refuse(path, row, f"has {len(cells)} values, and the header {len(known)} attributes")
                for (name, attribute), cell in zip(known.items(), cells, strict=True):
                    columns[name].append(_cell(path, row, name, attribute, cell))
                row += 1
            yield {name: np.array(cells) if known[name].sort == "numeric" else cells for name, cells in columns.items()}
            text.start_anew()


def _attributes(path: Path, lines: Iterator[str]) -> dict[str, Attribute]:
    """Read the lines up to ``@data``."""
    known: dict[str, Attribute] = {}
    inner: list[str] | None = None
    for line in islice(lines, MOST_ATTRIBUTES):
        text = line.strip()
        lower = text.lower()
        if not text or text.startswith("%") or lower.startswith("@relation"):
            continue
        if lower == "@data":
            return known
        if lower.startswith("@end") and inner is not None:
            name = next(reversed(known))
            known[name], inner = Attribute("relational", tuple(inner)), None
            continue
        if (match := ATTRIBUTE.fullmatch(text)) is None:
            refuse(
                path, None, f"its header has the line '{text:.40}', which is no @attribute; @data is missing before it"
            )
        name, kind = _unquoted(match[1]), match[2].strip()
        if name in (known if inner is None else inner):
            refuse(path, None, f"attribute '{name}' occurs twice; rename one")
        if inner is not None:
            inner.append(name)
        elif kind.lower() == "relational":
            inner, known[name] = [], Attribute("relational")
        elif kind.startswith("{") and kind.endswith("}"):
            known[name] = Attribute("text", tuple(_cells(kind[1:-1])))
        else:
            known[name] = Attribute("numeric" if kind.lower() in NUMERIC else "text")
    refuse(path, None, "there is no line @data; it is no .arff file, or was cut")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _cells(line: str) -> list[str]:
    """The cells of a line, without their quotes."""
    quote = "'" if "'" in line else '"'
    return [cell.strip() for cell in next(csv.reader([line.strip()], quotechar=quote, skipinitialspace=True), [])]


def _cell(path: Path, row: int, name: str, attribute: Attribute, cell: str) -> Any:
    if attribute.sort == "relational":  # a line for each channel
        channels = cell.split("\\n")
        return _values(path, row, channels, Header(None, len(attribute.names), None))
    if cell == "?":
        return np.nan if attribute.sort == "numeric" else None
    if attribute.sort == "numeric":
        try:
            return float(cell)
        except ValueError:
            refuse(path, row, f"has '{cell:.40}' as {name}, which is a number by the header; correct one of them")
    if attribute.names and cell not in attribute.names:
        refuse(
            path, row, f"has '{cell:.40}' as {name}, which is not among its values in the header; correct one of them"
        )
    return cell
