"""The book is of use without a server, without JavaScript, and to the keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from accessibility import CONTRAST, findings
from browsers import settle
from playwright.sync_api import Browser, Page, expect

SLIDER_PAGE = "notebooks/02_manipulation_loss.html"


@pytest.fixture(params=["http", "file"])
def start(request, html: Path, address: str) -> str:
    """Where the book begins: at a server, or in a folder."""
    return {"http": address, "file": html.as_uri()}[request.param]


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    page = browser.new_page(color_scheme="dark")
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """Give a page that runs no scripts."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_a_slider_is_moved_by_the_keyboard_and_tells_what_it_shows(page, start):
    page.goto(f"{start}/{SLIDER_PAGE}")
    figure = page.locator(".frame-slider")
    slider, group = figure.get_by_role("slider"), figure.locator(".explman-pictures")
    # The one in the middle changes, the first and the last may stay.
    pictures = figure.locator("figure > img")
    first = pictures.evaluate_all("all => all.map((one) => one.src)")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert pictures.evaluate_all("all => all.map((one) => one.src)") != first
    page.keyboard.press("End")
    assert figure.locator("output").inner_text() == "100"
    assert slider.get_attribute("aria-valuetext") == f"100: {group.get_attribute('aria-label')}"
    page.keyboard.press("Home")
    assert pictures.evaluate_all("all => all.map((one) => one.src)") == first


def test_something_moves_in_every_chapter(page, start, html):
    for path in sorted(html.glob("notebooks/*.html")):
        page.goto(f"{start}/notebooks/{path.name}")
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        figure = page.locator(".frame-slider").first
        group = figure.locator(".explman-pictures")
        first = group.get_attribute("aria-label")
        figure.get_by_role("slider").focus()
        page.keyboard.press("End")
        assert group.get_attribute("aria-label") != first, path.name


def test_pages_are_styled_and_typeset_wherever_they_lie(page, start, complaints):
    page.goto(f"{start}/{SLIDER_PAGE}")
    settle(page)
    assert page.locator(".math mjx-container").count() > 10
    assert page.locator(".math:not(:has(mjx-container))").count() == 0
    sheets = page.locator("link[rel=stylesheet]")
    assert sheets.evaluate_all("all => all.length && all.every((one) => one.sheet)")
    assert complaints == []


def test_search_finds_pages_wherever_they_lie(page, start, complaints):
    page.goto(f"{start}/book/index.html")
    settle(page)
    page.get_by_role("button", name="Search").first.click()
    page.locator("dialog input[type=search]").fill("softplus")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=softplus*")
    # Its number of results moves the list down, from under a click.
    expect(page.locator(".search-summary")).to_contain_text("finished")
    result = page.locator("#search-results a", has_text="Softplus").first
    expect(result).to_be_visible()
    assert findings(page, CONTRAST) == []
    result.click()
    page.wait_for_url(re.compile(r"/(book|notebooks)/\w+\.html"))
    # From a folder no page may read another, so there the results come without excerpts.
    allowed = {"Failed to fetch"} if start.startswith("file:") else set()
    assert set(complaints) == allowed


def test_without_javascript_a_slider_is_a_picture(plain_page, start):
    plain_page.goto(f"{start}/{SLIDER_PAGE}")
    figure = plain_page.locator(".frame-slider")
    assert figure.locator("figure > img").first.is_visible()
    assert not figure.locator("input").is_visible()


def test_without_javascript_a_quiz_is_answered_by_the_keyboard(plain_page, start):
    plain_page.goto(f"{start}/notebooks/01_saliency_maps.html")
    options = plain_page.locator(".explman-quiz details")
    first, second = options.nth(0), options.nth(1)
    first.locator("summary").focus()
    plain_page.keyboard.press("Enter")
    assert first.locator("p").is_visible()
    plain_page.keyboard.press("Tab")
    plain_page.keyboard.press("Space")
    assert second.locator("p").is_visible()
    assert not first.locator("p").is_visible()


def test_without_javascript_a_page_tells_all(plain_page, address, written_pages):
    for name in written_pages:
        plain_page.goto(f"{address}/{name}")
        # The options of a quiz close one another.
        folded = plain_page.locator("article details:not([open], [name]) > summary")
        if folded.count():
            folded.first.click()
            folded.evaluate_all("all => all.forEach((one) => (one.parentElement.open = true))")
        for parts in (
            "article h1",
            "article p:not(summary *, details[name] *)",
            "article .math",
            "article img:not(.only-dark)",
            "nav.bd-links a",
            ".prev-next-area a",
        ):
            found = plain_page.locator(parts)
            hidden = found.evaluate_all("all => all.filter((one) => !one.checkVisibility()).length")
            assert hidden == 0, f"{name}: {hidden} of {parts}"
        for formula in plain_page.locator("article .math").all_inner_texts():
            assert re.search(r"\\[(\[].*\\[)\]]", formula, re.DOTALL), f"{name}: {formula}"
