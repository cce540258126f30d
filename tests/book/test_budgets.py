"""Pages are light, and stay where they are while they load."""

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# What Chromium fetches for the first view, uncompressed: MathJax is 0.8 MB of it, the theme 1 MB.
# And what it has fetched when a page is read to its end, sent as a web server sends it.
MOST_BYTES = 3_000_000
# What Lighthouse calls good.
MOST_SHIFT = 0.1

OBSERVE_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


FETCH_THE_REST = """
Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.decode();
}))
"""


def sent(file: Path) -> int:
    """Tell the bytes of a file on the wire: what is text, web servers compress."""
    content = file.read_bytes()
    return min(len(content), len(gzip.compress(content, 6)))


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_light_and_does_not_jump(html, written_pages, browser, address, width):
    context = browser.new_context(viewport={"width": width, "height": 844})
    context.add_init_script(OBSERVE_SHIFTS)
    context.route("**/*", lambda route: route.continue_())  # which also switches the cache off
    page = context.new_page()
    fetched = set()
    page.on("response", lambda response: fetched.add(urlsplit(response.url).path))
    too_much = []
    for name in written_pages:
        fetched.clear()
        page.goto(f"{address}/{name}", wait_until="networkidle")
        files = [html / path.split("/", maxsplit=2)[2] for path in fetched if path]
        assert html / name in files
        if (size := sum(file.stat().st_size for file in files)) > MOST_BYTES:
            too_much.append(f"{name}: {size / 1e6:.2f} MB")
        page.evaluate(FETCH_THE_REST)
        page.wait_for_load_state("networkidle")
        files = [html / path.split("/", maxsplit=2)[2] for path in fetched if path]
        if (size := sum(map(sent, files))) > MOST_BYTES:
            too_much.append(f"{name}: {size / 1e6:.2f} MB when read to the end")
        if (shift := page.evaluate("window.shift")) > MOST_SHIFT:
            too_much.append(f"{name}: jumps by {shift:.2f}")
    context.close()
    assert not too_much, "\n".join(too_much)


def test_a_jump_is_noticed(browser):
    page = browser.new_page()
    page.add_init_script(OBSERVE_SHIFTS)
    page.goto("data:text/html,<p id=late></p><h1 style=height:50vh>All of this is pushed down</h1>")
    page.wait_for_timeout(200)
    page.evaluate("document.querySelector('#late').style.height = '300px'")
    page.wait_for_function(f"window.shift > {MOST_SHIFT}", timeout=2000)
    page.close()
