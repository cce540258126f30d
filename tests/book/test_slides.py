"""Slides show what they should, fit the screen, and ask nothing of other sites."""

import re
from io import BytesIO
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from accessibility import CONTRAST, STRUCTURE, TOO_SMALL, findings
from browsers import settle
from bs4 import BeautifulSoup
from pages import has_anchor, parse
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from bookkit.chapters import CODE, NOTEBOOKS, folded, has_tag, read
from bookkit.slides.lecture import LECTURES, read_lecture
from bookkit.slides.outputs import code_of

SHOWN = ".slide"
NOTES = "aside.notes"

# How far a slide's content reaches, in the slide's own pixels, and how small its figures become.
MEASURE = """() => {
  const slide = Reveal.getCurrentSlide().querySelector(".slide");
  const frame = slide.getBoundingClientRect(), scale = frame.width / 1280;
  const inside = [...slide.querySelectorAll("*")].filter(
    (e) => !e.closest("mjx-assistive-mml") && e.parentElement.closest("svg") === null);
  const box = (e) => e.getBoundingClientRect();
  const boxes = inside.map(box).filter((found) => found.width);
  return {
    right: Math.max(...boxes.map((found) => found.right - frame.left)) / scale,
    bottom: Math.max(...boxes.map((found) => found.bottom - frame.top)) / scale,
    pieces: slide.children.length,
    figures: [...slide.querySelectorAll(".figure")].map((e) => box(e).height / scale),
    pictures: [...slide.querySelectorAll("figure > img")].map((e) => box(e).height / scale),
  };
}"""
GO_TO = """(element) => {
  const { h, v } = Reveal.getIndices(element.closest("section"));
  Reveal.slide(h, v, -1);
}"""
WIDTH, HEIGHT, MARGIN = 1280, 720, 20
SMALLEST_FIGURE, SMALLEST_PICTURE, SMALLEST_LETTERS = 150, 60, 9


@pytest.fixture(scope="session")
def slides(html: Path) -> Path:
    """Give the folder of the decks."""
    if not (html / "slides" / "index.html").is_file():
        pytest.fail("there are no slides: run `make slides` first")
    return html / "slides"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    return request.param


@pytest.fixture
def handout(slides, notebook) -> Path:
    """Give a chapter's deck."""
    return slides / f"{notebook.stem}.html"


@pytest.fixture(params=LECTURES, ids=lambda path: path.stem)
def lecture(request) -> Path:
    return request.param


@pytest.fixture(params=[*LECTURES, *NOTEBOOKS], ids=lambda path: path.stem)
def deck(slides, request) -> Path:
    """Give a deck, of a lecture or of a chapter."""
    return slides / f"{request.param.stem}.html"


def shown_cells(notebook: Path) -> list[nbformat.NotebookNode]:
    """List the cells that are not kept from the slides by their metadata."""
    kept = {"skip", "notes"}
    return [
        cell
        for cell in read(notebook).cells
        if cell.metadata.get("slideshow", {}).get("slide_type") not in kept
    ]


def words(text: str) -> set[str]:
    """List the long words of a text, addresses of links aside."""
    return set(re.findall(r"\b[a-z]{8,}\b", re.sub(r"\]\([^)]*\)", "", text).lower()))


def text_of(page: BeautifulSoup, selector: str) -> str:
    return " ".join(tag.get_text() for tag in page.select(selector))


def test_list_leads_to_every_deck(slides):
    listed = [tag["href"] for tag in parse(slides / "index.html").select("li a")]
    assert [path.stem for path in (*LECTURES, *NOTEBOOKS)] == [
        address.removesuffix(".html") for address in listed if "?" not in address
    ]


def test_handout_has_15_to_40_slides(handout):
    assert 15 <= len(parse(handout).select(SHOWN)) <= 40


def test_every_section_has_a_slide(handout, notebook):
    source = "\n".join(c.source for c in shown_cells(notebook) if c.cell_type == "markdown")
    titles = re.findall(r"^## (.+)$", source, re.MULTILINE)
    on_slides = {tag.find(string=True).strip() for tag in parse(handout).select("h2")}
    assert titles[-1] == "References"
    assert [title for title in titles[:-1] if title not in on_slides] == []


