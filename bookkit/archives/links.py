"""The links of an archive: to the published book, except from notebook to notebook."""

import re
from urllib.parse import quote, unquote, urldefrag, urljoin

from bookkit.address import on_the_site
from bookkit.links import headings, is_elsewhere, page_of

LINK = re.compile(r"""(?<=\]\()[^)\s]+(?=\))|(?<=href=")[^"]+""")


def relinked(text: str, source: str) -> str:
    """Lead the links of a text to the published book, except to notebooks beside it."""

    def lead(link: re.Match[str]) -> str:
        address = link[0]
        page, anchor = urldefrag(address)
        beside = source.startswith("notebooks/") and (not page or page.endswith(".ipynb"))
        if is_elsewhere(address):
            return address
        if beside:
            target = urljoin(source, page)
            return f"{page}#{in_jupyterlab(target, anchor)}" if anchor else page
        return on_the_site(page_of(address, source))

    return LINK.sub(lead, text)


def in_jupyterlab(notebook: str, anchor: str) -> str:
    """Name a heading as JupyterLab does: its text as it is, with dashes for spaces."""
    return quote(headings(notebook)[unquote(anchor)].replace(" ", "-"))
