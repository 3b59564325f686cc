"""README and docs: numbers with their zero, links and paths that lead somewhere, examples of public functions."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_decimal_begins_with_its_zero(page):
    assert re.findall(r"(?<![\w.*/-])\.\d+\b", CODE.sub("", page.read_text())) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES[:1] + PAGES[2:], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    """The changelog may name files of its time."""
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|html|csv))`", page.read_text())
    places = (ROOT, ROOT / "tests", ROOT / "src/selfpretrain", ROOT / "src/selfpretrain/comparison")
    own = {"mine.py", "heads.py", "table.csv", "splits.csv", "my.csv", "report.html", "test.csv", "train.csv"}
    assert [name for name in named if name not in own and not any((place / name).exists() for place in places)] == []


def test_the_tests_that_show_a_promise_exist():
    promised = re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text())
    written = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert promised and [name for name in promised if f"def {name}(" not in written] == []


def test_every_public_function_of_the_diagnostics_has_an_example():
    bare = []
    for path in sorted((ROOT / "src/selfpretrain/diagnostics").glob("*.py")):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        texts = {f.name: ast.get_docstring(f) or "" for f in functions if f.name[0] != "_"}
        bare += [f"{path.name}: {name}" for name, text in texts.items() if ">>>" not in text]
    assert bare == []


def test_the_lines_that_the_page_on_data_quotes_are_those_of_the_code():
    """Three words in a row of each quoted line stand in the code, whatever stands around them there."""
    page = (ROOT / "docs/data.md").read_text()
    table = page.partition("## What is recognised")[2].partition("\n## ")[0]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]
    quoted = [line for cell in cells for line in re.findall(r"`([^`]*)`", cell) if line.count(" ") >= 3]
    code = "".join(path.read_text() for path in (ROOT / "src/selfpretrain/data").glob("*.py"))
    assert len(quoted) > 25
    for line in quoted:
        words = line.split()
        runs = [" ".join(words[place : place + 3]) for place in range(len(words) - 2)]
        assert any(run in code for run in runs), line


@pytest.mark.slow
def test_the_notebook_goes_from_data_to_a_saved_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "examples/from_data_to_model.ipynb").read_text())
    names = {"__name__": "notebook"}
    for number, cell in enumerate(cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        assert cell["outputs"] == []
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert names["accuracy"] > 0.9
    assert (tmp_path / "models/digits/manifest.json").is_file()
