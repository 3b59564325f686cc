"""Every kind of bad input through the command line: status 2, one line with culprit and cure, nothing written."""

import contextlib
import gzip
import io
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import TINY_FLAGS
from selfpretrain import compare
from selfpretrain.cli import main
from selfpretrain.config import CompareConfig, ModelConfig, TaskConfig, TrainConfig
from selfpretrain.data import catalogue, packed, table
from selfpretrain.errors import RequestError
from selfpretrain.files import from_dict, to_dict

WIDE_ROWS = [f"{'0.5,' * 9}{'x' if i == 6 else i + 0.5},{'ab'[i % 2]}" for i in range(20)]
GOOD = [f"{i % 3} {i % 5} {i % 2} 1,{'ab'[i % 2]}" for i in range(20)]
HEADER = "sequence,label"


def csv(*lines: str, header: str = HEADER) -> bytes:
    return ("\n".join([header, *lines]) + "\n").encode()


def jsonl(*rows: object) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def npz(**arrays: object) -> bytes:
    np.savez(data := io.BytesIO(), **arrays)
    return data.getvalue()


CHANNEL_ROWS = [{"sequence": [[0.5, 1.5], [2.5, 3.5]], "label": "ab"[i % 2]} for i in range(20)]
NUMBERS = [f"{i}.5 2.25 3,{'ab'[i % 2]}" for i in range(20)]
WIDE = csv(*WIDE_ROWS, header="".join(f"t{i}," for i in range(10)) + "label")
HALF = b"\n".join(b'{"text": "cut \\ud83d", "label": "%s"}' % b"ab"[i % 2 : i % 2 + 1] for i in range(20))
ENDLESS = jsonl(*CHANNEL_ROWS[:4]) + b'\n{"sequence": [' + b"9" * 5000 + b'], "label": "a"}'
HOLED = jsonl(*({"sequence": [[0.5 + i, None]], "label": "ab"[i % 2]} for i in range(20)))
MIXED = csv(*(f"{i * 7 % 5}.5,{'xyz'[i % 3]},{'ab'[i % 2]}" for i in range(20)), header="pulse,stuff,label")
INFINITE = "is missing, NaN or infinite (beyond 1e+30)"


def array(content: object) -> bytes:
    np.save(data := io.BytesIO(), content)
    return data.getvalue()


