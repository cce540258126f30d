"""What the book asks of Sphinx beyond its settings."""

from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.config import Config


def site_address(repository: str) -> str:
    # The site lives on the repository's GitHub Pages, so its address follows from the repository's.
    owner, name = urlsplit(repository).path.strip("/").split("/")
    return f"https://{owner}.github.io/{name}/"


def set_site_address(app: Sphinx, config: Config) -> None:
    address = site_address(config.html_theme_options["repository_url"])
    config.html_baseurl = config.ogp_site_url = address


def drop_thebe(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    # sphinx-thebe adds its scripts twice to each page, and the book starts no remote kernels.
    context["script_files"] = [
        script for script in context["script_files"] if "thebe" not in str(script)
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", set_site_address)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
