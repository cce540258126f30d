"""Addresses of the site, its map, and corrections to the pages."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import imagesize
from sphinx.application import Sphinx
from sphinx.config import Config

from bookkit.address import on_the_site, repository_address

SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"

# What writers of HTML get wrong for screen readers and the keyboard, and what is right.
CORRECTIONS = {
    # Sphinx: the theme lets the keyboard reach what scrolls, if it is of this class.
    '<div class="math ': '<div class="jp-RenderedHTMLCommon math ',
    # sphinxcontrib-bibtex: the entries of a list are its items.
    'role="doc-biblioentry"': 'role="listitem"',
    # MyST-NB: what is folded is an invitation.
    ">Show code cell source<": ">Show the code<",
    ">Hide code cell source<": ">Hide the code<",
    ">Show code cell output<": ">Show the answer<",
    ">Hide code cell output<": ">Hide the answer<",
    ">Show code cell outputs<": ">Show the answer<",
    ">Hide code cell outputs<": ">Hide the answer<",
    ">Show code cell content<": ">Show the code and its answer<",
    ">Hide code cell content<": ">Hide the code and its answer<",
    # pandas: a heading that says nothing is a cell.
    "<th></th>": "<td></td>",
}


def set_site(app: Sphinx, config: Config) -> None:
    """Derive the settings that hold an address from the repository's."""
    config.extlinks = {"repofile": (f"{repository_address()}/blob/main/%s", "%s")}
    config.html_baseurl = config.ogp_site_url = on_the_site("")
    config.ogp_site_name = config.html_title
    # Only the parts of MathJax that mathjax3_config names; sphinx-mathjax-offline wants all.
    config.mathjax_path = "mathjax/startup.js"


def drop_thebe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Drop what sphinx-thebe adds twice to each page: the book starts no remote kernels."""
    for kind in ("script_files", "css_files"):
        context[kind] = [file for file in context[kind] if "thebe" not in str(file)]


def complete(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Correct the HTML of a page, and say of each picture how large it is and when it is needed."""
    body = context.get("body", "")
    for wrong, right in CORRECTIONS.items():
        body = body.replace(wrong, right)
    sources = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}
    images = 0

    def complete_image(match: re.Match[str]) -> str:
        # The page keeps room for pictures that have not arrived yet, and asks only for those near
        # to what is seen. Any but the first may lie below the first view.
        nonlocal images
        images += 1
        added = ' decoding="async"' + (' loading="lazy"' if images > 1 else "")
        if ' width="' not in match[0]:
            width, height = map(round, imagesize.get(sources[Path(match[1]).name]))
            added = f' width="{width}" height="{height}"{added}'
        return match[0].replace("<img", f"<img{added}", 1)

    context["body"] = re.sub(r'<img [^>]*src="([^"]*_images/[^"]*)"[^>]*>', complete_image, body)


def write_sitemap(app: Sphinx, exception: Exception | None) -> None:
    """List the pages for search engines."""
    if exception or app.builder.name != "html":
        return
    sitemap = ElementTree.Element("urlset", xmlns=SITEMAP)
    for name in sorted(app.env.found_docs):
        address = urljoin(app.config.html_baseurl, app.builder.get_target_uri(name))
        ElementTree.SubElement(ElementTree.SubElement(sitemap, "url"), "loc").text = address
    tree = ElementTree.ElementTree(sitemap)
    ElementTree.indent(tree)
    tree.write(Path(app.outdir, "sitemap.xml"), encoding="utf-8", xml_declaration=True)
    Path(app.outdir, "robots.txt").write_text(
        f"User-agent: *\nAllow: /\nSitemap: {app.config.html_baseurl}sitemap.xml\n", "utf-8"
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("config-inited", set_site)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("html-page-context", complete)
    app.connect("build-finished", write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