def zipped(**members: bytes) -> bytes:
    with zipfile.ZipFile(data := io.BytesIO(), "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def lying(shape: tuple[int, ...]) -> bytes:
    """The header of an array that is not there."""
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(data := io.BytesIO(), header)
    return data.getvalue() + b"12345678"


def given(row: str) -> bytes:
    """Rows for training, and another one."""
    return csv(*(f"{row},train" for row in GOOD), row, header=HEADER + ",split")


def channels(sequence: list[object]) -> bytes:
    """Rows of two channels, and another one."""
    return jsonl(*CHANNEL_ROWS, {"sequence": sequence, "label": "a"})


# What is wrong: file name, content, an option, and what the line must say.
def encrypted():
    """An NPZ whose first member says that it is encrypted."""
    data = bytearray(zipped(**{"x.npy": array(np.ones((9, 5)))}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


FILES = {
    "missing": ("no.csv", None, "", "no.csv: no such file", "check the path"),
    "unknown name": ("proximiti", None, "", "neither a built-in task (proximity, digits, noise, skew,", "nor a file"),
    "unknown extension": ("a.xlsx", b"x", "", "a.xlsx: unknown extension '.xlsx'", ".csv, .tsv, .jsonl"),
    "a folder": ("folder.csv", None, "", "folder.csv: is a directory"),  # root may read every file
    "a long name": ("x" * 300 + ".csv", None, "", "file name too long"),
    "empty": ("a.csv", b"", "", "a.csv: the file is empty", "header and rows"),
    "header only": ("a.csv", csv(), "", "a.csv: there are no rows"),
    "not UTF-8": (
        "a.csv",
        b"sequence,label\n\xff\xfe 1,a\n",
        "",
        "a.csv: not UTF-8 text; name its encoding",
        "--encoding",
    ),
    "binary": ("a.parquet", b"not a parquet file", "", "a.parquet: not a readable Parquet file"),
    "broken npz": ("a.npz", b"PK nonsense", "", "a.npz: cannot be read"),
    "pickles": ("b.npz", npz(x=np.array([[1], [2, 3]], dtype=object), y=np.zeros(2)), "", "plain arrays alone"),
    "shapes": ("a.npz", npz(x=np.zeros((4, 3)), y=np.zeros(5)), "", "x (4, 3) and y (5,)", "number of rows"),
    "no JSON": ("a.jsonl", b'{"sequence": [1], "label": 1}\nnonsense\n', "", "a.jsonl: row 2: not valid JSON"),
    "an endless integer": ("a.jsonl", ENDLESS, "", "a.jsonl: row 5: not valid JSON"),
    "half a character": ("a.jsonl", HALF, "--kind=bytes", "a.jsonl: row 1: position 5 is half a character"),
    "columns short": (
        "a.csv",
        csv(*GOOD[:3], "1 2"),
        "",
        "a.csv: row 4: 1 columns where the first row has 2",
        "--separator",
    ),
    "missing sequence column": ("a.csv", csv(*GOOD), "--sequence=seq", "no column 'seq'", "sequence, label"),
    "missing label column": ("a.csv", csv(*GOOD), "--label=kind", "no column 'kind'", "sequence, label"),
    "no label column": ("a.csv", csv(*GOOD, header="sequence,kind"), "", "--label", "sequence, kind"),
    "sequence is the label": ("a.csv", csv(*GOOD), "--sequence=label", "--sequence names the column 'label'"),
    "words beside numbers": ("a.csv", MIXED, "", "column 'stuff' holds words and 'pulse' numbers", "--sequence"),
    "builtin option": ("a.csv", csv(*GOOD), "--symbols=3", "--symbols 3 applies to built-in tasks only", "a.csv"),
    "single class": ("a.csv", csv(*(f"{i} 2 3,a" for i in range(9))), "", "all labels are 'a'", "two classes"),
    "one member": ("a.csv", csv(*GOOD, "1 1 1 1,c"), "", "row 21: class 'c' has one member", "remove the class"),
    "label missing in test": ("a.csv", given("1 2 3,,test"), "", "a.csv: row 21: no label in the test split"),
    "class missing in training": ("a.csv", given("1 2 3,c,test"), "", "a.csv: row 21: class 'c' of the test split"),
    "split name": ("a.csv", given("1 2 3,a,tset"), "", "row 21: the split column says 'tset'", "train, val or test"),
    "test file without label": ("a.csv", csv(*GOOD), "--test=t.csv", "t.csv: row 1: no label in the test split"),
    "test file with a new class": (
        "a.csv",
        csv(*GOOD),
        "--test=new.csv",
        "new.csv: row 1: class 'zzz' of the test",
    ),
    "too few sequences": ("a.csv", csv(*["1 2 3,a", "3 2 1,b"] * 20), "", "a.csv: the validation split is empty"),
    "class only among duplicates": (
        "a.csv",
        csv(*GOOD, *["0 0 0 1,c"] * 3),
        "--data-seed=8",  # which cuts that set of duplicates out of training
        "a.csv: class 'c' is not in training",
        "remove the class",
    ),
    "empty sequence": ("a.csv", csv(*GOOD, ",a"), "", "a.csv: row 21", "empty"),
    "ragged channels": (
        "a.jsonl",
        channels([[1, 2], [3]]),
        "",
        "row 21: ragged channels: position 2 has 1, position 1",
    ),
    "other channels": ("a.jsonl", channels([[1, 2, 3]]), "", "a.jsonl: row 21: 3 channels where row 1 has 2"),
    "an empty channel": ("a.jsonl", HOLED, "--allow-missing", "channel 2 has no value at all in training"),
    "text for numbers": ("a.csv", csv(*NUMBERS, "1.5 abc 2,a"), "", "row 21: 'abc' at position 2 is not", "--kind"),
    "text among numeric columns": ("a.csv", WIDE, "", "row 7: 'x' at position 10 is not a number"),
    "NaN": ("a.csv", csv(*NUMBERS, "1.5 nan 2,a"), "", f"row 21: position 2 {INFINITE}", "--allow-missing"),
    "infinity": ("a.csv", csv(*NUMBERS, "1.5 2 inf,a"), "", f"row 21: position 3 {INFINITE}", "--allow-missing"),
    "an NPZ of other things": ("a.npz", zipped(**{"readme.txt": b"hello"}), "", "a.npz: there are no rows"),
    "an NPZ that lies": (
        "a.npz",
        zipped(**{"x.npy": lying((9, 5)), "y.npy": lying((9,))}),
        "",
        "a.npz: cannot be read",
    ),
    "an NPZ beyond memory": ("a.npz", zipped(**{"x.npy": lying((9**14, 5))}), "", "a.npz: what it says", "into memory"),
    "an encrypted array": ("a.npz", encrypted(), "", "a.npz: cannot be read", "encrypted"),
    "a renamed array": ("a.npz", array(np.ones((9, 5))), "", "a.npz: cannot be read", "numpy.savez"),
    "a list of lists of lists": (
        "a.jsonl",
        b'{"sequence": %s1%s, "label": "a"}' % (b"[" * 600, b"]" * 600),
        "",
        "a.jsonl",
    ),
    "a name twice": ("a.jsonl", b'{"label": "a", "label": "b"}', "", "a.jsonl: row 1", "a name stands twice"),
    "a control character": ("a\n\x1b[31m.csv", None, "", r"a\n\x1b[31m.csv: no such file"),
    "too large": ("a.csv", csv(*NUMBERS, "1.5 1e39 2,a"), "", f"row 21: position 2 {INFINITE}"),
}


def check_refusal(code: int, out: str, error: str, *parts: str) -> None:
    assert (code, out) == (2, ""), error
    assert error.startswith("selfpretrain: ")
    assert error.count("\n") == 1, error
    for part in parts:
        assert part in error


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys):
    """A command line that is refused, in this process, and writes nothing."""
    monkeypatch.chdir(tmp_path)

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if path.name != ".lock")

    def run(arguments: list[str], *parts: str) -> None:
        before = files()
        capsys.readouterr()
        code = main(arguments)
        check_refusal(code, *capsys.readouterr(), *parts)
        assert files() == before

    return run


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_refused(case, refuse, tmp_path):
    name, content, option, *parts = FILES[case]
    (tmp_path / "t.csv").write_bytes(csv("1 2 3,"))
    (tmp_path / "new.csv").write_bytes(csv("1 2 3,zzz"))
    (tmp_path / "folder.csv").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refuse(["compare", name, *[option] * bool(option)], *parts)


def test_what_is_no_regular_file_is_not_waited_for(refuse, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    refuse(["compare", "pipe.csv"], "pipe.csv: is a device or a pipe; name a file")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    refuse(["compare", "zero.csv"], "zero.csv: is a device or a pipe")


def test_a_made_file_replaces_nothing(refuse, tmp_path):
    (tmp_path / "mine.jsonl").write_text("mine")
    refuse(["data", "make", "noise", "--sequences=20", "--out=mine.jsonl"], "--out mine.jsonl is there; name another")
    assert (tmp_path / "mine.jsonl").read_text() == "mine"


def test_a_folder_in_the_place_of_a_lock_and_markup_in_names(refuse, tmp_path, capsys):
    (tmp_path / "o" / ".lock").mkdir(parents=True)
    refuse(["compare", *TINY_FLAGS, "--arms=scratch", "--out=o"], "o/.lock: cannot be used", "remove it")
    assert main(["compare", *TINY_FLAGS, "--arms=scratch", "--out=[red]x[/bold]"]) == 0
    assert "report: [red]x[/bold]/report.html" in capsys.readouterr().err


def test_a_refusal_ends_the_process_with_status_2(cli, tmp_path):
    result = cli("compare", "no.csv")
    check_refusal(result.returncode, result.stdout, result.stderr, "no.csv: no such file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["compare", "--arms=scratch,nope"],
            ["--arms nope", "scratch, spt, scratch-long, spt-labelled, joint, joint-corrupted, mimetic, mimetic-qk, "],
        ),
        (["compare", "--dept=3"], ["unknown option --dept=3; did you mean --depth?", "--help-all lists"]),
        (["compare", "--positions=rotari"], ["--positions", "rotary"]),
        (["compare", "--lr=1e-3,fast"], ["--lr", "fast"]),
        (
            ["compare", "--preset=huge"],
            ["--preset huge is unknown", "minimal, demo, small, standard, lra-listops-small"],
        ),
        (["compare", "--label.duration=soon"], ["--label.duration 'soon' is no duration", "800steps or 20epochs"]),
        (["compare", "--clip=inf"], ["--clip inf is too large; the most is 1e+12"]),
        (["predict", "somewhere", "a.csv"], ["--out is missing (see selfpretrain predict --help)"]),
        (["compare", "--clip=nan"], ["--clip nan is no number to work with"]),
        (["compare", f"--label.duration={'9' * 400}"], ["is no duration"]),
        (["compare", "--ff-factor=1e300"], ["--ff-factor 1e+300 is too large; the most is 1e+12"]),
        (
            ["compare", "--ff-factor=1e9", "--plan"],
            ["feed-forward width 32,000,000,000: needs at least", "GB are free"],
        ),
        (["compare", f"--symbols={10**30}"], ["is out of range; it lies between 2 and 65536"]),
        (["compare", f"--length={10**11}"], ["the task proximity: needs at least 6,400,000.0 GB", "GB are free"]),
        (["compare", f"--sequences={10**13}"], ["--sequences 10000000000000 is too large"]),
        (["data", "make", "lra-listops", "--min-tokens=2", "--max-tokens=3", "--out=a.jsonl"], ["2 to 3 tokens were"]),
        (["comp\nare\x1b[31m"], [r"unknown verb 'comp\nare\x1b[31m'"]),
        (["compare", "--out=/proc/x"], ["--out /proc/x cannot be written to", "name another"]),
        (["compare", "--workers=99"], ["--workers 99", "cores"]),
        (["compare", "--device=cuda"], ["--device cuda is not available here", "cpu"]),
        (["compare", "--label-fractions=0.0000001,1"], ["--label-fractions (1e-07, 1.0)", "from 1e-06 to 1"]),
        (["compare", "--label-fractions=0.1,1", "--plan"], ["cannot be combined with --plan"]),
        (["study", "masking", f"--budget={'9' * 300}h"], ["is not a time; write 90s, 10m or 1h"]),
        (["study", "masking", "--budget=soon"], ["--budget 'soon' is not a time", "write 90s, 10m or 1h"]),
        (["compare", "noise", "extra"], ["unexpected argument 'extra'"]),
        (["compaer"], ["unknown verb 'compaer'", "compare"]),
        (["report", "nowhere"], ["nowhere: no comparison to draw"]),
        (["report"], ["FOLDER is missing"]),
        (["compare", "--out"], ["--out needs a value"]),
        (["clean", "nowhere"], ["nowhere: no comparison to clean"]),
        (["diagnose", "nowhere", "--sections=nope"], ["--sections nope", "transplants, attention"]),
        (["compare", "--symbols=many"], ["--symbols cannot be 'many'", "number"]),
        (["compare", "--arms=joint", "--objective=causal"], ["the arm joint", "masked or span"]),
        (["compare", "--objective=causal", "--pooling=cls"], ["--pooling cls", "mean, max or last"]),
    ],
)
def test_a_request_is_refused(arguments, parts, refuse):
    if "--device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has the device that should be missing")
    refuse(arguments, *parts)


