"""The book is of use without a server, without JavaScript, and to the keyboard."""

import re

import pytest
from playwright.sync_api import Browser, expect

SLIDER_PAGE = "notebooks/02_manipulation_loss.html"


@pytest.fixture(params=["http", "file"])
def start(request, html, address) -> str:
    """Where the book begins: at a server, or in a folder."""
    return {"http": address, "file": html.as_uri()}[request.param]


@pytest.fixture
def page(browser: Browser):
    page = browser.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    page.close()


@pytest.fixture
def plain_page(browser: Browser):
    """Give a page that runs no scripts."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_a_slider_is_moved_by_the_keyboard_and_tells_what_it_shows(page, start):
    page.goto(f"{start}/{SLIDER_PAGE}")
    figure = page.locator(".frame-slider")
    picture, slider = figure.locator("img"), figure.get_by_role("slider")
    first_alt, first_source = picture.get_attribute("alt"), picture.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert picture.get_attribute("alt") != first_alt
    assert picture.get_attribute("src") != first_source
    page.keyboard.press("End")
    assert figure.locator("output").inner_text() == "100"
    assert slider.get_attribute("aria-valuetext") == "100"
    page.keyboard.press("Home")
    assert picture.get_attribute("src") == first_source


def test_pages_are_styled_and_typeset_wherever_they_lie(page, start):
    page.goto(f"{start}/{SLIDER_PAGE}")
    page.evaluate("MathJax.startup.promise.then(() => true)")
    assert page.locator(".math mjx-container").count() > 10
    assert page.locator(".math:not(:has(mjx-container))").count() == 0
    sheets = page.locator("link[rel=stylesheet]")
    assert sheets.evaluate_all("all => all.length && all.every((one) => one.sheet)")
    assert page.complaints == []


def test_search_finds_pages_wherever_they_lie(page, start):
    page.goto(f"{start}/book/index.html")
    page.get_by_role("button", name="Search").first.click()
    page.locator("dialog input[type=search]").fill("softplus")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=softplus*")
    result = page.locator("#search-results a", has_text="Softplus").first
    expect(result).to_be_visible()
    result.click()
    page.wait_for_url(re.compile(r"/(book|notebooks)/\w+\.html"))
    # From a folder no page may read another, so there the results come without excerpts.
    allowed = {"Failed to fetch"} if start.startswith("file:") else set()
    assert set(page.complaints) == allowed


def test_without_javascript_a_slider_is_a_picture(plain_page, start):
    plain_page.goto(f"{start}/{SLIDER_PAGE}")
    figure = plain_page.locator(".frame-slider")
    assert figure.locator("img").is_visible()
    assert not figure.locator("input").is_visible()


def test_without_javascript_a_page_tells_all(plain_page, address, written_pages):
    for name in written_pages:
        plain_page.goto(f"{address}/{name}")
        folded = plain_page.locator("article details:not([open]) > summary")
        while folded.count():
            folded.first.click()
        for parts in (
            "article h1",
            "article p:not(summary *)",
            "article .math",
            "article img",
            "nav.bd-links a",
            ".prev-next-area a",
        ):
            found = plain_page.locator(parts)
            hidden = found.evaluate_all("all => all.filter((one) => !one.checkVisibility()).length")
            assert hidden == 0, f"{name}: {hidden} of {parts}"
        for formula in plain_page.locator("article .math").all_inner_texts():
            assert re.search(r"\\[(\[].*\\[)\]]", formula, re.DOTALL), f"{name}: {formula}"
