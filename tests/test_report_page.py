"""The report in a real browser: no console error, nothing from elsewhere, every figure there, at two widths."""

import contextlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from selfpretrain import diagnose
from selfpretrain.arena.listops import ListOps
from selfpretrain.config import TaskConfig
from selfpretrain.files import to_dict
from selfpretrain.registry import ARMS, SECTIONS
from selfpretrain.report import page as pages
from selfpretrain.report.figures import PICTURES
from selfpretrain.report.write import write_report
from selfpretrain.studies.run import run_study
from test_studies_run import TINY

OF_WHY = [picture for section in SECTIONS.values() for picture in section.pictures()]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = pytest.mark.parametrize("width", [1280, 390])  # a desktop, a phone


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
def study_report(tmp_path_factory):
    return write_report(run_study(TINY, out=tmp_path_factory.mktemp("study") / "o").folder)


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


@contextlib.contextmanager
def opened(browser, report, width):
    """The page at a width, which has to fit, say nothing on the console and ask for nothing from elsewhere."""
    page = browser.new_page(viewport={"width": width, "height": 844})
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url))
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    yield page
    assert wrong == []
    page.close()


@WIDTHS
def test_the_page_is_whole_at_desktop_and_phone_width(report, browser, width, tmp_path):
    colours = {name: arm.colour for name, arm in ARMS.items()}
    with opened(browser, report, width) as page:
        assert page.locator("#verdict").inner_text().strip()
        figures = page.locator("figure")
        assert figures.count() == len(PICTURES)
        for i in range(figures.count()):
            box = figures.nth(i).locator("svg").bounding_box()
            assert box["width"] > 250 and box["height"] > 150, "a figure has no room"
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            styles = figures.nth(i).locator("svg [style]").evaluate_all("all => all.map(e => e.getAttribute('style'))")
            drawn = {name for name, colour in colours.items() for style in styles if colour.lower() in style.lower()}
            wanted = {"spt"} if PICTURES[i].title == "Self-pretraining" else {"scratch", "joint"}
            assert wanted <= drawn, f"{PICTURES[i].title} lacks the data of an arm"
        picture = tmp_path / "page.png"
        page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 50_000


@WIDTHS
def test_the_page_of_a_study_is_whole_and_leads_to_its_comparisons(study_report, browser, width):
    study = json.loads((study_report.parent / "study.json").read_text())
    with opened(browser, study_report, width) as page:
        assert page.locator("#verdict").inner_text().strip()
        assert page.locator("figure svg").count() == 2 + any(c["effect"] is not None for c in study["claims"])
        shown = page.locator("thead").first.is_visible()
        assert shown is (width > 640)  # on a phone every cell says its column's name
        page.locator("a").first.click()
        assert page.locator("h1").inner_text().startswith("Does self-pretraining help on proximity?")


@WIDTHS
def test_why_is_whole_at_desktop_and_phone_width(with_why, browser, width):
    with opened(browser, with_why, width) as page:
        assert page.locator("#why").count() == 1
        titles = page.locator("figure h3").all_inner_texts()
        assert {picture.title for picture in OF_WHY} <= set(titles)
        for i in range(page.locator("figure").count()):
            box = page.locator("figure").nth(i).bounding_box()
            assert box["width"] <= width
            assert box["height"] > 150


def test_ids_do_not_collide_between_figures(report, browser):
    with opened(browser, report, 1280) as page:
        clips = "[...document.querySelectorAll('[clip-path]')].map(e => e.getAttribute('clip-path'))"
        assert Counter(page.evaluate(clips))
        defined = page.evaluate("[...document.querySelectorAll('clipPath')].map(e => e.id)")
        assert len(defined) == len(set(defined))


def test_text_from_data_is_escaped(report, tmp_path):
    folder = shutil.copytree(report.parent, tmp_path / "copy")
    summary = json.loads((folder / "summary.json").read_text())
    summary["task"]["name"] = "<script>alert(1)</script>"
    (folder / "summary.json").write_text(json.dumps(summary))
    assert "<script>" not in write_report(folder).read_text()


@pytest.mark.whole
def test_every_figure_says_what_to_see_in_a_sentence_or_more():
    for picture in (*PICTURES, *OF_WHY):
        assert picture.caption.endswith("."), picture.title
        assert picture.paint.__doc__


def test_the_page_of_one_run_has_its_why_alone(comparison):
    run = comparison / "runs/spt-seed0"
    diagnose(run, sample=16, large_sample=32, max_lag=2, sections=("attention", "data"))
    page = write_report(run).read_text()
    assert 'id="why"' in page
    assert "<h1>spt-seed0" in page
    assert not (comparison / "diagnosis").exists()


# Published results.


@pytest.mark.parametrize(
    ("name", "options", "shown"),
    [
        ("lra-listops", ListOps(), True),
        ("lra-listops", ListOps(max_tokens=600), False),
        ("lra-listops", ListOps(sequences=2000), False),
        ("lra-listops-small", ListOps(), False),
        ("digits", None, False),
        ("mine.csv", None, False),
    ],
)
def test_records_stand_beside_the_task_as_it_is_published_alone(name, options, shown):
    source = to_dict(replace(TaskConfig(data=name), options={} if options is None else to_dict(options)))
    content = SimpleNamespace(summary=SimpleNamespace(task=SimpleNamespace(name=name)), request={"source": source})
    assert list(pages._published(content)) == (list(ListOps.published()) if shown else [])
    assert ListOps.published()
    content.request["source"] = None  # data in memory
    assert not pages._published(content)