def test_every_figure_is_on_a_slide_and_described(handout, notebook):
    expected = []
    for cell in shown_cells(notebook):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            html = BeautifulSoup(data.get("text/html", ""), "html.parser")
            expected += [image["src"] for image in html.select("figure > img, figure figure > img")]
            if "image/jpeg" in data:
                expected.append(f"data:image/jpeg;base64,{data['image/jpeg'].strip()}")
            if html.select(".explman-pictures") and not html.select(".frame-slider"):
                alt = cell.metadata.mystnb.image.alt
                assert parse(handout).select(f'[aria-label="{alt}"], img[alt="{alt}"]'), alt
    pictures = parse(handout).select(f"{SHOWN} :is(.figure, figure) > img")
    assert [picture["src"] for picture in pictures] == expected != []
    assert all(picture["alt"].strip() for picture in pictures)


def test_every_tagged_cell_shows_its_code(handout, notebook):
    tagged = [cell for cell in shown_cells(notebook) if has_tag(cell, "slide-code")]
    shown = [tag.get_text().strip() for tag in parse(handout).select(f"{SHOWN} .code")]
    assert shown == [code_of(cell).strip() for cell in tagged]
    assert all(0 < len(code.splitlines()) <= 15 for code in shown)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("import math\n\n\ndef f(x):\n    return x\n\n\nprint(f(1))", "def f(x):\n    return x"),
        (
            "class A:\n    x = 1\n\n\ndef f():\n    pass",
            "class A:\n    x = 1\n\ndef f():\n    pass",
        ),
        ("# by hand\nx = 1\n\ny = x + 1\nassert y == 2\nz = 3", "# by hand\nx = 1\n\ny = x + 1"),
    ],
    ids=["definitions only", "two of them", "above the checks"],
)
def test_what_slides_show_of_code(source, shown):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["slide-code"]})
    assert code_of(cell) == shown
    assert code_of(nbformat.v4.new_code_cell(source)) == ""


def test_a_tag_that_shows_nothing_is_refused():
    cell = nbformat.v4.new_code_cell("print(1)", metadata={"tags": ["slide-code"]})
    with pytest.raises(ValueError, match="tagged slide-code, but begins with"):
        code_of(cell)


def test_speaker_has_the_prose(handout, notebook):
    cells = [cell.source for cell in read(notebook).cells if cell.cell_type == "markdown"]
    prose = "\n".join(cells).split("## References")[0]
    prose = re.sub(r"<summary>(Hint|Solution)</summary>.*?</details>", "", prose, flags=re.DOTALL)
    prose = re.sub(r"<explman-attack.*?</explman-attack>|!\[[^]]*\]", "", prose, flags=re.DOTALL)
    prose = re.sub(r"\$\$?.*?\$\$?|`[^`]*`|^#.*?$", "", prose, flags=re.DOTALL | re.MULTILINE)
    described = [image["alt"] for image in parse(handout).select(f"{NOTES} img")]
    missing = words(prose) - words(" ".join([text_of(parse(handout), NOTES), *described]))
    assert missing == set()


def test_a_lecture_shows_its_slides_in_their_order_and_the_speaker_their_minutes(slides, lecture):
    page = parse(slides / f"{lecture.stem}.html")
    sections = page.select("section:has(> .slide)")
    expected = [slide for part in read_lecture(lecture).sections for slide in part.slides]
    assert [tag["id"] for tag in sections] == ["title", *(slide.anchor for slide in expected)]
    assert [int(tag["data-timing"]) for tag in sections] == [0, *(s.seconds for s in expected)]
    assert sum(int(tag["data-timing"]) for tag in sections) == 90 * 60
    assert len(sections) <= 35
    assert all(len(tag.select_one(NOTES).get_text().split()) >= 20 for tag in sections)


def test_a_lecture_describes_its_figures_and_holds_them_itself(slides, lecture):
    page = parse(slides / f"{lecture.stem}.html")
    pictures = page.select(f"{SHOWN} img")
    groups = page.select(f"{SHOWN} .explman-pictures")
    assert len(pictures) > 3
    assert [img for img in pictures if not img["src"].startswith("data:image/")] == []
    alone = [img for img in pictures if not img.find_parent(role="group")]
    assert [img for img in alone if not img["alt"].strip()] == []
    assert all(group.get("aria-label") or group.select("img[alt]") for group in groups)


def test_a_drawing_has_a_form_for_the_night(slides):
    sources = parse(slides / "one_lecture.html").select("picture.drawing")
    assert len(sources) >= 4
    for picture in sources:
        assert picture.source["media"] == "screen and (prefers-color-scheme: dark)"
        assert picture.source["srcset"] != picture.img["src"]


