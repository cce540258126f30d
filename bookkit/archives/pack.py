"""Make the archive of notebooks for students, or the one for instructors.

The same sources give the same bytes.
"""

import os
import tomllib
import zipfile
from pathlib import Path

import nbformat
import yaml

from bookkit.address import on_the_site, repository_address
from bookkit.archives.links import relinked
from bookkit.archives.notebooks import bare
from bookkit.chapters import NOTEBOOKS
from bookkit.gift import bank
from bookkit.places import HTML, ROOT
from bookkit.recorded.numbers import filled
from bookkit.templates import templates_in
from explman_lite.results import unfinished

DOWNLOADS = HTML / "downloads"
AUDIENCES = ("student", "instructor")
GRADING = Path(__file__).with_name("nbgrader_config.py")
LICENCES = ("LICENSE", "LICENSE-text")
PAGES_ONLY = ("index", "item_bank", "report_")
"""How the names of pages begin that are not packed."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def package_address() -> str:
    """Return where pip finds this version, or the newest; git need not be there."""
    tagged = os.environ.get("GITHUB_REF_TYPE") == "tag"
    version = f"tags/{os.environ['GITHUB_REF_NAME']}" if tagged else "heads/main"
    return f"{repository_address()}/archive/refs/{version}.zip"


def readme(audience: str) -> str:
    """Write what an archive says of itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    templates = templates_in(Path(__file__).parent, keep_trailing_newline=True)
    return templates.get_template("README.txt").render(
        title=config["title"],
        audience=f"{audience}s",
        version=project["version"],
        site=on_the_site(""),
        package=package_address(),
        instructor=audience == "instructor",
        grading=on_the_site("book/teach/grading.html"),
    )


def contents(audience: str) -> dict[str, str]:
    """Return the files of an archive by name."""
    files = {name: (ROOT / name).read_text("utf-8") for name in LICENCES}
    if audience == "student":
        files[GRADING.name] = GRADING.read_text("utf-8")
    for path in NOTEBOOKS:
        notebook = bare(path, solutions=audience == "instructor")
        files[f"notebooks/{path.name}"] = nbformat.writes(notebook) + "\n"
    if audience == "instructor":
        for path in (ROOT / "book" / "teach").glob("*.md"):
            if path.name.startswith(PAGES_ONLY):
                continue
            source = path.relative_to(ROOT).as_posix()
            files[f"notes/{path.name}"] = relinked(filled(path.read_text("utf-8")), source)
        files["items.gift"] = bank()
    return files | {"README.txt": readme(audience)}


def make_zip(audience: str) -> Path:
    """Write an archive and return where it is."""
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    path = DOWNLOADS / f"explman-{audience}.zip"
    with unfinished(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in sorted(contents(audience).items()):
            entry = zipfile.ZipInfo(f"explman-{audience}/{name}", LONG_AGO)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, text)
    return path
