"""Make the archive of notebooks for students, or the one for instructors.

python tools/make_zips.py student|instructor        writes _build/html/downloads/explman-*.zip

Both hold the notebooks without outputs: for students without solutions, for instructors with each
solution as a cell below its stub. The same sources give the same bytes.
"""

import copy
import os
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote, urldefrag, urljoin

import nbformat
import yaml
from chapters import (
    CODE,
    HTML,
    NOTEBOOKS,
    folded,
    headings,
    is_elsewhere,
    on_the_site,
    page_of,
    read,
    without_folded,
)
from export_items import bank
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbformat.v4 import new_code_cell
from repository_address import ROOT, repository_address

DOWNLOADS = HTML / "downloads"
STUB = "# your turn"
LINK = re.compile(r"""(?<=\]\()[^)\s]+(?=\))|(?<=href=")[^"]+""")
LICENCES = ("LICENSE", "LICENSE-text")
PAGES_ONLY = {"index.md", "item_bank.md"}
LONG_AGO = (1980, 1, 1, 0, 0, 0)


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


def solved(cells: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Put each solution's code into a cell below its stub, and unfold what explains it."""
    result: list[nbformat.NotebookNode] = []
    for cell in cells:
        for solution in folded(cell.source, "Solution"):
            stub = max(i for i, earlier in enumerate(result) if STUB in earlier.source)
            code = "# Solution\n" + CODE.search(solution)[1].rstrip()
            result.insert(stub + 1, new_code_cell(code, id=f"{result[stub].id}-solution"))
            explained = CODE.sub("", solution, count=1).strip()
            fold = f"<details><summary>Solution</summary>\n\n{solution}\n\n</details>"
            shown = f"**Solution.** {explained}" if explained else ""
            if fold not in cell.source:
                raise ValueError(f"the solution in cell {cell.id} is not folded as usual")
            cell.source = cell.source.replace(fold, shown).strip()
        result.append(cell)
    return result


def bare(path: Path, solutions: bool) -> nbformat.NotebookNode:
    """Give a notebook without outputs, with or without its solutions."""
    notebook = copy.deepcopy(read(path))
    if solutions:
        notebook.cells = solved(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            text = without_folded(cell.source, "Solution").strip()
            cell.source = relinked(text, f"notebooks/{path.name}")
    return notebook


def package_address() -> str:
    """Say where pip finds this version, or the newest; git need not be there."""
    tagged = os.environ.get("GITHUB_REF_TYPE") == "tag"
    version = f"tags/{os.environ['GITHUB_REF_NAME']}" if tagged else "heads/main"
    return f"{repository_address()}/archive/refs/{version}.zip"


def readme(audience: str) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    folder = FileSystemLoader(ROOT / "book" / "_downloads")
    templates = Environment(
        loader=folder, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return templates.get_template("README.txt").render(
        title=config["title"],
        audience=f"{audience}s",
        version=project["version"],
        site=on_the_site(""),
        package=package_address(),
        instructor=audience == "instructor",
    )


def contents(audience: str) -> dict[str, str]:
    """Give the files of an archive by name."""
    files = {name: (ROOT / name).read_text("utf-8") for name in LICENCES}
    for path in NOTEBOOKS:
        notebook = bare(path, solutions=audience == "instructor")
        files[f"notebooks/{path.name}"] = nbformat.writes(notebook) + "\n"
    if audience == "instructor":
        for path in (ROOT / "book" / "teach").glob("*.md"):
            if path.name in PAGES_ONLY:
                continue
            source = path.relative_to(ROOT).as_posix()
            files[f"notes/{path.name}"] = relinked(path.read_text("utf-8"), source)
        files["items.gift"] = bank()
    return files | {"README.txt": readme(audience)}


def make_zip(audience: str) -> Path:
    """Write an archive and say where it is."""
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    path = DOWNLOADS / f"explman-{audience}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(contents(audience).items()):
            entry = zipfile.ZipInfo(f"explman-{audience}/{name}", LONG_AGO)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, text)
    return path


if __name__ == "__main__":
    if sys.argv[1:] not in (["student"], ["instructor"]):
        sys.exit("usage: python tools/make_zips.py student|instructor")
    print(make_zip(sys.argv[1]).relative_to(ROOT))
