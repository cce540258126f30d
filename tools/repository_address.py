"""Write the repository's address, which stands in `_config.yml`, wherever else it is needed.

python tools/repository_address.py            rewrite the others
python tools/repository_address.py --check    only list those that differ, and fail if any does
"""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILES = ["*.md", "book/**/*.md", "notebooks/*.ipynb", "CITATION.cff", "pyproject.toml"]
SETUP_CELL = """\
# Set-up. In Colab this installs the helper package of this book; elsewhere it is already there.
import importlib.util

if importlib.util.find_spec("explman_lite") is None:
    %pip install --quiet "git+{address}\""""

# What precedes our own address: other people's repositories may be cited freely.
OURS = re.compile(
    r"""((?:git\+|git[ ]clone[ ]|Repository[ ]=[ ]"|repository-code:[ ]"?|url[ ]+=[ ]\{)https://github\.com/
        |https://colab\.research\.google\.com/github/
        |https://mybinder\.org/v2/gh/)
        ([\w.-]+/[\w.-]+)""",
    re.VERBOSE,
)


def repository_address() -> str:
    """Read the address from `_config.yml`."""
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"]


def setup_cell() -> str:
    """Give the text of the set-up cell with which every notebook begins."""
    return SETUP_CELL.format(address=repository_address())


def deviations(text: str, name: str) -> list[str]:
    """List the addresses of this repository that are not its name."""
    return [match[0] for match in OURS.finditer(text) if match[2] != name]


def main(check: bool) -> int:
    name = urlsplit(repository_address()).path.strip("/")
    found = 0
    for path in sorted(path for pattern in FILES for path in ROOT.glob(pattern)):
        text = path.read_text("utf-8")
        for address in deviations(text, name):
            found += 1
            print(f"{path.relative_to(ROOT)}: {address}")
        if not check:
            path.write_text(OURS.sub(rf"\g<1>{name}", text), "utf-8")
    return int(check and found > 0)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