def test_without_javascript_a_deck_leads_to_its_chapter(handout, notebook):
    link = parse(handout).select_one("noscript a")
    assert link["href"] == f"../notebooks/{notebook.stem}.html"


def test_no_solution_is_given_away(handout, notebook):
    text = text_of(parse(handout), "section")
    solutions = [s for cell in read(notebook).cells for s in folded(cell.source, "Solution")]
    assert len(solutions) >= 3
    for solution in solutions:
        assert CODE.search(solution)[1].strip() not in text
    assert "Solution" not in text


def test_no_address_leads_nowhere_or_to_another_site(slides, deck):
    page = parse(deck)
    fetched = [tag["src"] for tag in page.select("[src]")]
    fetched += [tag["href"] for tag in page.select("link[href]")]
    assert [a for a in fetched if urlsplit(a).scheme not in {"", "data"}] == []
    addresses = fetched + [tag["href"] for tag in page.select("a[href]")]
    broken = []
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme or not parts.path:
            continue
        target = (slides / unquote(parts.path)).resolve()
        # The live attack has its settings in the address.
        anchor = "" if target.name == "live.html" and "=" in parts.fragment else parts.fragment
        if not target.is_file() or not has_anchor(target, unquote(anchor)):
            broken.append(address)
    assert broken == []
    style = (slides / "slides.css").read_text("utf-8")
    assert "url(" not in style and "@import" not in style


def opened(browser: Browser, deck: Path):
    """Show a deck from its file, as a lecturer without a network would."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page = context.new_page()
    page.complaints = []
    page.on("request", lambda r: r.url.startswith("http") and page.complaints.append(r.url))
    page.on("console", lambda m: m.type in {"error", "warning"} and page.complaints.append(m.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(deck.as_uri())
    page.wait_for_function("window.Reveal?.isReady()")
    return page


@pytest.fixture
def shown(browser, deck):
    page = opened(browser, deck)
    yield page
    page.context.close()


@pytest.fixture
def shown_lecture(browser, slides):
    page = opened(browser, slides / "one_lecture.html")
    yield page
    page.context.close()


def faults(page: Page) -> list[str]:
    """Say what does not fit the slide that is shown."""
    found = page.evaluate(MEASURE)
    checks = {
        "is too wide": found["right"] > WIDTH - MARGIN,
        "is too long": found["bottom"] > HEIGHT - MARGIN,
        "is empty": found["pieces"] < 2,
        "has a tiny figure": min(found["figures"], default=HEIGHT) < SMALLEST_FIGURE,
        "has a tiny picture": min(found["pictures"], default=HEIGHT) < SMALLEST_PICTURE,
    }
    where = page.evaluate("Reveal.getCurrentSlide().id")
    return [f"{where} {what}" for what, wrong in checks.items() if wrong]


def test_every_slide_fits_the_screen(shown):
    complaints = []
    count = shown.evaluate("Reveal.getTotalSlides()")
    for _ in range(count):
        complaints += faults(shown)
        while shown.evaluate("Reveal.availableFragments().next"):
            shown.evaluate("Reveal.nextFragment()")
        shown.evaluate("Reveal.next()")
    assert shown.evaluate("Reveal.isLastSlide()")
    assert complaints + shown.complaints == []
    assert shown.locator("mjx-merror").count() == 0
    assert shown.locator(f"{SHOWN} .math:not(:has(mjx-container))").count() == 0


def test_what_does_not_fit_is_noticed(shown):
    shown.evaluate("Reveal.slide(2)")
    assert faults(shown) == []
    for style, fault in (("height: 800px", "is too long"), ("width: 1400px", "is too wide")):
        shown.evaluate(
            """(style) => Reveal.getCurrentSlide().querySelector(".slide").insertAdjacentHTML(
              "beforeend", `<div id="intruder" style="${style}; min-height: 1px"></div>`)""",
            style,
        )
        assert any(fault in found for found in faults(shown))
        shown.evaluate("document.querySelector('#intruder').remove()")


def test_an_answer_waits_for_its_question(shown):
    question = shown.locator(".slide:has(.fragment)").first
    anchor = question.evaluate("e => e.closest('section').id")
    question.evaluate(GO_TO)
    answer = question.locator(".fragment").first
    assert answer.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    shown.keyboard.press("Space")
    assert shown.evaluate("Reveal.getCurrentSlide().id") == anchor
    assert answer.evaluate("e => getComputedStyle(e).visibility") == "visible"


def test_the_attack_runs_on_its_slide(shown_lecture):
    attack = shown_lecture.locator("explman-attack")
    attack.evaluate(GO_TO)
    attack.locator("input[type=number]").nth(-1).wait_for(state="attached")
    shown_lecture.evaluate("""() => {
      const attack = document.querySelector("explman-attack");
      attack.change("steps", 3);
      attack.button.run.click();
    }""")
    shown_lecture.wait_for_function("document.querySelector('explman-attack').latest?.step === 3")
    assert faults(shown_lecture) == []
    assert shown_lecture.complaints == []


def to_print(browser: Browser, deck: Path, scheme: Literal["light", "dark"] = "light") -> Page:
    """Open the printing version of a deck, which shows all slides at once."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{deck.as_uri()}?print-pdf")
    page.wait_for_function("window.Reveal?.isReady()")
    page.wait_for_selector(".pdf-page")
    return page