OF_FILES = [flag for flag in TINY_FLAGS if not flag.startswith(("--symbols", "--length", "--sequences"))]


def test_a_folder_that_holds_something_else_is_refused_and_kept(refuse, tmp_path):
    assert main(["compare", *TINY_FLAGS, "--arms=classical", "--workers=1", "--out=o"]) == 0
    before = (tmp_path / "o/summary.json").read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("dear")
    (tmp_path / "file").write_text("")
    compare = ["compare", *TINY_FLAGS]
    other = ("--out o holds a comparison of other data", "data_seed 0 there, 1 here", "another folder")
    refuse([*compare, "--data-seed=1", "--out=o"], *other)
    refuse([*compare, "--out=mine"], "--out mine holds something else", "new folder")
    refuse([*compare, "--out=file"], "--out file cannot be written to", "name another")
    for damage in ("{", "[]", '{"request": 3, "task": "x", "source": null}'):
        (tmp_path / "o/config.json").write_text(damage)
        refuse([*compare, "--data-seed=1", "--out=o"], "has a config.json that is damaged")
        for verb in ("report", "diagnose", "clean"):
            refuse([verb, "o"], "config.json: missing or damaged; its compare command again mends it")
    assert (tmp_path / "o/summary.json").read_bytes() == before
    assert main([*compare, "--arms=classical", "--workers=1", "--out=o"]) == 0  # the runs say whose folder it is
    assert (tmp_path / "o/summary.json").read_bytes() == before


