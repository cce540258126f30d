"""Put the built pages one after another into one page, which a browser can print."""

from dataclasses import dataclass
from datetime import date
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import yaml
from bs4 import BeautifulSoup, Tag

from bookkit.address import on_the_site
from bookkit.places import HTML, ROOT

ORIGIN = "http://book.invalid/"
"""Where the pages seem to lie while they are printed: nothing is fetched from a network."""
STYLE = Path(__file__).with_name("print.css")
AT_THE_END = ("Hint", "Solution", "Answer")
"""What is moved from beside its question to the end of the chapter."""
ONLY_ON_SCREEN = "script, style, input, button, .headerlink, .viewcode-link, .toctree-wrapper"


@dataclass(frozen=True)
class Part:
    """Some chapters in a row.

    Attributes
    ----------
    caption
        What stands above them in the contents, if anything.
    names
        The pages, as _toc.yml names them.
    """

    caption: str
    names: list[str]


def parts() -> list[Part]:
    """Read the order of the book from _toc.yml."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    listed = [
        Part(part.get("caption", ""), [chapter["file"] for chapter in part["chapters"]])
        for part in toc["parts"]
    ]
    return [Part("", [toc["root"]]), *listed]


def identifier(name: str, fragment: str = "") -> str:
    """Return what a page, or a place in it, is called in the one page."""
    return f"{name.replace('/', '-')}--{fragment}"


def link(name: str, href: str, names: set[str]) -> str:
    """Return where a link of a page leads on paper: into the book if it can."""
    address, fragment = urldefrag(urljoin(f"{ORIGIN}{name}.html", href))
    if not address.startswith(ORIGIN):
        return href
    target = address.removeprefix(ORIGIN)
    if target.removesuffix(".html") in names:
        return "#" + identifier(target.removesuffix(".html"), fragment)
    return on_the_site(target) + (f"#{fragment}" if fragment else "")


def move_answers(soup: BeautifulSoup, article: Tag, name: str) -> None:
    """Move hints and solutions to the end of a chapter, with links there and back."""
    moved = soup.new_tag("section")
    for number, fold in enumerate(article.select("details"), 1):
        summary = fold.find("summary")
        label = summary.get_text(" ", strip=True) if summary else ""
        fold["open"] = ""
        if not label.startswith(AT_THE_END) or fold.find_parent("details"):
            continue
        there, back = identifier(name, f"answer-{number}"), identifier(name, f"asked-{number}")
        heading = fold.find_previous(["h2", "h3", "h4"])
        of = heading.get_text(" ", strip=True) if heading else ""
        pointer = f'<p id="{back}"><a href="#{there}">{escape(label)}: end of the chapter</a></p>'
        fold.replace_with(BeautifulSoup(pointer, "html.parser"))
        above = f'<div class="answer" id="{there}"><p><a href="#{back}">{escape(of)}</a></p></div>'
        answer = BeautifulSoup(above, "html.parser").select_one(".answer")
        assert answer is not None
        answer.append(fold)
        moved.append(answer)
    if moved.contents:
        heading = soup.new_tag("h2")
        heading.string = "Hints and solutions"
        moved.insert(0, heading)
        article.append(moved)


def chapter(name: str, names: set[str]) -> tuple[str, str]:
    """Return the title and the text of a page, fit for paper."""
    soup = BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    assert article is not None, f"{name} has no text"
    for gone in article.select(ONLY_ON_SCREEN):
        gone.decompose()
    for place in article.select("[id]"):
        place["id"] = identifier(name, str(place["id"]))
    for picture in article.select("[src]"):
        picture["src"] = urljoin(f"{ORIGIN}{name}.html", str(picture["src"]))
        del picture["loading"]
    for anchor in article.select("a[href]"):
        anchor["href"] = link(name, str(anchor["href"]), names)
        shown = str(anchor["href"]).removeprefix("https://")
        if not shown.startswith("#") and shown not in anchor.get_text():
            address = soup.new_tag("span", attrs={"class": "address"})
            address.string = f" ({shown})"
            anchor.append(address)
    move_answers(soup, article, name)
    title = article.find("h1")
    assert title is not None, f"{name} has no title"
    text = f'<div class="chapter" id="{identifier(name)}">{article}</div>'
    return title.get_text(), text


def head() -> str:
    """Return the styles of the pages and MathJax, as a chapter loads them."""
    name = parts()[2].names[0]
    soup = BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser")
    found = soup.select("head link[rel=stylesheet]")
    found += [script for script in soup.select("head script") if "athJax" in str(script)]
    found += soup.select("head script[src*=mathjax]")
    for tag in found:
        for key in {"href", "src"} & set(tag.attrs):
            tag[key] = urljoin(f"{ORIGIN}{name}.html", str(tag[key]))
    return "\n".join(map(str, found))


def cover() -> str:
    """Return the first sheet."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return (
        f'<div class="front-sheet"><p class="title">{escape(config["title"])}</p>'
        f"<p>{escape(config['author'])}</p>"
        f"<p>Version {version('explman-lite')}, {date.today().isoformat()}</p>"
        f"<p>{escape(on_the_site(''))}</p></div>"
    )


def sheets() -> tuple[str, list[str]]:
    """Return the whole book as one page, and the titles in their order."""
    names = {name for part in parts() for name in part.names}
    contents, texts, titles = [], [], []
    for part in parts():
        if part.caption:
            contents.append(f'<p class="part">{escape(part.caption)}</p>')
        for name in part.names:
            title, text = chapter(name, names)
            titles.append(title)
            texts.append(text)
            contents.append(
                f'<a href="#{identifier(name)}"><span>{escape(title)}</span>'
                '<span class="number">000</span></a>'
            )
    page = (
        '<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light">'
        f'<head><meta charset="utf-8">{head()}<style>{STYLE.read_text("utf-8")}</style></head>'
        f'<body>{cover()}<div class="contents"><h1>Contents</h1>{"".join(contents)}</div>'
        f"{''.join(texts)}</body></html>"
    )
    return page, titles
