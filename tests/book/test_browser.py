"""A real browser shows every page: wide and narrow, by day and by night, without a complaint."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the Chromium of the system."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        missing = "no Chromium found: install it (Debian: apt install chromium) to try the pages"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable, args=FLAGS)


@pytest.fixture(scope="module")
def address(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the book below the root, as GitHub Pages does."""
    site = tmp_path_factory.mktemp("site")
    (site / "book-of-a-project").symlink_to(html)
    handler = partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/book-of-a-project"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_shown_without_complaint(html, page_files, browser, address, width, scheme):
    complaints = []

    def only_from_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname in {"127.0.0.1", None}:
            route.continue_()
        else:
            complaints.append(f"asks for {route.request.url}")
            route.abort()

    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    context.route("**/*", only_from_here)
    page = context.new_page()
    page.on("console", lambda m: m.type in {"error", "warning"} and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda r: r.status >= 400 and complaints.append(f"{r.status} {r.url}"))
    for path in page_files:
        name = path.relative_to(html).as_posix()
        start = len(complaints)
        page.goto(f"{address}/{name}", wait_until="networkidle")
        complaints[start:] = [f"{name}: {complaint}" for complaint in complaints[start:]]
        assert page.evaluate("document.documentElement.dataset.theme") == scheme, name
        page.evaluate("window.MathJax?.startup?.promise")
        if page.locator(".math:not(:has(mjx-container))").count():
            complaints.append(f"{name}: a formula that is not typeset")
        if page.locator("mjx-merror").count():
            complaints.append(f"{name}: a formula that MathJax cannot read")
        if (extent := page.evaluate("document.documentElement.scrollWidth")) > width:
            complaints.append(f"{name}: {extent} px wide on a screen of {width} px")
    context.close()
    assert not complaints, "\n".join(complaints)


def test_a_slider_is_moved_by_the_keyboard_and_tells_what_it_shows(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/notebooks/02_manipulation_loss.html", wait_until="networkidle")
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
    page.close()


def test_without_javascript_a_slider_is_a_picture(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/notebooks/02_manipulation_loss.html")
    figure = page.locator(".frame-slider")
    assert figure.locator("img").is_visible()
    assert not figure.locator("input").is_visible()
    context.close()
