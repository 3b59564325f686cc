"""The command line as a person meets it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

import selfpretrain
from conftest import TINY_FLAGS
from selfpretrain import cli
from selfpretrain.cli import main
from selfpretrain.registry import SECTIONS


@pytest.fixture
def printed(capsys):
    """What a command prints on standard output, in this process."""

    def run(*arguments):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
        out, error = capsys.readouterr()
        assert status == 0, error
        return out

    return run


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_verbs_and_exit_status(arguments, printed):
    text = printed(*arguments)
    assert "compare [DATA]" in text and "130 interrupted" in text


def test_help_of_a_verb_teaches_its_options_and_names(printed):
    text = printed("compare", "--help")
    for part in ("--arms", "--seeds", "--out", "--mask-ratio", "--label.duration", "--positions"):
        assert part in text
    lines = [line.split() for line in text.splitlines()]
    of_proximity = "proximity --symbols 8 --length 80 --probability 0.5 --law mirror --step 2 --sequences 4000"
    assert of_proximity.split() in lines
    assert any(line[:1] == ["scratch-long"] for line in lines)  # arms with what they do
    assert len([line for line in text.partition("arms:")[0].splitlines() if line.startswith("  --")]) <= 40
    assert "--label.warmup" not in text
    assert "--label.warmup" in printed("compare", "--help-all")
    width, seeds = (text.split(f"--{name} N ")[1].split("--")[0] for name in ("width", "seeds"))
    assert "(default: the preset's)" in width and "(default: 5)" in " ".join(seeds.split())
    sections = printed("diagnose", "--help")
    assert all(f"  {name} " in sections for name in SECTIONS)
    assert printed("--version") == f"selfpretrain {selfpretrain.__version__}\n"


def test_a_terminal_of_another_encoding_shows_escapes(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"row {i} ü,{'áb'[i % 2]}\n" for i in range(30)))
    for arguments in (["compare", "--help-all"], ["data", "check", "a.csv"]):
        command = [sys.executable, "-m", "selfpretrain", *arguments]
        own = os.environ | {"PYTHONIOENCODING": "ascii"}
        ended = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert rb"\x" in ended.stdout + ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_a_library_turns_into_an_error_of_its_own_is_still_one(monkeypatch, capsys, number):
    def export(arguments):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise AttributeError("half imported") from None

    monkeypatch.setattr(cli, "_export", export)
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(cli, "_interruption", threading.Event())
    cli.catch_signals()
    try:
        assert main(["export"]) == 130
        assert capsys.readouterr().err == "selfpretrain: interrupted; nothing is written\n"
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def test_help_waits_for_no_heavy_import():
    """What makes it fast, checked without a clock."""
    code = (
        "import sys\nfrom selfpretrain.cli import main\n"
        "for verb in ('compare', 'diagnose', 'study', 'data', 'report', 'clean'):\n"
        "    try: main([verb, '--help'])\n    except SystemExit: pass\n"
        "    heavy = {'torch', 'scipy', 'matplotlib', 'sklearn', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "    if heavy: sys.exit(f'{verb}: {heavy}')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_comparison_lies_in_one_folder_with_its_report_and_its_json_is_alone_on_standard_output(cli, tmp_path):
    """The options stand on the ground of a preset."""
    flags = [flag for flag in TINY_FLAGS if not flag.startswith("--width")]
    result = cli("compare", *flags, "--preset=small", "--heads=2", "--json", "--workers=1")
    assert result.returncode == 0, result.stderr
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")] == ["runs/proximity"]
    folder = tmp_path / "runs/proximity"
    assert json.loads(result.stdout) == json.loads((folder / "summary.json").read_text())
    assert "verdict" in result.stderr
    request = json.loads((folder / "config.json").read_text())["request"]
    assert (request["model"]["depth"], request["model"]["width"], request["model"]["heads"]) == (2, 64, 2)
    assert (folder / "report.html").exists()


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m selfpretrain compare --help | head -n 1"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


def test_drawing_a_report_loads_no_torch(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "o")
    (folder / "report.html").unlink(missing_ok=True)
    code = (
        "import sys\nfrom selfpretrain.cli import main\n"
        f"status = main(['report', {str(folder)!r}])\n"
        "sys.exit(status or ('torch is loaded' if 'torch' in sys.modules else 0))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (folder / "report.html").exists()


def test_a_second_command_with_more_seeds_says_what_is_there(tmp_path, capsys):
    flags = [flag for flag in TINY_FLAGS if not flag.startswith(("--seeds", "--lr"))]
    common = ("compare", *flags, "--lr=1e-3,1e-2", "--arms=scratch,spt", f"--out={tmp_path / 'o'}", "--workers=1")
    assert main([*common, "--seeds=2"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*common, "--seeds=3"]) == 0
    error = capsys.readouterr().err
    assert "12 of 18 trainings are there" in error  # 3 a rate and a seed
    assert "[6/6]" in error and "[7/" not in error
    assert json.loads((tmp_path / "o/config.json").read_text())["request"]["seeds"] == 3


RNG = np.random.default_rng(0)
STEPS = RNG.normal(size=(24, 4)).round(3)


def wide(**more):
    """A table of 24 rows with four steps."""
    return {**{f"t{t}": STEPS[:, t] for t in range(4)}, "label": ["a", "b"] * 12, **more}


def saved(path, table, **options):
    pd.DataFrame(table).to_csv(path, index=False, **options)
    return path


def test_the_command_says_what_it_has_read(tmp_path, capsys):
    table = wide(id=range(24), t1=[None, *STEPS[1:, 1]], label=[0, 1, -1] * 8)
    path = saved(tmp_path / "a.csv", table)
    options = ["--allow-missing", "--unlabelled", "none", "--preset", "minimal", "--workers", "1"]
    assert main(["compare", *options, str(path), "--plan", "--out", str(tmp_path / "out")]) == 0
    first, *more = capsys.readouterr().err.splitlines()
    assert first.startswith("a.csv: 24 rows, sequence from columns t0 .. t3 as values (1 channel), 4 steps")
    assert "classes from label: -1 8, 0 8, 1 8" in first and "not used: id" in first
    assert "id is not read as a step; --sequence names the steps" in more
    assert "1 missing or infinite values are replaced by their channel's training mean" in more
    assert [left.name for left in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (wide(t1=[None, *STEPS[1:, 1]]), [], "row 1: position 2 is missing"),
        (wide(t1=["0,5"] * 24), [], "'0,5' can be the number 0.5 or two, 0 and 5; give --decimal ,"),
        (wide(label=STEPS[:, 0]), [], "the target 'label' looks continuous"),
        (wide(target=["a"] * 24), [], "label and target could both be the class; name it with --label"),
        (wide(), ["--test", "TEST"], "columns t2, t3 are missing, which training has"),
        (wide(), ["--encoding", "klingon"], "--encoding klingon is no encoding that Python knows"),
        (wide(), ["--unlabelled", "c"], "--unlabelled c: no row has that class; the classes are a, b"),
        ({"rec": np.repeat(range(6), 4), "t": [0, 1, 2, 3] * 6, "x": 0.5, "z": 1.5, "sport": ["a"] * 12 + ["b"] * 12},
         [], "read it with --series rec --time t --label sport"),
    ],
)  # fmt: skip
def test_what_can_be_read_two_ways_ends_in_one_line_and_leaves_nothing(tmp_path, capsys, table, options, message):
    test = saved(tmp_path / "test.csv", {name: table[name] for name in ("label", "t1", "t0") if name in table})
    path = saved(tmp_path / "a.csv", table)
    given = [str(test) if option == "TEST" else option for option in options]
    assert main(["compare", str(path), *given, "--out", str(tmp_path / "out")]) == 2
    out, error = capsys.readouterr()
    assert message in error and not out
    assert len(error.splitlines()) == 1
    assert sorted(left.name for left in tmp_path.iterdir()) == ["a.csv", "test.csv"]
