"""The report in a real browser: no console error, nothing from elsewhere, every figure there, at two widths."""

import json
import shutil
from collections import Counter

import pytest

from conftest import ARMS, TINY_DIAGNOSIS
from selfpretrain import diagnose
from selfpretrain.arms.registry import known_arms
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.errors import RequestError
from selfpretrain.explain.registry import known_sections
from selfpretrain.report.figures import PICTURES
from selfpretrain.report.write import write_report
from selfpretrain.studies.conduct import run_study
from test_studies import TINY

pytestmark = pytest.mark.whole
COLOURS = {name: arm.colour for name, arm in known_arms().items()}
OF_WHY = [picture for section in known_sections().values() for picture in section.pictures()]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report(everything, tmp_path_factory):
    return write_report(shutil.copytree(everything[0].folder, tmp_path_factory.mktemp("report") / "o"))


@pytest.fixture(scope="module")
def with_why(explained, tmp_path_factory):
    """The report of a diagnosed copy, with a gain in its summary so that the transplants have one to carry."""
    folder = shutil.copytree(explained[0], tmp_path_factory.mktemp("why") / "o")
    path = folder / "diagnosis/conclusion.json"
    conclusion = json.loads(path.read_text())
    ends = conclusion["conclusion"]["ends"]
    ends["spt"] = [0.4 + accuracy for accuracy in ends["scratch"]]
    path.write_text(json.dumps(conclusion))
    return write_report(folder)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("NOT TESTED: the report in a browser. Install Chromium (Debian: apt-get install chromium)")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole_at_desktop_and_phone_width(report, browser, width, tmp_path):
    page = browser.new_page(viewport={"width": width, "height": 844})
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    page.goto(report.as_uri())
    assert page.locator("#verdict").inner_text().strip()
    figures = page.locator("figure")
    assert figures.count() == len(PICTURES)
    for i in range(figures.count()):
        box = figures.nth(i).locator("svg").bounding_box()
        assert box["width"] > 250, "a figure has no room"
        assert box["height"] > 150
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        styles = figures.nth(i).locator("svg [style]").evaluate_all("all => all.map(e => e.getAttribute('style'))")
        drawn = {colour for colour in COLOURS.values() for style in styles if colour.lower() in style.lower()}
        wanted = {COLOURS["spt"]} if PICTURES[i].title == "Self-pretraining" else {COLOURS["scratch"], COLOURS["joint"]}
        assert wanted <= drawn, f"{PICTURES[i].title} lacks the data of an arm"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = tmp_path / "page.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000
    assert wrong == []
    page.close()


@pytest.fixture(scope="module")
def study_report(tmp_path_factory):
    return write_report(run_study(TINY, out=tmp_path_factory.mktemp("study") / "o").folder)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_of_a_study_is_whole_and_leads_to_its_comparisons(study_report, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 844})
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    page.goto(study_report.as_uri())
    study = json.loads((study_report.parent / "study.json").read_text())
    assert page.locator("#verdict").inner_text().strip()
    assert page.locator("figure svg").count() == 2 + any(c["effect"] is not None for c in study["claims"])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.locator("thead").first.is_visible()
    assert shown is (width > 640)  # on a phone every cell says its column's name
    page.locator("a").first.click()
    assert page.locator("h1").inner_text().startswith("Does self-pretraining help on proximity?")
    assert wrong == []
    page.close()


def test_ids_do_not_collide_between_figures(report, browser):
    page = browser.new_page()
    page.goto(report.as_uri())
    ids = Counter(page.evaluate("[...document.querySelectorAll('[clip-path]')].map(e => e.getAttribute('clip-path'))"))
    defined = page.evaluate("[...document.querySelectorAll('clipPath')].map(e => e.id)")
    assert ids
    assert len(defined) == len(set(defined))
    page.close()


def test_the_report_is_drawn_from_the_folder_alone_and_twice_the_same(report):
    first = report.read_text()
    report.unlink()
    assert write_report(report.parent).read_text() == first
    for arm in ARMS:
        assert f"<b>{arm}</b>" in first


def test_text_from_data_is_escaped(report, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(report.parent, folder)
    summary = json.loads((folder / "summary.json").read_text())
    summary["task"]["name"] = "<script>alert(1)</script>"
    (folder / "summary.json").write_text(json.dumps(summary))
    assert "<script>" not in write_report(folder).read_text()


def test_a_folder_without_a_finished_comparison_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no comparison to draw, and no run"):
        write_report(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RequestError, match="is not finished"):
        write_report(tmp_path)
    (tmp_path / "summary.json").write_text('{"arms": {}')
    with pytest.raises(RequestError, match="missing or damaged"):
        write_report(tmp_path)


# The part "Why".


@pytest.mark.parametrize("width", [1280, 390])
def test_why_is_whole_at_desktop_and_phone_width(with_why, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 844})
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    page.goto(with_why.as_uri())
    assert page.locator("#why").count() == 1
    titles = page.locator("figure h3").all_inner_texts()
    assert {picture.title for picture in OF_WHY} <= set(titles)
    for i in range(page.locator("figure").count()):
        box = page.locator("figure").nth(i).bounding_box()
        assert box["width"] <= width
        assert box["height"] > 150
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not wrong
    page.close()


def test_every_figure_says_what_to_see_in_a_sentence_or_more():
    for picture in (*PICTURES, *OF_WHY):
        assert picture.caption.endswith("."), picture.title
        assert picture.paint.__doc__


def test_without_a_diagnosis_there_is_no_why(report):
    assert 'id="why"' not in report.read_text()


def test_the_page_of_one_run_has_its_why_alone(comparison):
    run = comparison / "runs/spt-seed0"
    diagnose(run, sample=16, large_sample=32, max_lag=2, sections=("attention", "data"))
    page = write_report(run).read_text()
    assert 'id="why"' in page
    assert "<h1>spt-seed0" in page
    assert not (comparison / "diagnosis").exists()


def test_of_a_damaged_diagnosis_the_rest_is_shown_and_the_cure_is_named(with_why, tmp_path):
    folder = shutil.copytree(with_why.parent, tmp_path / "o")
    assert "Where attention looks" in write_report(folder).read_text()
    for damage in ("{", "[]"):
        (folder / "diagnosis/attention.json").write_text(damage)
        page = write_report(folder).read_text()
        assert "Where attention looks" not in page
        assert "What each loss says about attention at the start" in page
        (folder / "diagnosis/conclusion.json").write_text(damage)
        with pytest.raises(RequestError, match=r"conclusion\.json"):
            write_report(folder)
        shutil.copy(with_why.parent / "diagnosis/conclusion.json", folder / "diagnosis/conclusion.json")


def test_a_diagnosis_of_another_request_is_not_shown(explained, tmp_path, tiny_task):
    folder = shutil.copytree(explained[0], tmp_path / "o")
    assert 'id="why"' in write_report(folder).read_text()
    config = ComparisonFolder(folder).request.request
    compare(tiny_task, config, out=folder, seeds=2)
    assert 'id="why"' not in write_report(folder).read_text()
    diagnose(folder, TINY_DIAGNOSIS, sections=("data",))
    assert 'id="why"' in write_report(folder).read_text()