def test_a_folder_of_the_first_version_is_refused_with_one_line(refuse, tmp_path):
    request = {"arms": ["scratch"], "task": {"data": "proximity"}, "seeds": 3}
    (tmp_path / "o").mkdir()
    (tmp_path / "o/config.json").write_text(json.dumps({"request": request, "task": "0123456789abcdef"}))
    (tmp_path / "o/summary.json").write_text(json.dumps({"arms": {}}))
    refuse(["compare", *TINY_FLAGS, "--out=o"], "no comparison of this version")
    refuse(["report", "o"], "config.json: missing or damaged")


def test_data_that_changed_under_the_same_name_are_refused(refuse, tmp_path):
    (tmp_path / "a.csv").write_bytes(csv(*GOOD))
    assert main(["compare", "a.csv", *OF_FILES, "--arms=classical", "--workers=1", "--out=o"]) == 0
    (tmp_path / "a.csv").write_bytes(csv(*GOOD, "1 1 1 0,a"))
    refuse(["compare", "a.csv", *OF_FILES, "--out=o"], "holds a comparison of other data", "the data have changed")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 KB, where the machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        os.geteuid() != 0
        or mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_what_was_written_stays_whole(cli, small_disk):
    result = cli("compare", *TINY_FLAGS, "--width=64", "--depth=4", "--out=disk/o", "--workers=1")
    assert result.returncode == 2, result.stderr
    assert "No space left on device" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    for path in small_disk.rglob("*.json"):
        json.loads(path.read_text())
    assert not (small_disk / "o/summary.json").exists()


