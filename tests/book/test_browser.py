"""A real browser shows every page: wide and narrow, by day and by night, without a complaint."""

from urllib.parse import urlsplit

import pytest
from accessibility import (
    CONTRAST,
    CUT_OFF,
    PLOTS,
    SCROLLED,
    SCROLLING,
    STRUCTURE,
    TOO_SMALL,
    TURNED,
    findings,
)
from browsers import settle
from playwright.sync_api import Page, Route

# What overflows to the left cannot be scrolled to.
LOST = "all => all.filter((one) => one.offsetLeft < one.parentElement.offsetLeft).length"

WIDE, NARROW = 1280, 390
SMALLEST = 9
"""Pixels of the letters of captions and plots."""


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_page_is_shown_without_complaint(page_names, browser, address, width):
    complaints = []

    def only_from_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname in {"127.0.0.1", None}:
            route.continue_()
        else:
            complaints.append(f"asks for {route.request.url}")
            route.abort()

    # Nothing moves, so that no colour is read while it changes.
    context = browser.new_context(
        viewport={"width": width, "height": 844}, reduced_motion="reduce", color_scheme="light"
    )
    context.route("**/*", only_from_here)
    page = context.new_page()
    page.on("console", lambda m: m.type in {"error", "warning"} and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda r: r.status >= 400 and complaints.append(f"{r.status} {r.url}"))
    for name in page_names:
        start = len(complaints)
        page.goto(f"{address}/{name}")
        settle(page)
        if page.locator(".math:not(:has(mjx-container))").count():
            complaints.append("a formula that is not typeset")
        if page.locator("mjx-merror").count():
            complaints.append("a formula that MathJax cannot read")
        if page.locator("div.math > mjx-container").evaluate_all(LOST):
            complaints.append("a formula whose beginning is out of reach")
        if (extent := page.evaluate("document.documentElement.scrollWidth")) > width:
            complaints.append(f"{extent} px wide on a screen of {width} px")
        complaints += findings(page, SCROLLING) if width == NARROW else all_findings(page)
        complaints += legible(page, width)
        complaints[start:] = [f"{name}: {complaint}" for complaint in complaints[start:]]
    context.close()
    assert not complaints, "\n".join(complaints)


def all_findings(page: Page) -> list[str]:
    """Run axe on a page by day, and on its colours by night too."""
    found = findings(page, STRUCTURE) + findings(page, CONTRAST)
    change_scheme(page, "dark")
    found += findings(page, CONTRAST)
    change_scheme(page, "light")
    return found


def legible(page: Page, width: int) -> list[str]:
    """Say what cannot be read: text that is cut off, small letters, what the night spoils."""
    found: list[str] = page.evaluate(CUT_OFF)
    found += page.evaluate(f"({TOO_SMALL})({SMALLEST})") + page.evaluate(f"({PLOTS})({SMALLEST})")
    if width == NARROW:
        found += page.evaluate(SCROLLED)
    change_scheme(page, "dark")
    found += page.evaluate(TURNED)
    if page.locator(".explman-pictures").count():
        found += findings(page, CONTRAST)
    change_scheme(page, "light")
    return found


def change_scheme(page: Page, scheme: str) -> None:
    """Let evening or morning come, and wait until the page has noticed."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")


def test_the_frame_of_a_narrow_page_keeps_nobody_out(browser, address):
    """It is the same around every page; what it holds was looked at on a wide screen."""
    viewport = {"width": NARROW, "height": 844}
    page = browser.new_page(viewport=viewport, reduced_motion="reduce", color_scheme="light")
    page.goto(f"{address}/book/summary.html")
    assert all_findings(page) == []
    page.close()


def test_a_theme_that_was_chosen_stays_on_the_next_page(browser, address):
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(f"{address}/book/summary.html")
    switch = page.locator("button.theme-switch-button:visible").first
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        switch.press("Enter")
    page.goto(f"{address}/book/results.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    context.close()


def test_what_cannot_be_read_is_noticed(browser):
    page = browser.new_page(viewport={"width": NARROW, "height": 844})
    page.set_content(
        """<article>
        <p style="width: 90px; overflow: hidden; white-space: nowrap">A line that is cut off</p>
        <p style="width: 90px; overflow: auto; white-space: nowrap">A line that one can scroll</p>
        <div class="cell_output"><div class="output stream"><pre
          style="width: 90px; overflow: auto">A line that is printed</pre></div></div>
        <div class="math" style="width: 90px; overflow: auto; white-space: nowrap">
          A formula that is too wide</div>
        <div class="explman-pictures"><figcaption style="font-size: 8px">Small</figcaption></div>
        <figure><img class="explman-plot" width="2000" height="10" alt="a wide plot"
          style="width: 100%"></figure>
        <img alt="a photograph" style="filter: invert(1)">
        </article>"""
    )
    cut, *others = page.evaluate(CUT_OFF)
    assert "is cut off" in cut and not others
    printed, formula = page.evaluate(SCROLLED)
    assert "is printed" in printed and "A formula" in formula
    assert len(page.evaluate(f"({TOO_SMALL})({SMALLEST})")) == 1
    assert len(page.evaluate(f"({PLOTS})({SMALLEST})")) == 1
    glares, turned = page.evaluate(TURNED)
    assert "a wide plot" in glares and "turned: a photograph" in turned
    page.close()


def test_axe_notices_what_is_wrong(browser):
    page = browser.new_page()
    page.goto("data:text/html,<title>Faults</title><img src=/a.png><p style=color:silver>Pale</p>")
    assert any(finding.startswith("image-alt: ") for finding in findings(page, STRUCTURE))
    assert any(finding.startswith("color-contrast: <p") for finding in findings(page, CONTRAST))
    page.goto("data:text/html,<pre style='overflow:auto; width:99px'>A line that is too long</pre>")
    assert any(finding.startswith("scrollable-region") for finding in findings(page, SCROLLING))
    page.close()
