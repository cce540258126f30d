"""The element of the live attack, as the book's pages hold it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accessibility import CONTRAST, STRUCTURE, findings
from browsers import settle
from live_reference import check_attack
from pages import parse
from playwright.sync_api import Browser, Locator, Page, expect
from serving import QuietHandler, served

import explman_lite as el
from bookkit.live import CROPS

PAGE = "book/live.html"
FIRST = (
    "attack.js",
    "begin.js",
    "drawing.js",
    "engine.js",
    "live.css",
    "pictures.js",
    "session.js",
    "settings.js",
)
FINISHED = re.compile("^Finished.*By chance", re.DOTALL)
STATE = """(all) => {
  const { latest, seen, goal } = all;
  return { x: [...latest.x], map: [...latest.map], goal: [...goal], before: [...seen.x],
           target: latest.target, honest: latest.honest, step: latest.step, label: seen.label };
}"""
OBSERVE_TURNS = """
  window.turns = 0;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { window.turns++; port2.postMessage(null); };
  port2.postMessage(null);
"""


@pytest.fixture(params=["http", "file"])
def start(request, html: Path, address: str) -> str:
    return {"http": address, "file": html.as_uri()}[request.param]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Give a page that asks for nothing elsewhere, and whose scripts do not fail."""
    page, complaints = browser.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("http:", "https:")) and asked.append(r.url))
    asked: list[str] = []
    yield page
    assert {urlsplit(url).hostname for url in asked} <= {"127.0.0.1"}
    page.close()
    assert complaints == []


def element(page: Page) -> Locator:
    return page.locator("explman-attack").first


def visit(page: Page, where: str) -> None:
    """Go to a page and near to its element, and wait for the scripts."""
    page.goto(where)
    settle(page)
    element(page).scroll_into_view_if_needed()
    # A strict policy refuses `page.wait_for_function`, which evaluates a string.
    expect(page.locator("explman-attack:defined").first).to_be_attached()


def press(page: Page, name: str) -> None:
    element(page).get_by_role("button", name=name, exact=True).click()


def finish(page: Page) -> dict[str, Any]:
    """Run an attack to its end and give what the page knows of it."""
    press(page, "Run")
    expect(element(page).get_by_role("status")).to_have_text(FINISHED, timeout=120_000)
    found: dict[str, Any] = element(page).evaluate(STATE)
    return found


def test_from_a_server_and_from_a_folder_it_does_what_the_package_does(page, start):
    visit(page, f"{start}/{PAGE}#steps=6")
    found = finish(page)
    result = check_attack(found, steps=6)
    assert found["target"] == pytest.approx(result.summary().pcc_target.item(), abs=1e-5)
    assert found["honest"] == pytest.approx(result.summary().pcc_original.item(), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        ("picture=8", "Forge it: ✗ began at 1.00, ✓ correlation 0.9"),
        ("limit=64&steps=2", "✗ correlation"),
        ("defence=centred&beta=100", "These settings are of no challenge."),
        ("defence=centred&knows=false", "These settings are of no challenge."),
        ("what=digit", "These settings are of no challenge."),
    ],
)
def test_a_challenge_cannot_be_had_for_nothing(page, address, settings, verdict):
    visit(page, f"{address}/{PAGE}#steps=1&{settings}")
    finish(page)
    found = element(page).locator(".verdict").inner_text()
    assert verdict in found
    assert "Passed" not in found.replace("Not passed", "")


def test_what_is_recorded_is_what_run_gives(page, html, address):
    table = el.results.load_table(Path(__file__).parents[2] / "results/live_example.csv")
    recorded = table.set_index("settings").pcc_target["as it stands"]
    visit(page, f"{address}/{PAGE}")
    assert element(page).get_by_text("Recorded").is_visible()
    found = finish(page)
    assert not element(page).get_by_text("Recorded").is_visible()
    # In float32 an attack of 40 steps ends elsewhere, and about as well.
    assert found["target"] == pytest.approx(recorded, abs=0.05)
    verdict = element(page).locator(".verdict").inner_text()
    assert re.search(
        r"✓ began at 0\.0\d, ✓ correlation 0\.8\d, ✓ 8\.0 grey levels, ✓ class kept\. Passed: 8\d",
        verdict,
    )
    assert findings(page, STRUCTURE) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        assert findings(page, CONTRAST) == []


def test_the_pictures_are_the_packages(page, address):
    visit(page, f"{address}/{PAGE}")
    read = "(all, index) => [...all.given(index)]"
    crops, labels = el.load_crops("test")
    assert sorted(labels[list(CROPS)].tolist()) == list(range(10))
    for place, crop in enumerate(CROPS):
        found = torch.tensor(element(page).evaluate(read, place), dtype=torch.float64)
        assert torch.allclose(found, crops[crop].flatten().double(), atol=1e-7)
    digits = el.load_digits("test")[0].flatten(1).double()
    element(page).get_by_label("attack a").select_option("digit")
    for place in range(10):
        found = torch.tensor(element(page).evaluate(read, place), dtype=torch.float64)
        assert (digits - found).abs().amax(dim=1).min() < 1e-7