def test_a_read_only_disk_is_named(refuse, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    parts = ("--out disk/o cannot be written to", "Read-only file system", "name another")
    refuse(["compare", *TINY_FLAGS, "--out=disk/o"], *parts)


def test_pieces_stay_whole_when_the_disk_is_full_while_images_are_drawn(capsys, small_disk):
    out = small_disk / "p.npz"
    (small_disk / "other").write_bytes(bytes(220_000))  # room for one piece of 50 images
    arguments = ["data", "make", "lra-pathfinder-small", "--sequences=100", f"--out={out}", "--workers=1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "cannot write" in error and "make room" in error
    assert not out.exists() and not list(small_disk.rglob(".selfpretrain-*"))
    (piece,) = small_disk.rglob("*.npz")
    with np.load(piece) as rows:
        assert len(rows["x"]) == len(rows["y"]) == 50


# Something of somebody else's where a file or a folder of ours belongs.

WITHOUT_TRAINING = [*TINY_FLAGS, "--arms=classical", "--workers=1"]


@pytest.fixture
def compared(tmp_path, monkeypatch, capsys):
    """A finished comparison in the folder o."""
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *WITHOUT_TRAINING, "--out=o"]) == 0
    capsys.readouterr()
    return tmp_path / "o"


@pytest.mark.parametrize("name", ["trainings", "runs", "best", "average"])
def test_a_link_in_the_place_of_a_folder_is_refused_before_anything_is_written(compared, refuse, name):
    elsewhere = compared.parent / "elsewhere"
    elsewhere.mkdir()
    if (compared / name).exists():
        shutil.rmtree(elsewhere)
        (compared / name).rename(elsewhere)
    (compared / name).symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in compared.glob("*.*") if path.is_file()}
    refuse(["compare", *WITHOUT_TRAINING, "--seeds=4", "--out=o"], f"o/{name}: is a symbolic link")
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("name", ["runs", "best", "runs/classical-seed0", "report.html"])
def test_what_stands_where_we_write_is_named_in_one_line(compared, capsys, name):
    if (compared / name).is_dir():
        shutil.rmtree(compared / name)
        (compared / name).write_text("mine")
    else:
        (compared / name).unlink(missing_ok=True)
        (compared / name).mkdir()
    assert main(["compare", *WITHOUT_TRAINING, "--out=o"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert f"cannot write o/{name}" in error.splitlines()[-1] and "move away what stands there" in error
    assert (compared / name).is_dir() or (compared / name).read_text() == "mine"


def test_a_loop_of_links_is_refused(refuse, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for command in (["compare", *WITHOUT_TRAINING], ["study", "depth"]):
        refuse([*command, "--out=loop"], "loop: is a symbolic link to loop")


def test_made_files_replace_nothing_that_has_come_meanwhile(refuse, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_bytes(csv(*GOOD))
    make = ["data", "make", "noise", "--sequences=50"]
    refuse([*make, "--out=a.csv/x.jsonl"], "cannot write a.csv", "move away")
    refuse([*make, f"--out={'x' * 300}.jsonl"], "File name too long")
    lines = catalogue._lines

    def slow(*arguments):
        (tmp_path / "y.jsonl").write_text("mine")  # somebody else is faster
        yield from lines(*arguments)

    monkeypatch.setattr(catalogue, "_lines", slow)
    assert main([*make, "--out=y.jsonl"]) == 2
    assert (tmp_path / "y.jsonl").read_text() == "mine"
    assert not list(tmp_path.glob(".selfpretrain-*"))


@pytest.mark.parametrize("content", ["5", "null", "{}", '"abc"', "[[1]]", "{", ""])
def test_an_edited_list_of_used_trainings_is_damage_and_not_permission(compared, refuse, capsys, content):
    (compared / "transplants").mkdir()
    (compared / "transplants/trainings.json").write_text(content)
    refuse(["clean", "o", "--yes"], "transplants/trainings.json: missing or damaged; its diagnose command")
    assert main(["compare", *WITHOUT_TRAINING, "--out=o"]) == 0


# What a session of work ends with.


def test_closed_streams_change_no_status(cli, tmp_path):
    program = f"{sys.executable} -m selfpretrain"
    for command, status in (
        ("data list >&- 2>&-", 0),
        ("compare nope.csv 2>&-", 2),
        ("compare nope.csv 2>/dev/full", 2),
    ):
        assert subprocess.run(f"{program} {command}", shell=True, cwd=tmp_path, check=False).returncode == status


def test_an_error_stream_that_is_closed_ends_no_comparison(tmp_path):
    command = [sys.executable, "-m", "selfpretrain", "compare", *TINY_FLAGS, "--arms=scratch"]
    read, write = os.pipe()
    os.close(read)  # whoever read it has gone: a terminal, a pager
    assert subprocess.run([*command, "--out=o", "--workers=1"], cwd=tmp_path, stderr=write, check=False).returncode == 0
    closed = f"{shlex.join(command)} --out=p --workers=2 >&- 2>&-"
    assert subprocess.run(closed, shell=True, cwd=tmp_path, check=False).returncode == 0
    os.close(write)
    assert all((tmp_path / out / "summary.json").exists() for out in "op")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("pause", [0, 0.3])
def test_three_times_ctrl_c_ends_a_comparison_and_all_of_its_processes_without_a_traceback(tmp_path, pause, workers):
    flags = [*TINY_FLAGS, "--arms=scratch", f"--workers={workers}", "--label.duration=100000"]
    started = subprocess.Popen(
        [sys.executable, "-m", "selfpretrain", "compare", *flags, "--out=o"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list((tmp_path / "o").glob("trainings/*")):
        assert started.poll() is None
        time.sleep(0.02)
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.killpg(started.pid, signal.SIGINT)
        time.sleep(pause)
    _, errors = started.communicate(timeout=30)  # until nothing that it started holds the pipe
    # Where Ctrl-C came while Python executed a string (as to make a dataclass), Python ends by the signal itself,
    # although the interrupt was caught. A shell gives 130 for both.
    assert started.returncode in (130, -signal.SIGINT)
    assert errors.splitlines()[-1].startswith("selfpretrain: interrupted; finished work is kept")
    assert "Traceback" not in errors


def test_ctrl_c_before_anything_has_begun_ends_without_a_traceback(tmp_path):
    """The command line is a stand-in that is interrupted while it is imported."""
    code = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)"
    (tmp_path / "slow.py").write_text(code)
    program = """
import sys, types
sys.path.insert(0, sys.argv.pop())
class Finder:
    def find_spec(name, path, target=None):
        if name == "selfpretrain.cli":
            import slow
sys.meta_path.insert(0, Finder)
from selfpretrain.__main__ import main
main()
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


# Bounds.


def test_a_grid_without_end_is_refused(refuse):
    rates = ",".join(f"{1e-5 * (1 + number):g}" for number in range(5000))
    refuse(["compare", "--plan", f"--lr={rates}"], "too large a grid; give at most 100")


def test_packed_texts_are_bounded_by_memory(refuse, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "memory_bytes", lambda: 60_000_000)
    for name, text in (("a.fasta", b">s a\n"), ("a.csv", b"sequence,label\n"), ("a.jsonl", b"")):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text + b"A" * 11_000_000))
        refuse(["data", "check", f"{name}.gz"], f"{name}.gz: more than 0.0 GB of text at once", "give fewer rows")
    monkeypatch.setattr(table, "ROWS", 100)
    for name, record in (("many.fasta.gz", b">s%d a\n%s\n"), ("many.jsonl.gz", b'{"id": %d, "sequence": "%s"}\n')):
        records = b"".join(record % (number, b"ACGT" * 2500) for number in range(2000))  # 20 MB in pieces
        (tmp_path / name).write_bytes(gzip.compress(records))
        assert [len(piece) for piece in table.tables(tmp_path / name, TaskConfig(data="x"))] == [100] * 20
        refuse(["data", "check", name], f"{name}: more than 0.0 GB of text at once", "give fewer rows")


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("claims=['x']", "claims 'x', which is no claim"),
        ("cases=lambda ground: ['x']", "makes 'x', which is no Case"),
        ("cases=lambda ground: iter(int, 1)", "has more than 1,000 cases"),
        ("cases=None", "a study's cases are a function of its ground, and not None"),
        ("question=None", "a study's question is a text, and not None"),
        ("name=7", "a study's name is a text, and not 7"),
        ("claims=[Ahead]", "which is no claim"),
        ("claims=[Ahead(text=5, case='a')]", "which is no claim"),
        ("cases=lambda ground: __import__('sys').exit(3)", "SystemExit: 3"),
        *((f"name={name!r}", "cannot name a folder") for name in ("../../x", "a\nb", "a\0b", "\x1b[31m", "a/b", "")),
    ],
)
def test_a_study_of_other_things_is_refused(refuse, tmp_path, study, message):
    text = f"""
from selfpretrain.studies import Ahead, Study
given = dict(name="mine", question="?", expected=".", minutes=1, claims=[Ahead(text="ahead", case="a")], cases=list)
STUDY = Study(**given | dict({study}))
"""
    (tmp_path / "s.py").write_text(text)
    refuse(["study", "s.py"], message)


def test_settings_of_another_type_are_refused_from_python(tmp_path):
    for value in ([3], {}):
        with pytest.raises(RequestError, match="is no number"):
            compare("noise", seeds=value)
    for settings in ({"seeds": True}, {"metric": 5}, {"model": ModelConfig(depth=1.5)}):
        with pytest.raises(RequestError, match=r"Expected|Invalid|is not known|is no"):
            compare("noise", out=tmp_path / "o", **settings)
    for lr in (None, ("a",), "x"):
        with pytest.raises(RequestError, match="is no grid"):
            TrainConfig(lr=lr)
    assert TrainConfig(lr=0.1).lr == (0.1,)
    assert not list(tmp_path.iterdir())
    numbers = from_dict(CompareConfig, to_dict(CompareConfig(seeds=np.int64(4), model=ModelConfig(width=np.int64(8)))))
    assert (numbers.seeds, numbers.model.width) == (4, 8)


def test_a_symbol_of_a_megabyte_is_cut_in_messages_and_ends_nothing(refuse, tmp_path):
    symbol = "x" * 2**20
    (tmp_path / "a.csv").write_bytes(csv(*GOOD, f"{symbol} 1,a", f"1 {symbol},b"))
    assert main(["compare", "a.csv", *OF_FILES, "--kind=symbols", "--arms=classical", "--workers=1", "--out=o"]) == 0
    report = tmp_path / "o/report.html"
    assert report.stat().st_size < 2**20
    (tmp_path / "b.csv").write_bytes(csv(*GOOD, f"1 2,{symbol}"))
    refuse(["compare", "b.csv", "--out=p"], "b.csv", "xxx")


def test_a_header_that_promises_gigabytes_is_compared_with_the_file(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for label in "ab":
        (tmp_path / "sounds" / label).mkdir(parents=True)
        for number in range(8):
            with wave.open(str(tmp_path / "sounds" / label / f"{number}.wav"), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(8000)
                sound.writeframes(np.random.default_rng(number).bytes(200))
    liar = tmp_path / "sounds/b/7.wav"
    content = bytearray(liar.read_bytes())
    content[4:8] = content[40:44] = (2**32 - 16).to_bytes(4, "little")
    liar.write_bytes(content)
    assert main(["compare", "sounds", "--plan"]) == 0
    assert "16 rows, sequence from column x as values (1 channel), 100 steps" in capsys.readouterr().err


# The surroundings.


def test_nothing_is_written_outside_of_the_folder_that_was_named(tmp_path):
    """A fresh home stays empty: no cache of fonts, of kernels, of anything."""
    home = tmp_path / "home"
    home.mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    command = [sys.executable, "-m", "selfpretrain", "compare", *WITHOUT_TRAINING, "--out=o"]
    ended = subprocess.run(command, cwd=tmp_path, env=own | {"HOME": str(home)}, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not list(home.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "o"]


def test_little_address_space_ends_in_a_result_or_in_one_line(tmp_path):
    def little():
        resource.setrlimit(resource.RLIMIT_AS, (4 * 10**9,) * 2)

    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((600, 10**6), dtype=np.uint8), y=np.arange(600) % 2)
    command = [sys.executable, "-m", "selfpretrain", "compare", "a.npz", "--max-length=2000000", "--plan"]
    ended = subprocess.run(command, cwd=tmp_path, preexec_fn=little, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 2), ended.stderr
    assert "Traceback" not in ended.stderr
    command = [sys.executable, "-m", "selfpretrain", "compare", *TINY_FLAGS, "--arms=scratch,spt", "--out=o"]
    ended = subprocess.run(command, cwd=tmp_path, preexec_fn=little, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_name_that_is_no_text_is_the_culprit(tmp_path):
    name = os.fsencode(tmp_path) + b"/n\xff.csv"
    Path(os.fsdecode(name)).write_bytes(csv(*GOOD))
    command = [sys.executable, "-m", "selfpretrain", "compare", name, "--plan"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode in (0, 2) and b"Traceback" not in ended.stderr
    assert ended.returncode == 0 or b"give it a name that is valid text" in ended.stderr


def test_a_pipe_in_the_place_of_a_manifest_is_not_waited_for(compared, refuse):
    for name in ("manifest.json", "DONE"):
        path = compared / "best" / name
        path.rename(compared / "kept")
        os.mkfifo(path)
        refuse(["predict", "o", "new.csv", "--out=p.csv"], f"o/best/{name}: missing or damaged")
        path.unlink()
        (compared / "kept").rename(path)


@pytest.mark.parametrize("name", ["study.json", "table.csv", "report.html"])
def test_a_folder_in_the_place_of_a_file_of_a_study_is_named_before_anything_is_trained(refuse, tmp_path, name):
    (tmp_path / "o" / name).mkdir(parents=True)
    (tmp_path / "o" / name / "thesis.txt").write_text("dear")
    refuse(["study", "depth", "--out=o"], "--out o holds something else")


@pytest.mark.parametrize("content", ["mine", '{"my": 1}'])
def test_a_study_takes_no_foreign_folder_for_its_own(refuse, tmp_path, content):
    (tmp_path / "o").mkdir()
    for name in ("study.json", "table.csv", "report.html"):
        (tmp_path / "o" / name).write_text(content)
    refuse(["study", "depth", "--out=o"], "--out o holds something else")
    assert (tmp_path / "o/study.json").read_text() == content


def test_a_study_goes_through_no_link(refuse, tmp_path):
    text = """
from conftest import tiny_config
from selfpretrain.config import CompareConfig, ModelConfig, TaskConfig, TrainConfig
from selfpretrain.studies import Ahead, Case, Study
task = TaskConfig(options={"symbols": 4, "length": 8, "sequences": 120})
cases = lambda ground: [Case({"a": 1}, tiny_config(arms=("scratch", "spt")), task)]
claims = [Ahead(text="ahead", case="a-1")]
STUDY = Study(name="mine", question="?", expected=".", minutes=1, claims=claims, cases=cases)
"""
    (tmp_path / "s.py").write_text(text)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "trainings").symlink_to(tmp_path / "elsewhere")
    refuse(["study", "s.py", "--out=o"], "o holds something else")
    assert not list((tmp_path / "elsewhere").iterdir())
