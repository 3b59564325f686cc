"""The command line as a person meets it."""

import json
import shutil
import subprocess
import sys

import pytest

from conftest import TINY_FLAGS
from selfpretrain.registry import SECTIONS


def test_help_names_verbs_and_exit_status(cli):
    for arguments in ([], ["--help"], ["-h"]):
        result = cli(*arguments)
        assert result.returncode == 0
        assert "compare [DATA]" in result.stdout
        assert "130 interrupted" in result.stdout


def test_help_of_compare_teaches_every_group_of_options(cli):
    result = cli("compare", "--help")
    assert result.returncode == 0
    for part in ("--arms", "--seeds", "--out", "--mask-ratio", "--label.duration", "--positions"):
        assert part in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["proximity", "--symbols", "8", "--length", "80", "--probability", "0.5", "--sequences", "4000"] in lines
    shown = [line.split()[0] for line in result.stdout.partition("arms:")[0].splitlines() if line.startswith("  --")]
    assert len(shown) <= 40
    rest = cli("compare", "--help-all").stdout
    assert "--label.warmup" in rest
    assert "--label.warmup" not in result.stdout
    assert any(line[:1] == ["scratch-long"] for line in lines)  # arms with what they do
    sections = cli("diagnose", "--help").stdout
    assert all(f"  {name} " in sections for name in SECTIONS)


@pytest.mark.parametrize("verb", ["compare", "diagnose", "study", "data", "report", "clean"])
def test_help_waits_for_no_heavy_import(verb):
    """What makes it fast, checked without a clock: torch, scipy and matplotlib are not loaded."""
    code = (
        "import sys\nfrom selfpretrain.cli import main\n"
        f"try: main(['{verb}', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'scipy', 'matplotlib', 'sklearn', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_version(cli):
    import selfpretrain

    assert cli("--version").stdout == f"selfpretrain {selfpretrain.__version__}\n"


def test_json_is_alone_on_standard_output(cli, tmp_path):
    result = cli("compare", *TINY_FLAGS, "--json", "--workers=1")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((tmp_path / "runs/proximity/summary.json").read_text())
    assert "verdict" in result.stderr


def test_everything_lies_in_out_and_the_report_can_be_drawn_again(cli, tmp_path):
    result = cli("compare", *TINY_FLAGS, "--out=here", "--workers=2")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    (tmp_path / "here/report.html").unlink()
    assert cli("report", "here").returncode == 0
    assert (tmp_path / "here/report.html").exists()


def test_a_reader_that_leaves_is_no_error(tmp_path):
    command = f"{sys.executable} -m selfpretrain compare --help | head -n 1"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr


def test_a_preset_is_the_ground_on_which_options_stand(cli, tmp_path):
    flags = [flag for flag in TINY_FLAGS if not flag.startswith("--width")]
    assert cli("compare", *flags, "--preset=small", "--heads=2", "--out=o", "--workers=1").returncode == 0
    request = json.loads((tmp_path / "o/config.json").read_text())["request"]
    assert (request["model"]["depth"], request["model"]["width"], request["model"]["heads"]) == (2, 64, 2)


def test_drawing_a_report_loads_no_torch(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "o")
    code = (
        "import sys\nfrom selfpretrain.cli import main\n"
        f"status = main(['report', {str(folder)!r}])\n"
        "sys.exit(status or ('torch is loaded' if 'torch' in sys.modules else 0))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (folder / "report.html").exists()


def test_a_second_command_with_more_seeds_says_what_is_there(cli, tmp_path):
    flags = [flag for flag in TINY_FLAGS if not flag.startswith(("--seeds", "--lr"))]
    common = ("compare", *flags, "--lr=1e-3,1e-2", "--arms=scratch,spt", "--out=o", "--workers=1")
    assert cli(*common, "--seeds=2").returncode == 0
    more = cli(*common, "--seeds=3")
    assert more.returncode == 0, more.stderr
    assert "12 of 15 trainings are there" in more.stderr  # 3 a rate and a seed
    assert "[3/3]" in more.stderr
    assert "[4/" not in more.stderr
    request = json.loads((tmp_path / "o/config.json").read_text())["request"]
    assert request["seeds"] == 3