def test_a_drawing_becomes_a_digit_as_those_that_the_network_knows(page, address):
    visit(page, f"{address}/{PAGE}")
    ink = (torch.rand(32, 32, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    found = page.evaluate(
        "(ink) => [...explman.digitFrom(Float64Array.from(ink))]", ink.flatten().tolist()
    )
    blocks = F.avg_pool2d(ink[None, None], 4)
    expected = F.interpolate(blocks, size=(32, 32), mode="bilinear")
    assert np.allclose(found, expected.flatten().numpy(), atol=1e-12)


def test_a_digit_is_drawn_and_a_target_painted_by_pointer_and_keyboard(page, address):
    visit(page, f"{address}/{PAGE}#what=drawn&target=painted&steps=2")
    press(page, "Run")
    status = element(page).get_by_role("status")
    expect(status).to_have_text("Draw a digit first.")
    picture = element(page).get_by_role("application", name="draw here")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 0.9 * box["height"], steps=16)
    page.mouse.up()
    press(page, "Run")
    expect(status).to_have_text("Paint the target first.")
    element(page).get_by_role("application", name="paint here").focus()
    page.keyboard.press("Space")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    found = finish(page)
    assert found["label"] == 1
    painted = np.array(found["goal"]).reshape(32, 32)
    assert painted[16, 16] > 0
    assert painted[16, 24] > 0
    assert painted[:8].max() == 0
    element(page).get_by_role("application", name="the target").focus()
    page.keyboard.press("Delete")
    press(page, "Run")
    expect(status).to_have_text("Paint the target first.")


def test_one_step_pause_and_reset(page, address):
    visit(page, f"{address}/{PAGE}#what=digit&steps=500")
    status = element(page).get_by_role("status")
    press(page, "One step")
    expect(status).to_have_text(re.compile("^Step 1 of 500"))
    press(page, "One step")
    expect(status).to_have_text(re.compile("^Step 2 of 500"))
    press(page, "Run")
    expect(status).to_have_text(re.compile(r"^Step \d+0 of 500"))
    press(page, "Pause")
    expect(status).to_have_text(re.compile("^Paused. Step"))
    step = element(page).evaluate("(all) => all.latest.step")
    page.wait_for_timeout(500)
    assert element(page).evaluate("(all) => all.latest.step") <= step + 1  # one was on its way
    press(page, "Reset")
    expect(status).to_have_text(re.compile("^The network says 1. Press Run."))
    assert element(page).evaluate("(all) => all.latest") is None


def test_who_pauses_before_it_begins_is_heard(page, address):
    visit(page, f"{address}/{PAGE}#what=digit&steps=1000")
    element(page).evaluate("(all) => { all.go(Infinity); all.pause(); }")
    status = element(page).get_by_role("status")
    expect(status).to_have_text(re.compile("^The network says 1"))
    page.wait_for_timeout(500)
    assert element(page).evaluate("(all) => all.latest") is None


def test_a_target_that_says_nothing_is_refused(page, address):
    visit(page, f"{address}/{PAGE}#what=digit&target=painted")
    element(page).evaluate("(all) => all.brush.target.ink.fill(1)")
    press(page, "Run")
    status = element(page).get_by_role("status")
    expect(status).to_have_text("The target is the same everywhere: leave some of it free.")
    visit(page, f"{address}/{PAGE}#what=digit&target=words&words=%20")
    press(page, "Run")
    expect(status).to_have_text("Write the words first.")


def test_it_stops_while_nobody_looks(page, address):
    visit(page, f"{address}/{PAGE}#what=digit&steps=1000")
    press(page, "Run")
    expect(element(page).get_by_role("status")).to_have_text(re.compile(r"^Step \d+0 of"))
    turn = """(hidden) => {
      Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(turn, True)
    page.wait_for_timeout(1000)  # one may be on its way
    step = element(page).evaluate("(all) => all.latest.step")
    page.wait_for_timeout(500)
    assert element(page).evaluate("(all) => all.latest.step") == step < 999
    page.evaluate(turn, False)
    page.wait_for_function(
        "(step) => document.querySelector('explman-attack').latest.step > step", arg=step
    )


def test_two_on_a_page_do_not_disturb_each_other(page, address):
    visit(page, f"{address}/notebooks/02_manipulation_loss.html")
    page.evaluate("""() => {
      const second = document.createElement("explman-attack");
      second.setAttribute("settings", "what=digit&steps=12&picture=3");
      document.querySelector("explman-attack").after(second);
    }""")
    both = page.locator("explman-attack")
    assert both.count() == 2
    both.nth(0).get_by_label("steps", exact=True).fill("3")
    both.nth(0).get_by_label("steps", exact=True).press("Tab")
    for k in (0, 1):
        both.nth(k).get_by_role("button", name="Run", exact=True).click()
    for k, steps in ((0, 3), (1, 12)):
        expect(both.nth(k).get_by_role("status")).to_have_text(FINISHED, timeout=60_000)
        found = both.nth(k).evaluate(STATE)
        assert found["step"] == steps
        assert len(found["map"]) == (64**2, 32**2)[k]
    assert findings(page, STRUCTURE) == []
    assert urlsplit(page.url).fragment == ""


def test_the_settings_stand_in_the_address(page, address):
    visit(page, f"{address}/{PAGE}#limit=3&defence=centred&steps=-4&target=nonsense&unknown=1")
    settings = element(page).evaluate("(all) => all.settings")
    assert settings["limit"] == 3
    assert (settings["defence"], settings["steps"], settings["target"]) == ("centred", 40, "map")
    assert "unknown" not in settings
    element(page).get_by_label("the attacker knows of it").uncheck()
    expect(element(page).get_by_role("link", name="Link to these settings")).to_have_attribute(
        "href", "#defence=centred&knows=false&limit=3"
    )
    assert urlsplit(page.url).fragment == "defence=centred&knows=false&limit=3"
    page.evaluate("location.hash = 'what=digit&picture=7'")
    expect(element(page).get_by_label("which").first).to_have_value("7")
    limit = element(page).get_by_label("grey levels that a pixel may change")
    limit.fill("900")
    limit.press("Tab")
    assert element(page).evaluate("(all) => all.settings.limit") == 8
    assert not limit.evaluate("(one) => one.validity.valid")


def test_every_link_with_settings_says_what_it_means(page, html, page_files, address):
    visit(page, f"{address}/{PAGE}")
    said = {
        link["href"].partition("#")[2]
        for path in page_files
        for link in parse(path).find_all("a", href=re.compile(r"live\.html#.*="))
    }
    assert len(said) == 3
    for settings in said:
        again = page.evaluate("(s) => explman.writeSettings(explman.readSettings(s))", settings)
        changed = set(settings.split("&")) - set(again.split("&"))
        assert changed <= {"limit=8"}, settings


def test_a_network_that_does_not_arrive_is_missed(page, address):
    page.route("**/crops_vgg.js", lambda route: route.abort())
    visit(page, f"{address}/{PAGE}#steps=1")
    press(page, "Run")
    status = element(page).get_by_role("status")
    expect(status).to_have_text("crops_vgg.js could not be loaded. Is there a connection?")
    page.unroute("**/crops_vgg.js")
    assert finish(page)["step"] == 1


def test_with_reduced_motion_pictures_change_seldom(page, address):
    page.emulate_media(reduced_motion="reduce")
    visit(page, f"{address}/{PAGE}#what=digit&steps=25")
    page.evaluate("""() => {
      const kind = customElements.get("explman-attack").prototype, draw = kind.draw;
      window.steps = [];
      kind.draw = function () { if (this.latest) steps.push(this.latest.step); draw.call(this); };
    }""")
    finish(page)
    assert set(page.evaluate("steps")) == {10, 20, 25}


def test_without_javascript_there_is_the_recorded_attack(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{PAGE}")
    assert element(page).locator("img").count() == 6
    assert element(page).get_by_text("Recorded").is_visible()
    page.goto(f"{address}/notebooks/05_softplus_defense.html")
    assert element(page).get_by_text("Here the attack runs").is_visible()
    context.close()


POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"
BARE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bare</title>
<link rel="stylesheet" href="live.css">
<main><h1>Bare</h1><explman-attack settings="what=digit&amp;steps=5"></explman-attack></main>
<script src="begin.js"></script>
"""


@pytest.fixture
def strict(html: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve the element alone under a strict content security policy."""
    shutil.copytree(html / "_static" / "live", tmp_path / "live")
    (tmp_path / "live" / "index.html").write_text(BARE, "utf-8")

    class StrictHandler(QuietHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", request.param)
            super().end_headers()

    with served(tmp_path, StrictHandler) as start:
        yield f"{start}/live/"


@pytest.mark.parametrize(
    ("strict", "worker"),
    [(f"{POLICY}; worker-src blob:", True), (POLICY, False)],
    indirect=["strict"],
)
def test_it_runs_under_a_strict_policy_in_a_worker_or_breathing_on_the_page(page, strict, worker):
    visit(page, strict)
    page.evaluate(OBSERVE_TURNS)
    found = finish(page)
    assert found["step"] == 5
    assert (
        element(page).evaluate("(all) => all.session.then((port) => port instanceof Worker)")
        is worker
    )
    if not worker:  # three passes of the loss and a look at the picture, each of them alone
        assert page.evaluate("turns") > 4 * 5


def test_all_of_it_is_light(html):
    folder = html / "_static" / "live"
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(FIRST) < set(sizes)
    example = sum(path.stat().st_size for path in (html / "_static/live_example").iterdir())
    assert sum(sizes[name] for name in FIRST) + example < 300_000
    assert sum(sizes.values()) + example < 3_000_000
    pages = [*html.glob("book/*.html"), *html.glob("notebooks/*.html")]
    held = [path for path in pages if "_static/live/" in path.read_text("utf-8")]
    assert {path.stem for path in held} == {"live", "02_manipulation_loss", "05_softplus_defense"}
