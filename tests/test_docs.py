"""README and docs: sentences that a stranger can read, numbers as one reads them, links that lead somewhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MOST_WORDS = 32
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def pieces(text):
    """Paragraphs, items of lists, cells of tables and descriptions of pictures: what is read in one go."""
    for block in re.split(r"\n\s*\n", CODE.sub("", text)):
        if block.startswith("|"):
            yield from (cell for line in block.splitlines() for cell in line.strip("|").split("|"))
        else:
            yield from re.split(r"\n(?=\s*(?:[*#>-]|\d+\.)\s|!\[)", block)


def sentences(text):
    for piece in pieces(text):
        plain = re.sub(r"\]\([^)]*\)", "", " ".join(piece.split()))
        yield from re.split(r"(?<=[.!?])[*_)\"]*\s+(?=[^a-z\s])", plain)


def words(sentence):
    return [word for word in sentence.split() if re.search(r"\w", word)]


@pytest.mark.fast
def test_sentences_are_told_apart():
    text = (
        "One `a.b` two (see [three](x.md)). Four!\n\n* Five\n  six.\n* Seven\n\n| a | b c. D |\n\n```\nnot. read\n```\n"
    )
    assert [" ".join(words(each)) for each in sentences(text) if words(each)] == [
        "One `a.b` two (see [three).",
        "Four!",
        "Five six.",
        "Seven",
        "a",
        "b c.",
        "D",
    ]


@pytest.mark.fast
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_is_longer_than_a_breath(page):
    long = [f"{len(words(each))}: {each}" for each in sentences(page.read_text()) if len(words(each)) > MOST_WORDS]
    assert not long, "\n".join(long)


@pytest.mark.fast
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_decimal_begins_with_its_zero(page):
    assert re.findall(r"(?<![\w.*/-])\.\d+\b", CODE.sub("", page.read_text())) == []


@pytest.mark.fast
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


@pytest.mark.fast
def test_every_public_function_of_the_diagnostics_has_an_example():
    bare = []
    for path in sorted((ROOT / "src/selfpretrain/diagnostics").glob("*.py")):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        texts = {f.name: ast.get_docstring(f) or "" for f in functions if f.name[0] != "_"}
        bare += [f"{path.name}: {name}" for name, text in texts.items() if ">>>" not in text]
    assert bare == []