def test_printing_gives_a_white_page_for_each_slide(browser, deck):
    page = to_print(browser, deck, "dark")
    assert page.locator(".pdf-page").count() == len(parse(deck).select(SHOWN))
    grounds = page.locator(".pdf-page").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).backgroundColor)"
    )
    assert set(grounds) == {"rgb(255, 255, 255)"}
    paper = PdfReader(BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    assert len(paper.pages) == len(grounds)
    # As screen readers and copying have it: without formulas, ligatures and breaks of lines.
    for sheet, slide in zip(paper.pages, parse(deck).select(SHOWN), strict=True):
        heading = slide.select_one("h1, h2").find(string=True).split()[0]
        assert heading in " ".join(sheet.extract_text().split())
    page.close()


def test_no_slide_keeps_anybody_out(browser, deck):
    page = to_print(browser, deck)
    assert [finding for check in (STRUCTURE, CONTRAST) for finding in findings(page, check)] == []
    page.close()


def test_a_slider_is_moved_on_its_slide(browser, slides):
    page = browser.new_page()
    page.goto((slides / "02_manipulation_loss.html").as_uri())
    page.wait_for_function("window.Reveal?.isReady()")
    page.locator(".frame-slider").evaluate(GO_TO)
    here, picture = page.evaluate("location.hash"), page.locator(".frame-slider figure > img").first
    before = picture.get_attribute("src")
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    assert picture.get_attribute("src") != before
    assert page.evaluate("location.hash") == here
    page.close()


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_slides_follow_the_night(browser, slides, scheme, dark):
    page = browser.new_page(color_scheme=scheme)
    page.goto((slides / f"{NOTEBOOKS[0].stem}.html").as_uri())
    page.wait_for_function("window.Reveal?.isReady()")
    colours = page.evaluate(
        """() => ["backgroundColor", "color"].map(
          (name) => getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))"""
    )
    ground, ink = (sum(colour) for colour in colours)
    assert (ground < ink) == dark
    page.close()


def test_the_speaker_sees_the_next_slide_and_a_clock(slides, shown_lecture):
    shown_lecture.evaluate("Reveal.slide(1, 1)")
    with shown_lecture.expect_popup() as opening:
        shown_lecture.keyboard.press("s")
    window = opening.value
    upcoming = window.frame_locator("#upcoming-slide iframe")
    heading = upcoming.locator(".slides > section.present > section.present h2")
    heading.wait_for()
    assert heading.inner_text() == parse(slides / "one_lecture.html").select("h2")[2].string
    window.locator(".pacing").wait_for()  # shown where slides have their minutes
    window.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_a_deck_is_a_page_to_scroll(browser, deck, scheme):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.goto(deck.as_uri())
    page.wait_for_selector(".scrolled")
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    slides = page.locator(SHOWN)
    assert slides.count() == page.locator(f"{SHOWN}:visible").count()
    assert page.evaluate(f"({TOO_SMALL})({SMALLEST_LETTERS})") == []
    question = page.locator(f"{SHOWN}:has(.fragment)").first
    answer = question.locator(".fragment").first
    assert not answer.is_visible()
    question.get_by_role("button", name="Show the answer").click()
    assert answer.is_visible()
    assert findings(page, CONTRAST) == []
    page.close()
