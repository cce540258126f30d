"""The built pages hold together and ask nothing of any other site."""

import re
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree import ElementTree

import imagesize
import pytest
from bs4 import BeautifulSoup
from pages import has_anchor, parse

import explman_lite

# What a browser fetches by itself, unlike the address of a link.
RESOURCES = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect"}


@pytest.fixture
def pages(page_files: list[Path]) -> dict[Path, BeautifulSoup]:
    """Parse every page of the book."""
    return {path: parse(path) for path in page_files}


def is_external(address: str) -> bool:
    """Say whether an address leaves the site."""
    return bool(urlsplit(address).netloc)


def resources(page: BeautifulSoup) -> list[str]:
    """List the addresses that a browser fetches to show a page."""
    found = [
        tag[name]
        for kind, name in RESOURCES.items()
        for tag in page.find_all(kind)
        if tag.get(name)
    ]
    for link in page.find_all("link", href=True):
        if FETCHED_LINKS & set(link.get("rel", [])):
            found.append(link["href"])
    return found


def test_root_leads_to_the_cover(html):
    assert "book/index.html" in (html / "index.html").read_text("utf-8")
    assert (html / "book/index.html").is_file()


def test_no_link_is_broken(html, pages):
    broken = []
    for path, page in pages.items():
        here = path.relative_to(html).as_posix()
        addresses = [tag["href"] for tag in page.find_all("a", href=True)] + resources(page)
        for address in addresses:
            if is_external(address) or urlsplit(address).scheme in {"data", "mailto", "javascript"}:
                continue
            parts = urlsplit(urljoin(f"/{here}", address))
            target = html / unquote(parts.path).lstrip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{here}: {address}")
            elif target.name == "live.html" and "=" in parts.fragment:
                continue  # settings of the live attack, which its own tests read
            elif target.suffix == ".html" and not has_anchor(target, unquote(parts.fragment)):
                broken.append(f"{here}: no such anchor {address}")
    assert not broken, "\n".join(broken)


def test_the_sections_of_a_chapter_bear_the_number_of_its_file(html):
    for path in sorted((html / "notebooks").glob("*.html")):
        numbers = {tag.get_text().split(".")[0] for tag in parse(path).select("h2 .section-number")}
        in_file = path.stem.split("_")[0].removeprefix("0")
        # What stands between two chapters, such as 1b, is not numbered.
        assert numbers == ({in_file} if in_file.isdigit() else set())


def test_every_image_has_alt_text(html, pages):
    silent = [
        f"{path.relative_to(html)}: {image.get('src', '')[:60]}"
        for path, page in pages.items()
        for image in page.find_all("img")
        if not image.get("alt", "").strip()
    ]
    assert not silent, "\n".join(silent)


def test_every_image_has_its_size_and_waits_for_its_turn(html, written_pages):
    wrong = []
    for name in written_pages:
        images = parse(html / name).select("article img:not([src^='data:'])")
        for number, image in enumerate(images):
            size = imagesize.get((html / name).parent / image["src"])
            if [image.get("width"), image.get("height")] != [str(round(side)) for side in size]:
                wrong.append(f"{name}: {image['src']} is of size {size}")
            if image.get("decoding") != "async" or (image.get("loading") == "lazy") != (number > 0):
                wrong.append(f"{name}: {image['src']} comes too early or late")
    assert not wrong, "\n".join(wrong)


def test_pictures_of_chapters_are_files_of_their_own_and_described(html):
    for path in html.glob("notebooks/*.html"):
        groups = parse(path).select(".explman-pictures")
        assert groups, f"{path.name} shows nothing"
        for group in groups:
            images = group.select("figure > img")
            assert all(len(image["src"]) < 3000 for image in images)
            described = group.get("aria-label") or (len(images) == 1 and images[0]["alt"])
            assert described and len(described) >= 20, f"{path.name}: {images[0]['alt']}"


def test_sitemap_lists_each_page_once(html, written_pages):
    sitemap = ElementTree.parse(html / "sitemap.xml")
    listed = [location.text for location in sitemap.findall(".//{*}loc")]
    robots = (html / "robots.txt").read_text("utf-8")
    base = re.search(r"^Sitemap: (https://.*/)sitemap\.xml$", robots, re.MULTILINE)[1]
    assert listed == [f"{base}{name}" for name in written_pages]
    canonical = parse(html / written_pages[0]).find("link", rel="canonical")["href"]
    assert canonical == listed[0]


def test_no_resource_comes_from_elsewhere(html, pages):
    external = [
        f"{path.relative_to(html)}: {address}"
        for path, page in pages.items()
        for address in resources(page)
        if is_external(address)
    ]
    for sheet in html.rglob("*.css"):
        for address in re.findall(
            r"(?:url\(|@import )\s*[\"']?([^\"')\s]+)", sheet.read_text("utf-8")
        ):
            if is_external(address):
                external.append(f"{sheet.relative_to(html)}: {address}")
    assert not external, "\n".join(external)


def test_mathematics_is_typeset_from_here(html, pages):
    with_math = {path: page for path, page in pages.items() if page.select(".math")}
    assert with_math, "no page holds a formula"
    for path, page in with_math.items():
        assert any("_static/mathjax/" in address for address in resources(page)), path
    assert list(html.glob("_static/mathjax/output/chtml/fonts/woff-v2/*.woff"))


def test_pages_are_structured(html, pages):
    for path, page in pages.items():
        name = path.relative_to(html)
        assert page.html.get("lang"), f"{name} does not say its language"
        assert page.title and page.title.get_text(strip=True), f"{name} has no title"
        # The theme repeats the title for printing.
        headings = page.select("h1:not(#jb-print-docs-body h1)")
        assert len(headings) == 1, f"{name} has {len(headings)} h1 headings"


def test_api_page_documents_every_public_name(html):
    page = parse(html / "book" / "api.html")
    for name in explman_lite.__all__:
        kinds = [f"explman_lite.{name}", f"module-explman_lite.{name}"]
        assert page.find(id=kinds), f"book/api.md lacks {name}"


def test_terms_lead_to_the_glossary_once_in_each_chapter(html):
    for path in html.glob("notebooks/*.html"):
        links = [link["href"] for link in parse(path).select("a.term")]
        assert len(links) >= 5, f"{path.name}: {links}"
        assert all(link.startswith("../book/glossary.html#term-") for link in links)
        assert len(set(links)) == len(links)
    first = parse(html / "notebooks/02_manipulation_loss.html").select_one("a.term")
    assert first.get_text() == "saliency map"
    assert not parse(html / "notebooks/02_manipulation_loss.html").select("h2 a.term, code a.term")
